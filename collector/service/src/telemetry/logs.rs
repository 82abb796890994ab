//! The collector's log: upstream's console and JSON lines from `tracing` events.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::config::LogsConfig;
use super::sampler::Sampler;
use super::writer::LogWriter;

/// The log of this process. It writes to standard error until it is configured.
#[derive(Clone)]
pub struct Logs {
    state: Arc<Mutex<State>>,
    writer: LogWriter,
}

struct State {
    level: Level,
    json: bool,
    caller: bool,
    initial_fields: Map<String, Value>,
    sampler: Option<Sampler>,
    started: Instant,
}

/// Libraries below us may log what they send, secrets included, at finer levels: never let those through.
const OURS: [&str; 5] = ["receiver", "processor", "exporter", "extension", "otelcol_insights"];
const OUR_CRATES: [&str; 8] = ["service", "helper", "net", "aws", "k8s", "node", "component", "confmap"];

impl Logs {
    /// Makes this the process's log. Only the first call of a process has an effect; every clone configures the same log.
    pub fn install() -> Self {
        let state = State {
            level: Level::INFO,
            json: false,
            caller: true,
            initial_fields: Map::new(),
            sampler: None,
            started: Instant::now(),
        };
        let writer = LogWriter::start(vec![Box::new(io::stderr())]);
        let logs = Self { state: Arc::new(Mutex::new(state)), writer };
        let subscriber = tracing_subscriber::registry().with(LogLayer(logs.clone()));
        // An error means that a log is installed already, as tests do: then that one stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
        logs
    }

    /// Takes on a configuration.
    ///
    /// # Errors
    /// An output file that cannot be opened; the log stays as it was.
    pub fn configure(&self, config: &LogsConfig) -> io::Result<()> {
        let outputs = config.output_paths.iter().map(|path| open(path)).collect::<io::Result<Vec<_>>>()?;
        let sampling = &config.sampling;
        let mut state = self.lock();
        state.level = config.level_filter().unwrap_or(Level::INFO);
        state.json = config.encoding == "json";
        state.caller = !config.disable_caller;
        state.initial_fields = config.initial_fields.clone().into_iter().collect();
        state.sampler =
            sampling.enabled.then(|| Sampler::new(*sampling.tick, sampling.initial, sampling.thereafter));
        drop(state);
        self.writer.redirect(outputs);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Writes a text for a person between the lines of the log. Returns at once.
    pub fn print(&self, text: String) {
        self.writer.write(text);
    }

    /// Waits until everything is written, or `timeout` has passed.
    pub fn flush(&self, timeout: Duration) {
        self.writer.flush(timeout);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.lock().level;
        let most = if is_ours(metadata.target()) { level } else { level.min(Level::WARN) };
        *metadata.level() <= most
    }
}

fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    OUR_CRATES.contains(&krate) || OURS.iter().any(|part| krate.ends_with(part))
}

fn open(path: &str) -> io::Result<Box<dyn Write + Send>> {
    match path {
        "stderr" => Ok(Box::new(io::stderr())),
        "stdout" => Ok(Box::new(io::stdout())),
        file => {
            let file = file.strip_prefix("file://").unwrap_or(file);
            let opened = OpenOptions::new().create(true).append(true).open(file);
            let named = |error: io::Error| io::Error::new(error.kind(), format!("open {file}: {error}"));
            Ok(Box::new(opened.map_err(named)?))
        }
    }
}

struct LogLayer(Logs);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.enabled(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut state = self.0.lock();
        let (level, now) = (*event.metadata().level(), state.started.elapsed());
        if state.sampler.as_mut().is_some_and(|sampler| !sampler.admits(level, &fields.message, now)) {
            return;
        }
        let line = state.line(event.metadata(), fields);
        // Under the lock, so that lines keep their order.
        self.0.writer.write(line);
    }
}

impl State {
    fn line(&self, metadata: &Metadata<'_>, fields: Fields) -> String {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let caller = format!("{}:{}", metadata.target(), metadata.line().unwrap_or_default());
        let mut all = self.initial_fields.clone();
        all.extend(fields.values);
        if self.json {
            let mut line = Map::new();
            line.insert("level".into(), level.into());
            line.insert("ts".into(), time.into());
            if self.caller {
                line.insert("caller".into(), caller.into());
            }
            line.insert("msg".into(), fields.message.into());
            line.extend(all);
            return format!("{}\n", Value::Object(line));
        }
        let mut line = format!("{time}\t{level}\t");
        // Writing to a String cannot fail.
        if self.caller {
            let _ = write!(line, "{caller}\t");
        }
        line.push_str(&fields.message);
        if !all.is_empty() {
            let _ = write!(line, "\t{}", Value::Object(all));
        }
        line.push('\n');
        line
    }
}

/// The message and the fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    values: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.values.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, component::causes(value).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that a test can read.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let state = State {
            level: Level::INFO,
            json,
            caller: false,
            initial_fields: Map::from_iter([("cluster".to_owned(), "c".into())]),
            sampler: None,
            started: Instant::now(),
        };
        let writer = LogWriter::start(vec![Box::new(captured.clone())]);
        let logs = Logs { state: Arc::new(Mutex::new(state)), writer };
        let subscriber = tracing_subscriber::registry().with(LogLayer(logs.clone()));
        tracing::subscriber::with_default(subscriber, log);
        logs.flush(Duration::from_secs(10));
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn console_lines_are_tab_separated() {
        let text = logged(false, || tracing::warn!(target: "otlpreceiver", items = 3, "refused"));
        let columns: Vec<_> = text.trim_end().split('\t').collect();
        assert_eq!(columns[1..], ["warn", "refused", r#"{"cluster":"c","items":3}"#]);
        assert!(columns[0].ends_with('Z') && columns[0].len() == 24, "{}", columns[0]);
    }

    #[test]
    fn json_lines_are_objects() {
        let text = logged(true, || tracing::info!(target: "otlpreceiver", endpoint = "a:1", "started"));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["msg"], &line["endpoint"]),
            (&"info".into(), &"started".into(), &"a:1".into())
        );
    }

    #[test]
    fn finer_levels_and_libraries_are_kept_out() {
        let text = logged(false, || {
            tracing::debug!(target: "otlpreceiver", "hidden");
            tracing::info!(target: "hyper::client", "hidden");
            tracing::warn!(target: "hyper::client", "shown");
        });
        assert_eq!(text.matches("hidden").count(), 0);
        assert_eq!(text.matches("shown").count(), 1);
    }
}
