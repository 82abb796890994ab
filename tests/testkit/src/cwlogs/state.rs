//! Groups, streams and what was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::check::PutInput;
use super::fault::{Armed, Effect};
use super::{Put, Recorded, signature};
use crate::emf::Event;

/// How old an event may be, in milliseconds.
const OLDEST_MS: i64 = 14 * 24 * 60 * 60 * 1000;
/// How far ahead an event may be, in milliseconds.
const NEWEST_MS: i64 = 2 * 60 * 60 * 1000;
/// Members of an operation's name.
const TARGET_PREFIX: &str = "Logs_20140328.";

/// A request that has arrived in full.
pub(super) struct Arrival {
    pub(super) operation: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Everything but the events of PutLogEvents.
    input: Value,
    put: Option<PutInput>,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Whether the answer has a `nextSequenceToken`.
    pub(super) token: bool,
    /// The `rejectedLogEventsInfo` of the answer.
    pub(super) rejected: Option<Value>,
    /// The request's place in [`Recorded::puts`].
    pub(super) put: Option<usize>,
}

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) recorded: Recorded,
    pub(super) rules: Vec<Armed>,
    pub(super) expired: BTreeSet<String>,
    pub(super) secrets: BTreeMap<String, String>,
    groups: BTreeMap<String, BTreeSet<String>>,
    /// The client of the requests before this one has died.
    died_before: usize,
}

impl Arrival {
    pub(super) fn new(headers: HeaderMap, body: Bytes) -> Self {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or(target).to_owned();
        let (input, put) = match operation.as_str() {
            "PutLogEvents" => (Value::Null, serde_json::from_slice(&body).ok()),
            _ => (serde_json::from_slice(&body).unwrap_or_default(), None),
        };
        Self { operation, headers, body, input, put }
    }

    fn text(&self, key: &str) -> &str {
        self.input.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn stream(&self) -> &str {
        self.put.as_ref().map_or_else(|| self.text("logStreamName"), |put| &put.log_stream_name)
    }
}

impl State {
    /// Notes a request; what becomes of it by a rule.
    pub(super) fn arrive(&mut self, arrival: &Arrival) -> Option<Effect> {
        self.recorded.operations.push(arrival.operation.clone());
        self.recorded.headers.push(arrival.headers.clone());
        let effect = self.rules.iter_mut().find_map(|rule| rule.meet(&arrival.operation, arrival.stream()));
        self.recorded.faults += usize::from(effect.is_some());
        effect
    }

    /// Does what is asked.
    pub(super) fn execute(&mut self, arrival: Arrival) -> Result<Done, Refusal> {
        let operation = arrival.operation.clone();
        let result = self.try_execute(arrival);
        if let Err(Refusal { code, message, .. }) = &result
            && !message.is_empty()
        {
            self.recorded.violations.push(format!("{operation}: {code}: {message}"));
        }
        result
    }

    fn try_execute(&mut self, arrival: Arrival) -> Result<Done, Refusal> {
        self.authorize(&arrival)?;
        let (group, stream) =
            (arrival.text("logGroupName").to_owned(), arrival.text("logStreamName").to_owned());
        match arrival.operation.as_str() {
            "CreateLogGroup" if self.groups.contains_key(&group) => Err(Refusal::state(ALREADY_EXISTS)),
            "CreateLogGroup" => {
                if let Some(tags) = arrival.input.get("tags") {
                    self.recorded.tags.insert(group.clone(), tags.clone());
                }
                self.groups.insert(group, BTreeSet::new());
                Ok(Done::default())
            }
            "PutRetentionPolicy" if !self.groups.contains_key(&group) => Err(Refusal::state(NOT_FOUND)),
            "PutRetentionPolicy" => {
                let days = arrival.input.get("retentionInDays").and_then(Value::as_i64).unwrap_or_default();
                self.recorded.retention.insert(group, days);
                Ok(Done::default())
            }
            "CreateLogStream" => match self.groups.get_mut(&group) {
                None => Err(Refusal::state(NOT_FOUND)),
                Some(streams) => {
                    let new = streams.insert(stream);
                    new.then(Done::default).ok_or_else(|| Refusal::state(ALREADY_EXISTS))
                }
            },
            "PutLogEvents" => match arrival.put {
                Some(input) => self.put(input),
                None => {
                    Err(Refusal::violation("SerializationException", "not the input of PutLogEvents".into()))
                }
            },
            other => Err(Refusal::violation("UnknownOperationException", format!("operation {other:?}"))),
        }
    }

    /// Who asks, and in which form.
    fn authorize(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let headers = &arrival.headers;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        signature::check(headers, &arrival.body, &self.secrets)
            .map_err(|fault| Refusal::violation("InvalidSignatureException", fault))?;
        for (name, expected) in
            [("content-type", "application/x-amz-json-1.1"), ("x-amzn-logs-format", "json/emf")]
        {
            if text(name) != expected {
                let fault = format!("{name} is {:?}, not {expected}", text(name));
                return Err(Refusal::violation("InvalidParameterException", fault));
            }
        }
        let authorization = signature::Authorization::parse(text("authorization"));
        let access_key = authorization.as_ref().map_or("", |authorization| authorization.access_key);
        if self.expired.contains(access_key) || self.expired.contains(text("x-amz-security-token")) {
            return Err(Refusal::state("ExpiredTokenException"));
        }
        Ok(())
    }

    fn put(&mut self, input: PutInput) -> Result<Done, Refusal> {
        input.check().map_err(|fault| Refusal::violation("InvalidParameterException", fault))?;
        let bytes = input.bytes();
        let (group, stream) = (input.log_group_name, input.log_stream_name);
        if !self.groups.get(&group).is_some_and(|streams| streams.contains(&stream)) {
            return Err(Refusal::state(NOT_FOUND));
        }
        let now = now_ms();
        let too_old = input.log_events.partition_point(|event| event.timestamp < now - OLDEST_MS);
        let too_new = input.log_events.partition_point(|event| event.timestamp <= now + NEWEST_MS);
        let mut rejected = Map::new();
        if too_old > 0 {
            rejected.insert("tooOldLogEventEndIndex".to_owned(), too_old.into());
        }
        if too_new < input.log_events.len() {
            rejected.insert("tooNewLogEventStartIndex".to_owned(), too_new.into());
        }
        let rejected = Some(rejected).filter(|rejected| !rejected.is_empty()).map(Value::Object);
        let first = self.recorded.events.len();
        let kept = input.log_events.into_iter().take(too_new).skip(too_old);
        self.recorded.events.extend(kept.map(|event| Event {
            group: Some(group.clone()),
            stream: Some(stream.clone()),
            timestamp: Some(event.timestamp),
            message: event.message,
        }));
        let events = first..self.recorded.events.len();
        self.recorded.puts.push(Put { group, stream, events, bytes, answered: false });
        Ok(Done { token: true, rejected, put: Some(self.recorded.puts.len() - 1) })
    }

    /// The client knows.
    pub(super) fn answered(&mut self, put: usize) {
        let lives = put >= self.died_before;
        if let Some(put) = self.recorded.puts.get_mut(put).filter(|_| lives) {
            put.answered = true;
        }
    }

    /// The client may not have heard the last answer.
    pub(super) fn forget_last_answer(&mut self) {
        self.died_before = self.recorded.puts.len();
        if let Some(put) = self.recorded.puts.last_mut() {
            put.answered = false;
        }
    }
}

/// There is no such group or stream.
const NOT_FOUND: &str = "ResourceNotFoundException";
/// There is such a group or stream.
const ALREADY_EXISTS: &str = "ResourceAlreadyExistsException";

impl Refusal {
    /// What a correct client may meet.
    fn state(code: &'static str) -> Self {
        Self { status: 400, code, message: String::new() }
    }

    /// What a correct client never meets.
    fn violation(code: &'static str, message: String) -> Self {
        Self { status: 400, code, message }
    }
}

impl Done {
    /// The body of the answer.
    pub(super) fn answer(self) -> Value {
        let token = self.token.then(|| ("nextSequenceToken".to_owned(), json!("1")));
        let rejected = self.rejected.map(|info| ("rejectedLogEventsInfo".to_owned(), info));
        Value::Object(token.into_iter().chain(rejected).collect())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
