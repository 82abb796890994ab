//! A sink that records events.

use awsemfexporter::EventSink;

/// An event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The log group.
    pub(crate) group: String,
    /// The log stream.
    pub(crate) stream: String,
    /// Unix time in milliseconds.
    pub(crate) timestamp_ms: i64,
    /// Data points.
    pub(crate) items: u32,
    /// In plain text.
    pub(crate) message: String,
}

/// Records events, of plain text or of text that it has to make plain.
#[derive(Debug, Default)]
pub(crate) struct Recorder<const ESCAPED: bool> {
    /// The largest event.
    pub(crate) max: Option<usize>,
    /// Older events are not wanted.
    pub(crate) oldest_ms: i64,
    /// What arrived.
    pub(crate) events: Vec<Recorded>,
    open: Option<Recorded>,
    text: String,
}

impl<const ESCAPED: bool> EventSink for Recorder<ESCAPED> {
    const ESCAPED: bool = ESCAPED;

    fn max_event_bytes(&self) -> Option<usize> {
        self.max
    }

    fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String> {
        if timestamp_ms < self.oldest_ms {
            return None;
        }
        let (group, stream) = (group.to_owned(), stream.to_owned());
        self.open = Some(Recorded { group, stream, timestamp_ms, items, message: String::new() });
        // What stands there already is none of the translation's business.
        self.text = "before".to_owned();
        Some(&mut self.text)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        let text = self.text.strip_prefix("before").unwrap();
        let message =
            if ESCAPED { serde_json::from_str(&format!("\"{text}\"")).unwrap() } else { text.to_owned() };
        assert_eq!(message.len(), plain_len, "{message}");
        if self.max.is_some_and(|max| plain_len > max) {
            return false;
        }
        self.events.push(Recorded { message, ..self.open.take().unwrap() });
        true
    }
}
