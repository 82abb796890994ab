//! Since when all pipelines run.

use std::sync::{Mutex, PoisonError};

use confmap::GoDuration;
use jiff::Timestamp;

/// Whether all pipelines run, and since when.
#[derive(Debug, Default)]
pub(crate) struct Health {
    up_since: Mutex<Option<Timestamp>>,
}

impl Health {
    pub(crate) fn set_ready(&self, ready: bool) {
        let mut up_since = self.up_since.lock().unwrap_or_else(PoisonError::into_inner);
        *up_since = match (*up_since, ready) {
            (Some(since), true) => Some(since),
            (None, true) => Some(Timestamp::now()),
            (_, false) => None,
        };
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.up_since().is_some()
    }

    pub(crate) fn to_json(&self) -> String {
        json(self.up_since(), Timestamp::now())
    }

    fn up_since(&self) -> Option<Timestamp> {
        *self.up_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upstream's answer; Go's zero time stands for never.
fn json(up_since: Option<Timestamp>, now: Timestamp) -> String {
    match up_since {
        Some(since) => {
            let nanos = i64::try_from(now.duration_since(since).as_nanos()).unwrap_or(i64::MAX);
            let uptime = GoDuration(nanos.max(0));
            format!(r#"{{"status":"Server available","upSince":"{since}","uptime":"{uptime}"}}"#)
        }
        None => r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |since: Option<&str>, now: &str, expected: &str| {
            assert_eq!(json(since.map(|text| text.parse().unwrap()), now.parse().unwrap()), expected);
        };
        check(
            None,
            "2026-01-01T00:00:00Z",
            r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#,
        );
        check(
            Some("2026-01-01T00:00:00.25Z"),
            "2026-01-01T00:00:00.7733Z",
            r#"{"status":"Server available","upSince":"2026-01-01T00:00:00.25Z","uptime":"523.3ms"}"#,
        );
        check(
            Some("2026-01-01T00:00:00Z"),
            "2026-01-01T02:03:04Z",
            r#"{"status":"Server available","upSince":"2026-01-01T00:00:00Z","uptime":"2h3m4s"}"#,
        );
    }
}
