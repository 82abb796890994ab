//! What a component writes to the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Keeps what is logged on this thread while it lives.
pub struct LogCapture {
    /// It must end on the thread on which it began.
    _thread: PhantomData<*const ()>,
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

/// The one subscriber of a test program.
///
/// One per test would be simpler, but a log statement that a thread without a subscriber reaches first while another
/// thread installs one may stay silent for good.
struct Recorder;

thread_local! {
    static CAPTURED: RefCell<Option<Vec<LogLine>>> = const { RefCell::new(None) };
}

/// Installs the subscriber, before the first log statement is reached.
pub(crate) fn install() {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Recorder).is_ok());
}

impl LogCapture {
    /// Starts to keep; an earlier capture on this thread ends.
    pub fn begin() -> Self {
        install();
        CAPTURED.with_borrow_mut(|captured| *captured = Some(Vec::new()));
        Self { _thread: PhantomData }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<LogLine> {
        CAPTURED.with_borrow(|captured| captured.clone().unwrap_or_default())
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

impl Drop for LogCapture {
    fn drop(&mut self) {
        CAPTURED.with_borrow_mut(|captured| *captured = None);
    }
}

impl LogLine {
    /// A field as text; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && !metadata.target().starts_with("opentelemetry")
            && CAPTURED.with_borrow(Option::is_some)
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
        CAPTURED.with_borrow_mut(|captured| captured.iter_mut().for_each(|lines| lines.push(line.clone())));
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
