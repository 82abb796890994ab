//! Bodies of `PutLogEvents` requests, within the limits of the service.
//!
//! Source of the limits: Amazon CloudWatch Logs API reference, `PutLogEvents`.

use bytes::{BufMut, Bytes, BytesMut};

use super::chunk::{Chunk, Entry};
use super::client::PutBody;
use super::escape::escape;

/// The largest request, counting messages and [`EVENT_OVERHEAD`] each.
pub(crate) const MAX_BODY_BYTES: usize = 1_048_576;
/// What an event counts besides its message.
pub(crate) const EVENT_OVERHEAD: usize = 26;
/// The most events of a request.
pub(crate) const MAX_BODY_EVENTS: usize = 10_000;
/// The longest time between the first and the last event of a request.
pub(crate) const MAX_SPAN_MS: i64 = 24 * 60 * 60 * 1000;
/// The longest message that a request has room for.
pub const MAX_MESSAGE_BYTES: usize = MAX_BODY_BYTES - EVENT_OVERHEAD;

/// The body that carries these chunks, and how many items stand for each of its events, in order.
pub(crate) fn body(group: &str, stream: &str, chunks: &[Chunk]) -> (PutBody, Vec<u32>) {
    let mut ordered: Vec<&Chunk> = chunks.iter().collect();
    ordered.sort_by_key(|chunk| chunk.first_ms());
    let follow = |pair: &[&Chunk]| match pair {
        [earlier, later] => earlier.last_ms() <= later.first_ms(),
        _ => true,
    };
    let mut pieces = vec![Bytes::from_static(b"{\"logEvents\":[")];
    let items = if ordered.windows(2).all(follow) {
        for (index, chunk) in ordered.iter().enumerate() {
            if index > 0 {
                pieces.push(Bytes::from_static(b","));
            }
            pieces.push(chunk.text.clone());
        }
        ordered.iter().flat_map(|chunk| chunk.entries.iter().map(|entry| entry.items)).collect()
    } else {
        let (text, items) = merged(chunks);
        pieces.push(text);
        items
    };
    let mut end = String::from("],\"logGroupName\":\"");
    escape(&mut end, group);
    end.push_str("\",\"logStreamName\":\"");
    escape(&mut end, stream);
    end.push_str("\"}");
    pieces.push(end.into());
    (PutBody { pieces }, items)
}

/// The events of chunks that overlap in time, copied in order. Events of the same time stay in order of arrival.
fn merged(chunks: &[Chunk]) -> (Bytes, Vec<u32>) {
    let mut events: Vec<(&Entry, &[u8])> = chunks.iter().flat_map(Chunk::events).collect();
    events.sort_by_key(|(entry, _)| entry.timestamp);
    let mut text = BytesMut::with_capacity(events.iter().map(|(_, text)| text.len() + 1).sum());
    for (_, event) in &events {
        if !text.is_empty() {
            text.put_u8(b',');
        }
        text.put_slice(event);
    }
    (text.freeze(), events.iter().map(|(entry, _)| entry.items).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::logs::Events;

    const NOW: i64 = 1_700_000_000_000;

    fn chunk(events: &[(i64, &str)]) -> Chunk {
        let (mut streams, _) = Events::collect(NOW, MAX_MESSAGE_BYTES, |all| {
            events.iter().for_each(|(after, message)| all.push("g", "s", NOW + after, message, 1));
        });
        streams.remove(0).chunks.remove(0)
    }

    fn check(chunks: &[&[(i64, &str)]], expected: &[(i64, &str)]) {
        let chunks: Vec<Chunk> = chunks.iter().map(|events| chunk(events)).collect();
        let (body, items) = body("g\"", "s\\", &chunks);
        let text = body.pieces.concat();
        let parsed: Value = serde_json::from_slice(&text).unwrap();
        let events: Vec<Value> = expected
            .iter()
            .map(|(after, message)| json!({"message": message, "timestamp": NOW + after}))
            .collect();
        assert_eq!(parsed, json!({"logEvents": events, "logGroupName": "g\"", "logStreamName": "s\\"}));
        assert_eq!(items.len(), expected.len());
    }

    #[test]
    fn a_body_is_what_the_service_reads() {
        check(&[&[(0, "a\"\n")]], &[(0, "a\"\n")]);
        check(&[&[(0, "a"), (1, "b")], &[(1, "c"), (2, "d")]], &[(0, "a"), (1, "b"), (1, "c"), (2, "d")]);
        check(&[&[(5, "late")], &[(0, "a"), (1, "b")]], &[(0, "a"), (1, "b"), (5, "late")]);
        check(&[&[(0, "a"), (2, "b")], &[(1, "c"), (2, "d")]], &[(0, "a"), (1, "c"), (2, "b"), (2, "d")]);
    }

    #[test]
    fn members_come_in_upstreams_order() {
        let (body, _) = body("g", "s", &[chunk(&[(0, "m")])]);
        let expected = format!(
            r#"{{"logEvents":[{{"message":"m","timestamp":{NOW}}}],"logGroupName":"g","logStreamName":"s"}}"#
        );
        assert_eq!(String::from_utf8_lossy(&body.pieces.concat()), expected);
    }
}
