//! What the service checks of PutLogEvents.

use serde::Deserialize;

/// The largest request: messages and [`EVENT_OVERHEAD`] each.
const MAX_BYTES: usize = 1_048_576;
/// What every event counts beside its message.
const EVENT_OVERHEAD: usize = 26;
/// The most events of a request.
const MAX_EVENTS: usize = 10_000;
/// The longest span between the events of a request, in milliseconds.
const MAX_SPAN_MS: i64 = 24 * 60 * 60 * 1000;
/// The longest name of a group or stream.
const MAX_NAME: usize = 512;

/// The input of PutLogEvents.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutInput {
    pub(super) log_group_name: String,
    pub(super) log_stream_name: String,
    pub(super) log_events: Vec<InputEvent>,
}

/// An event of a request.
#[derive(Debug, Deserialize)]
pub(super) struct InputEvent {
    pub(super) message: String,
    /// Unix time in milliseconds.
    pub(super) timestamp: i64,
}

impl PutInput {
    /// The size as the service counts it.
    pub(super) fn bytes(&self) -> usize {
        self.log_events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum()
    }

    /// What is wrong with it.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn check(&self) -> Result<(), String> {
        for (what, name) in [("group", &self.log_group_name), ("stream", &self.log_stream_name)] {
            if !(1..=MAX_NAME).contains(&name.len()) {
                return Err(format!("a log {what} name of {} bytes", name.len()));
            }
        }
        if self.log_stream_name.contains([':', '*']) {
            return Err(format!("a log stream name with ':' or '*': {:?}", self.log_stream_name));
        }
        let events = &self.log_events;
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Err("no events".to_owned());
        };
        if events.len() > MAX_EVENTS {
            return Err(format!("{} events", events.len()));
        }
        if self.bytes() > MAX_BYTES {
            return Err(format!("{} bytes", self.bytes()));
        }
        if events.iter().any(|event| event.message.is_empty()) {
            return Err("an event without a message".to_owned());
        }
        if events.iter().any(|event| event.timestamp < 0) {
            return Err("a negative time".to_owned());
        }
        if !events.is_sorted_by_key(|event| event.timestamp) {
            return Err("events that are not in chronological order".to_owned());
        }
        if last.timestamp - first.timestamp > MAX_SPAN_MS {
            return Err("events that span more than 24 hours".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let check = |events: Vec<(String, i64)>, expected: &str| {
            let log_events =
                events.into_iter().map(|(message, timestamp)| InputEvent { message, timestamp }).collect();
            let input = PutInput { log_group_name: "g".into(), log_stream_name: "s".into(), log_events };
            assert_eq!(input.check().err().unwrap_or_default(), expected);
        };
        let m = || "m".to_owned();
        check(vec![(m(), 1)], "");
        check(vec![], "no events");
        check(vec![(String::new(), 1)], "an event without a message");
        check(vec![(m(), -1)], "a negative time");
        check(vec![(m(), 2), (m(), 1)], "events that are not in chronological order");
        check(vec![(m(), 0), (m(), MAX_SPAN_MS)], "");
        check(vec![(m(), 0), (m(), MAX_SPAN_MS + 1)], "events that span more than 24 hours");
        check(vec![("x".repeat(MAX_BYTES - EVENT_OVERHEAD), 1)], "");
        check(vec![("x".repeat(MAX_BYTES - EVENT_OVERHEAD + 1), 1)], "1048577 bytes");
        check(vec![(m(), 1); MAX_EVENTS], "");
        check(vec![(m(), 1); MAX_EVENTS + 1], "10001 events");
    }

    #[test]
    fn names() {
        let check = |group: &str, stream: &str, accepted: bool| {
            let log_events = vec![InputEvent { message: "m".into(), timestamp: 1 }];
            let input = PutInput { log_group_name: group.into(), log_stream_name: stream.into(), log_events };
            assert_eq!(input.check().is_ok(), accepted, "{group:?} {stream:?}");
        };
        check("g", "s", true);
        check("", "s", false);
        check("g", "", false);
        check("g", "a:b", false);
        check(&"g".repeat(512), "s", true);
        check(&"g".repeat(513), "s", false);
    }
}
