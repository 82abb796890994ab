//! Recorded cases of the awsemf exporter: what goes in, what has to come out, and how the two are compared.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::{Map, Value};

/// The time around which the recorded data stand, Unix time in milliseconds.
pub const RECORDED_AT: i64 = 1_700_000_000_000;
/// How long before the time of a replay its data stand, in milliseconds.
pub const REPLAY_AGE: i64 = 30 * 60 * 1000;
/// How far from the time of a replay a time is taken for the collector's own, in milliseconds.
const CLOCK_TOLERANCE: i64 = 10 * 60 * 1000;
/// The variable that says where the recorded cases are.
const DIRECTORY_VARIABLE: &str = "CONFORMANCE_VECTORS";

/// A recorded case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// A collector configuration.
    pub config: String,
    /// OTLP/JSON requests, in order.
    pub inputs: Vec<Value>,
    /// Whether each request was answered with success.
    pub accepted: Vec<bool>,
    /// What has to come out.
    pub expected: Expected,
    /// Retention per group, and tags per group, that the control calls set.
    pub control: Value,
}

/// What has to come out of a case.
#[derive(Debug, Clone)]
pub enum Expected {
    /// These events, normalised.
    Events(Vec<String>),
    /// A refusal of the configuration that mentions this text.
    Refusal(String),
}

/// An event as it came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The log group; none on standard output.
    pub group: Option<String>,
    /// The log stream; none on standard output.
    pub stream: Option<String>,
    /// Unix time in milliseconds; none on standard output.
    pub timestamp: Option<i64>,
    /// The message.
    pub message: String,
}

impl Case {
    /// All cases below a directory, by name. `own` holds a file `<case>.jsonl` for every case whose recorded output shows
    /// a fault.
    ///
    /// # Errors
    /// Files that cannot be read or are not JSON.
    pub fn all(directory: &Path, own: &Path) -> io::Result<Vec<Self>> {
        let mut folders: Vec<PathBuf> =
            fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        folders.sort();
        folders.iter().filter(|path| path.is_dir()).map(|path| Self::load(path, own)).collect()
    }

    fn load(folder: &Path, own: &Path) -> io::Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut inputs: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        inputs
            .retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("input")));
        inputs.sort();
        let meta: Value = serde_json::from_str(&fs::read_to_string(folder.join("meta.json"))?)?;
        let defect = meta.get("upstream_defect").is_some();
        let expected = if defect { own.join(format!("{name}.jsonl")) } else { folder.join("expected.jsonl") };
        let statuses = meta.get("statuses").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self {
            config: fs::read_to_string(folder.join("config.yaml"))?,
            inputs: inputs
                .iter()
                .map(|path| Ok(serde_json::from_str(&fs::read_to_string(path)?)?))
                .collect::<io::Result<_>>()?,
            accepted: statuses.iter().map(|status| status == "ok").collect(),
            expected: Expected::parse(&fs::read_to_string(expected)?)?,
            control: meta.get("control").cloned().unwrap_or_default(),
            name,
        })
    }

    /// The configuration of the exporter, as a document of its own. `endpoint` stands for that of CloudWatch Logs.
    pub fn exporter_config(&self, endpoint: &str) -> String {
        self.config
            .lines()
            .skip_while(|line| line.trim() != "awsemf:")
            .skip(1)
            .take_while(|line| line.starts_with("    "))
            .map(|line| format!("{}\n", line.replace("${env:CWSINK_ENDPOINT}", endpoint)))
            .collect()
    }

    /// The inputs with their times moved to half an hour before `now`, Unix time in milliseconds.
    pub fn moved_inputs(&self, now: i64) -> Vec<Vec<u8>> {
        let offset = offset(now) * 1_000_000;
        let mut inputs = self.inputs.clone();
        inputs.iter_mut().for_each(|input| move_times(input, offset));
        inputs.iter().map(|input| input.to_string().into_bytes()).collect()
    }

    /// Compares what came out at `now` with what is expected; lists what differs.
    ///
    /// # Errors
    /// The differences, for a person.
    pub fn compare(&self, events: &[Event], now: i64) -> Result<(), String> {
        let Expected::Events(expected) = &self.expected else {
            return Err("the configuration was accepted".to_owned());
        };
        let version_0 = self.config.contains("version: '0'");
        let mut got: Vec<String> = events.iter().map(|event| event.normalised(now, version_0)).collect();
        got.sort();
        if got == *expected {
            return Ok(());
        }
        let missing = expected.iter().filter(|line| !got.contains(line)).map(|line| format!("- {line}\n"));
        let surplus = got.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}\n"));
        let counts = format!("{} events expected, {} came\n", expected.len(), got.len());
        Err(std::iter::once(counts).chain(missing).chain(surplus).collect())
    }
}

impl Expected {
    fn parse(lines: &str) -> io::Result<Self> {
        let mut events = Vec::new();
        for line in lines.lines() {
            let mut event: Value = serde_json::from_str(line)?;
            if let Some(text) = event.get("refused").and_then(Value::as_str) {
                return Ok(Self::Refusal(text.to_owned()));
            }
            normalise(&mut event);
            events.push(event.to_string());
        }
        events.sort();
        Ok(Self::Events(events))
    }
}

impl Event {
    /// As one line that is equal for equal events.
    fn normalised(&self, now: i64, version_0: bool) -> String {
        let time = |time: i64| match (time - now).abs() < CLOCK_TOLERANCE {
            true => Value::from("<now>"),
            false => Value::from(time - offset(now)),
        };
        let mut message: Value =
            serde_json::from_str(&self.message).unwrap_or_else(|_| Value::from(self.message.as_str()));
        if let Some(timestamp) = message.pointer_mut("/_aws/Timestamp")
            && let Some(number) = timestamp.as_i64()
        {
            *timestamp = time(number);
        }
        if let (true, Some(timestamp)) = (version_0, message.get_mut("Timestamp"))
            && let Some(number) = timestamp.as_str().and_then(|text| text.parse().ok())
        {
            let moved = time(number);
            *timestamp = moved.as_i64().map_or(moved, |number| Value::from(number.to_string()));
        }
        let stream = self.stream.as_deref().map(|stream| match stream.strip_prefix("otel-stream-") {
            Some(uuid) if uuid.len() == 36 => "otel-stream-<uuid>",
            _ => stream,
        });
        let mut event = Value::Object(Map::from_iter([
            ("log_group".to_owned(), self.group.as_deref().map_or(Value::Null, Value::from)),
            ("log_stream".to_owned(), stream.map_or(Value::Null, Value::from)),
            ("timestamp".to_owned(), self.timestamp.map_or(Value::Null, time)),
            ("message".to_owned(), message),
        ]));
        normalise(&mut event);
        event.to_string()
    }
}

/// Where the recorded cases of a component are; `None` if they are not at hand.
pub fn directory(component: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root =
        env::var_os(DIRECTORY_VARIABLE).map_or_else(|| workspace.join("../shared/vectors"), PathBuf::from);
    Some(root.join(component)).filter(|path| path.is_dir())
}

/// The expectations of our own, for cases whose recorded output shows a fault.
pub fn own_expectations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/expected")
}

/// From recorded to replayed times, in milliseconds.
fn offset(now: i64) -> i64 {
    now - REPLAY_AGE - RECORDED_AT
}

fn move_times(value: &mut Value, offset: i64) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let time = member.as_str().and_then(|text| text.parse::<i64>().ok()).filter(|&time| time > 0);
                match time {
                    Some(time) if key == "timeUnixNano" || key == "startTimeUnixNano" => {
                        *member = Value::from((time + offset).to_string());
                    }
                    _ => move_times(member, offset),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_times(item, offset)),
        _ => {}
    }
}

/// Puts an event into the form in which equal events are equal text: numbers by value, unordered lists sorted.
fn normalise(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64() {
                // Also makes -0 and 0 one.
                *value = Value::from(if float == 0.0 { 0.0 } else { float });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                normalise(member);
                let depth = match key.as_str() {
                    "CloudWatchMetrics" | "Metrics" => 1,
                    "Dimensions" => 2,
                    _ => 0,
                };
                sort(member, depth);
            }
            // The map's own order depends on a feature that any crate in the build may switch on.
            let mut sorted: Vec<_> = std::mem::take(members).into_iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            *members = sorted.into_iter().collect();
        }
        _ => {}
    }
}

fn sort(value: &mut Value, depth: usize) {
    if let (Value::Array(items), 1..) = (value, depth) {
        items.iter_mut().for_each(|item| sort(item, depth - 1));
        items.sort_by_key(Value::to_string);
    }
}
