use super::super::body::{MAX_MESSAGE_BYTES, body};
use super::*;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 60 * 60 * 1000;

/// Streams and the texts of their chunks, and the counts.
fn chunks(events: &[(&str, i64, &str)]) -> (Vec<(String, Vec<String>)>, Counts) {
    let (streams, counts) = Events::collect(NOW, MAX_MESSAGE_BYTES, |all| {
        events.iter().for_each(|(stream, timestamp, message)| all.push("g", stream, *timestamp, message, 3));
    });
    let text = |chunk: &Chunk| String::from_utf8_lossy(&chunk.text).into_owned();
    let list = |stream: StreamChunks| {
        assert_eq!(&*stream.group, "g");
        (stream.stream.to_string(), stream.chunks.iter().map(text).collect())
    };
    (streams.into_iter().map(list).collect(), counts)
}

fn event(message: &str, after: i64) -> String {
    format!("{{\"message\":\"{message}\",\"timestamp\":{}}}", NOW + after)
}

#[test]
fn events_are_kept_by_stream_in_order_of_time() {
    let (got, counts) =
        chunks(&[("a", NOW + 5, "1"), ("b", NOW, "2"), ("a", NOW, "3"), ("a", NOW, "4"), ("b", 0, "5")]);
    let a = [event("3", 0), event("4", 0), event("1", 5)].join(",");
    let b = [event("2", 0), event("5", 0)].join(",");
    assert_eq!(got, [("a".to_owned(), vec![a]), ("b".to_owned(), vec![b])]);
    assert_eq!(counts, Counts { received: 5, ..Counts::default() });
}

#[test]
fn chunks_are_closed_when_large_enough() {
    let message = "x".repeat(CHUNK_BYTES / 2);
    let (got, _) = chunks(&[("a", NOW, &message), ("a", NOW, &message), ("a", NOW, "y")]);
    assert_eq!(got[0].1.len(), 2);
    assert_eq!(got[0].1[1], event("y", 0));
}

#[test]
fn a_chunk_never_exceeds_a_request() {
    let longest = "x".repeat(MAX_MESSAGE_BYTES);
    let (got, _) = chunks(&[("a", NOW, "y"), ("a", NOW, &longest), ("a", NOW, "z")]);
    let [first, second, third] = got[0].1.as_slice() else { panic!("{} chunks", got[0].1.len()) };
    assert_eq!((first, second.len(), third), (&event("y", 0), event(&longest, 0).len(), &event("z", 0)));
}

#[test]
fn what_the_service_would_refuse_is_counted() {
    let check = |timestamp: i64, message: &str, reason: Option<&'static str>| {
        let (got, counts) = chunks(&[("a", timestamp, message)]);
        let dropped = reason.map(|reason| (reason, (1, 3))).into_iter().collect();
        assert_eq!(counts, Counts { received: 1, truncated: 0, dropped });
        assert_eq!(got.len(), usize::from(reason.is_none()));
    };
    check(NOW - 14 * 24 * HOUR, "x", None);
    check(NOW - 14 * 24 * HOUR - 1, "x", Some("too_old"));
    check(NOW + 2 * HOUR, "x", None);
    check(NOW + 2 * HOUR + 1, "x", Some("too_new"));
    check(NOW, "", Some("empty"));
}

#[test]
fn a_message_is_cut_between_characters() {
    let longest = "x".repeat(MAX_MESSAGE_BYTES);
    assert_eq!(chunks(&[("a", NOW, &longest)]).1.truncated, 0);
    let (got, counts) = chunks(&[("a", NOW, &"é".repeat(MAX_MESSAGE_BYTES))]);
    assert_eq!(counts.truncated, 1);
    let parsed: serde_json::Value = serde_json::from_str(&got[0].1[0]).unwrap();
    let text = parsed["message"].as_str().unwrap();
    assert!(text.ends_with("é[Truncated...]"));
    assert!(text.len() <= MAX_MESSAGE_BYTES && text.len() > MAX_MESSAGE_BYTES - 3);
}

#[test]
fn an_event_that_is_too_long_is_taken_back() {
    let (streams, counts) = Events::collect(NOW, 4, |events| {
        for (message, taken) in [("1234", true), ("12345", false), ("1", true)] {
            events.begin("g", "s", NOW, 1).unwrap().push_str(message);
            assert_eq!(events.end(message.len()), taken);
        }
    });
    assert_eq!(counts.received, 2);
    let (body, items) = body("g", "s", &streams[0].chunks);
    let parsed: serde_json::Value = serde_json::from_slice(&body.pieces.concat()).unwrap();
    let messages: Vec<_> =
        parsed["logEvents"].as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    assert_eq!(messages, ["1234", "1"]);
    assert_eq!(items, [1, 1]);
}

#[test]
fn chunks_are_handed_over_while_others_are_written() {
    let mut held = 0;
    let mut most = 0;
    let mut hand_over = |streams: Vec<StreamChunks>| {
        let chunks = streams.iter().flat_map(|stream| &stream.chunks);
        let bytes: usize = chunks.map(|chunk| chunk.text.len()).sum();
        (held, most) = (held + bytes, most.max(bytes));
    };
    let mut events = Events::new(NOW, MAX_MESSAGE_BYTES, 1, &mut hand_over);
    let message = "x".repeat(100_000);
    (0..100).for_each(|at| events.push("g", ["a", "b", "c"][at % 3], NOW, &message, 1));
    let counts = events.finish();
    assert_eq!(counts, Counts { received: 100, ..Counts::default() });
    assert!(held > 100 * 100_000 && most < HAND_OVER_BYTES + 200_000, "{held} bytes, {most} at once");
}

#[test]
fn what_exceeds_the_text_of_a_push_is_counted() {
    let mut held = 0;
    let mut hand_over = |streams: Vec<StreamChunks>| held += streams.len();
    let mut events = Events::new(NOW, MAX_MESSAGE_BYTES, 1, &mut hand_over);
    let message = "x".repeat(MAX_MESSAGE_BYTES);
    (0..400).for_each(|_| events.push("g", "s", NOW, &message, 2));
    assert!(events.is_exhausted());
    let counts = events.finish();
    let (events, items) = counts.dropped[PUSH_TOO_LARGE];
    // The last one may exceed it, and what stands around a message counts.
    let sent = (400 - events) as usize * MAX_MESSAGE_BYTES;
    assert!(
        (MIN_PUSH_BYTES - MAX_MESSAGE_BYTES..MIN_PUSH_BYTES + MAX_MESSAGE_BYTES).contains(&sent),
        "{sent}"
    );
    assert_eq!((counts.received, items), (400, 2 * events));
}
