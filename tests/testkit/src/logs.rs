//! What a component writes to the log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Keeps what is logged on this thread while it lives.
pub struct LogCapture {
    records: Arc<Mutex<Vec<LogLine>>>,
    _guard: DefaultGuard,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How severe.
    pub level: Level,
    /// The text.
    pub message: String,
    /// The fields, as text.
    pub fields: BTreeMap<String, String>,
}

struct Recorder(Arc<Mutex<Vec<LogLine>>>);

impl LogCapture {
    /// Starts to keep.
    pub fn begin() -> Self {
        let records = Arc::new(Mutex::new(Vec::new()));
        let guard = tracing::subscriber::set_default(Recorder(records.clone()));
        Self { records, _guard: guard }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<LogLine> {
        lock(&self.records).clone()
    }

    /// The texts so far, at `level` or more severe.
    pub fn messages(&self, level: Level) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.level <= level).map(|line| line.message).collect()
    }

    /// The first line with this text.
    pub fn find(&self, message: &str) -> Option<LogLine> {
        self.lines().into_iter().find(|line| line.message == message)
    }
}

impl LogLine {
    /// A field as text; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && !metadata.target().starts_with("opentelemetry")
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut line = LogLine { level, message: String::new(), fields: BTreeMap::new() };
        event.record(&mut line);
        lock(&self.0).push(line);
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

impl Visit for LogLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text);
        }
    }
}

fn lock(records: &Mutex<Vec<LogLine>>) -> MutexGuard<'_, Vec<LogLine>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}
