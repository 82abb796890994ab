//! Who sent what, and what became of it: nothing may be lost, and only what nobody heard of may come twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::cwlogs::Recorded;

/// The attribute that carries the id of a data point or log record.
pub const ID: &str = "ledger_id";
/// The resource attribute from which tests make the name of the stream: `{NodeName}`.
pub const STREAM: &str = "NodeName";

/// Issues payloads whose every item has an id of its own, and compares what arrived.
///
/// An item is *accepted* when the receiver took it. From then on it must arrive.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    issued: u64,
    accepted: BTreeSet<u64>,
}

/// A payload: an OTLP/JSON request.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The request.
    pub json: Vec<u8>,
    ids: std::ops::Range<u64>,
}

/// What became of the items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balance {
    /// Accepted, but never arrived.
    pub lost: BTreeSet<u64>,
    /// Arrived more than once though every arrival but the last was answered.
    pub duplicated: BTreeSet<u64>,
    /// Arrived more than once because an answer was lost.
    pub repeated: BTreeSet<u64>,
    /// Distinct items that arrived.
    pub arrived: usize,
}

impl Ledger {
    /// Gauges, each on a resource of its own with the attributes [`ID`] and [`STREAM`]: an event each where resource
    /// attributes become labels.
    pub fn metrics(&mut self, stream: &str, items: u64) -> Issue {
        self.long_metrics(stream, items, 0)
    }

    /// The same, with a resource attribute of `bytes` bytes more.
    pub fn long_metrics(&mut self, stream: &str, items: u64, bytes: usize) -> Issue {
        let ages = vec![Duration::ZERO; usize::try_from(items).unwrap_or_default()];
        self.gauges(stream, &ages, &"x".repeat(bytes))
    }

    /// The same as [`metrics`](Self::metrics), one for each age: how long before now its time is.
    pub fn metrics_at(&mut self, stream: &str, ages: &[Duration]) -> Issue {
        self.gauges(stream, ages, "")
    }

    fn gauges(&mut self, stream: &str, ages: &[Duration], padding: &str) -> Issue {
        let now = now_ns();
        let padding = Some(("padding", padding)).filter(|_| !padding.is_empty());
        self.issue(ages.len() as u64, |ids| {
            let resources: Vec<_> = ids
                .zip(ages)
                .map(|(id, age)| {
                    let id_text = id.to_string();
                    let pairs = [(STREAM, stream), (ID, id_text.as_str())];
                    json!({
                        "resource": {"attributes": attributes(pairs.into_iter().chain(padding))},
                        "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{
                            "timeUnixNano": (now - age.as_nanos()).to_string(), "asInt": id_text,
                        }]}}]}],
                    })
                })
                .collect();
            json!({"resourceMetrics": resources})
        })
    }

    /// Log records of one resource, with the attribute [`ID`] and a body of `bytes` bytes.
    pub fn logs(&mut self, stream: &str, items: u64, bytes: usize) -> Issue {
        let (time, body) = (now_ns().to_string(), "x".repeat(bytes));
        self.issue(items, |ids| {
            let records: Vec<_> = ids
                .map(|id| {
                    json!({
                        "timeUnixNano": time,
                        "body": {"stringValue": body},
                        "attributes": attributes([(ID, id.to_string().as_str())]),
                    })
                })
                .collect();
            json!({"resourceLogs": [{
                "resource": {"attributes": attributes([(STREAM, stream)])},
                "scopeLogs": [{"logRecords": records}],
            }]})
        })
    }

    fn issue(&mut self, items: u64, make: impl FnOnce(std::ops::Range<u64>) -> serde_json::Value) -> Issue {
        let ids = self.issued..self.issued + items;
        self.issued = ids.end;
        Issue { json: make(ids.clone()).to_string().into_bytes(), ids }
    }

    /// The receiver took it.
    pub fn accepted(&mut self, issue: &Issue) {
        self.accepted.extend(issue.ids.clone());
    }

    /// How many items were accepted so far.
    pub fn items(&self) -> usize {
        self.accepted.len()
    }

    /// Whether everything that was accepted has arrived.
    pub fn is_complete(&self, recorded: &Recorded) -> bool {
        // A cheap look first: this is asked again and again.
        recorded.events.len() >= self.accepted.len() && self.balance(recorded).lost.is_empty()
    }

    /// Compares with what arrived.
    pub fn balance(&self, recorded: &Recorded) -> Balance {
        // How often an item came, and how often the client was told so.
        let mut copies: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for put in &recorded.puts {
            for id in recorded.events_of(put).iter().filter_map(|event| id(&event.message)) {
                let (came, told) = copies.entry(id).or_default();
                *came += 1;
                *told += u64::from(put.answered);
            }
        }
        let which = |wanted: fn(u64, u64) -> bool| {
            copies.iter().filter(|(_, (came, told))| wanted(*came, *told)).map(|(id, _)| *id).collect()
        };
        Balance {
            lost: self.accepted.iter().filter(|id| !copies.contains_key(id)).copied().collect(),
            duplicated: which(|_, told| told > 1),
            repeated: which(|came, told| came > 1 && told <= 1),
            arrived: copies.len(),
        }
    }
}

impl Balance {
    /// Neither a loss nor a copy that a client has to answer for.
    ///
    /// # Errors
    /// The ids, for a person.
    pub fn check(&self) -> Result<(), String> {
        if self.lost.is_empty() && self.duplicated.is_empty() {
            return Ok(());
        }
        Err(format!("lost: {:?}; duplicated although answered: {:?}", self.lost, self.duplicated))
    }
}

/// The id in a message that is a JSON object with the member [`ID`] anywhere.
fn id(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("\"ledger_id\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

fn attributes<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> serde_json::Value {
    pairs.into_iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cwlogs::Put;
    use crate::emf::Event;

    fn recorded(puts: &[(&[u64], bool)]) -> Recorded {
        let mut recorded = Recorded::default();
        for (ids, answered) in puts {
            let first = recorded.events.len();
            recorded.events.extend(ids.iter().map(|id| Event {
                group: None,
                stream: None,
                timestamp: None,
                message: format!(r#"{{"m":1,"ledger_id":"{id}","_aws":{{"x":[["ledger_id"]]}}}}"#),
            }));
            let events = first..recorded.events.len();
            let (group, stream) = (String::new(), String::new());
            recorded.puts.push(Put { group, stream, events, bytes: 0, answered: *answered });
        }
        recorded
    }

    #[test]
    fn balances() {
        let check = |puts: &[(&[u64], bool)], lost: &[u64], duplicated: &[u64], repeated: &[u64]| {
            let mut ledger = Ledger::default();
            let issue = ledger.metrics("s", 3);
            ledger.accepted(&issue);
            ledger.logs("s", 1, 1);
            let balance = ledger.balance(&recorded(puts));
            let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<_>>();
            assert_eq!(balance.lost, set(lost));
            assert_eq!(balance.duplicated, set(duplicated));
            assert_eq!(balance.repeated, set(repeated));
            assert_eq!(balance.check().is_ok(), lost.is_empty() && duplicated.is_empty());
        };
        check(&[(&[0, 1, 2], true)], &[], &[], &[]);
        check(&[(&[0, 1, 2, 3], true)], &[], &[], &[]);
        check(&[(&[0, 1], true)], &[2], &[], &[]);
        check(&[], &[0, 1, 2], &[], &[]);
        check(&[(&[0, 1, 2], false), (&[0, 1, 2], true)], &[], &[], &[0, 1, 2]);
        check(&[(&[0, 1, 2], true), (&[2], true)], &[], &[2], &[]);
        check(&[(&[0, 1, 2], false), (&[2], false)], &[], &[], &[2]);
    }

    #[test]
    fn payloads_are_requests() {
        let mut ledger = Ledger::default();
        let metrics = ledger.metrics("s", 3);
        let logs = ledger.logs("s", 2, 10);
        let items = |signal, json: &[u8]| pdata::Batch::from_json(signal, json).unwrap().items();
        assert_eq!(items(pdata::Signal::Metrics, &metrics.json), 3);
        assert_eq!(items(pdata::Signal::Logs, &logs.json), 2);
        assert_eq!((metrics.ids, logs.ids), (0..3, 3..5));
    }
}
