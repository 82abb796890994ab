//! What a watch does next: pure, so that every way it can go is a test.

use std::time::Duration;

use crate::Error;
use crate::random::Random;

/// The waits after failures begin here and double up to [`LONGEST_WAIT`], each spread over half to one and a half.
const FIRST_WAIT: Duration = Duration::from_millis(800);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a role does not allow is asked for seldom: somebody has to change the role.
const DENIED_WAIT: Duration = Duration::from_secs(60);

/// When a version is too old for one watch it is so for many nodes: they do not all list at once.
const RELIST_SPREAD: Duration = Duration::from_secs(5);

/// A watch that lasted so long was no failure, whatever ended it.
const GOOD_WATCH: Duration = Duration::from_secs(10);

/// Where a watch stands.
#[derive(Debug)]
pub(super) struct Plan {
    /// The version up to which everything is known; absent before the first list and when it is too old.
    version: Option<String>,
    /// Whether the server sends lists as streams, as far as is known.
    streams: bool,
    /// Whether a list may come from the server's cache however old it is: only if nothing newer was seen.
    any_version: bool,
    failures: u32,
    random: Random,
}

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A watch that begins with all objects.
    StreamList,
    /// Pages of a list. Whether its cache's state is good enough.
    PageList {
        /// Whether the state of the server's cache is good enough.
        any_version: bool,
    },
    /// Changes since a version.
    Watch {
        /// The version.
        version: String,
    },
}

impl Plan {
    pub(super) fn new(random: Random) -> Self {
        Self { version: None, streams: true, any_version: true, failures: 0, random }
    }

    pub(super) fn next(&self) -> Step {
        match &self.version {
            Some(version) => Step::Watch { version: version.clone() },
            None if self.streams => Step::StreamList,
            None => Step::PageList { any_version: self.any_version },
        }
    }

    /// A list is complete, or a change came.
    pub(super) fn reached(&mut self, version: String) {
        if !version.is_empty() {
            self.version = Some(version);
            self.any_version = false;
        }
        self.failures = 0;
    }

    /// How many seconds the server is to keep a watch open: 5 to 10 minutes, so that not all watches of a cluster end
    /// together.
    pub(super) fn watch_seconds(&mut self) -> u64 {
        300 + self.random.below(300)
    }

    /// The step ended in good order, as watches do after their time. How long to wait before the next.
    pub(super) fn ended(&mut self, step: &Step, lasted: Duration) -> Duration {
        match step {
            Step::PageList { .. } => Duration::ZERO,
            _ if lasted >= GOOD_WATCH => Duration::ZERO,
            // A server that ends watches at once is in trouble.
            _ => self.back_off(),
        }
    }

    /// The step failed. How long to wait before the next.
    pub(super) fn failed(&mut self, step: &Step, error: &Error, lasted: Duration) -> Duration {
        match error {
            Error::Gone => {
                self.version = None;
                if self.failures > 0 {
                    return self.back_off();
                }
                self.failures = 1;
                self.random.spread(Duration::ZERO, RELIST_SPREAD)
            }
            Error::Denied { .. } => self.random.around(DENIED_WAIT),
            Error::Busy { retry_after: Some(wait) } => *wait + self.random.spread(Duration::ZERO, FIRST_WAIT),
            // Servers that do not know of streamed lists refuse the parameters.
            Error::Status { status: 400 | 405 | 406 | 415 | 422, .. } | Error::Silent(_)
                if *step == Step::StreamList && self.streams =>
            {
                self.streams = false;
                Duration::ZERO
            }
            // What is not understood may hide a change: only a list makes up for it.
            Error::Malformed(_) | Error::NotJson { .. } | Error::TooLong { .. } => {
                self.version = None;
                self.back_off()
            }
            _ if lasted >= GOOD_WATCH => {
                self.failures = 0;
                self.back_off()
            }
            _ => self.back_off(),
        }
    }

    fn back_off(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures += 1;
        self.random.around(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(300);

    fn plan() -> Plan {
        Plan::new(Random::seeded(7))
    }

    fn status(status: u16) -> Error {
        Error::Status { status, message: String::new() }
    }

    fn watch(version: &str) -> Step {
        Step::Watch { version: version.to_owned() }
    }

    #[test]
    fn a_list_comes_first_then_changes_from_its_version() {
        let mut plan = plan();
        assert_eq!(plan.next(), Step::StreamList);
        plan.reached("7".to_owned());
        assert_eq!(plan.next(), watch("7"));
        assert_eq!(plan.ended(&watch("7"), LONG), Duration::ZERO);
        assert_eq!(plan.next(), watch("7"));
    }

    #[test]
    fn what_a_failure_leads_to() {
        fn check(from: Option<&str>, error: &Error, next: &Step, wait: std::ops::RangeInclusive<f64>) {
            let mut plan = plan();
            if let Some(version) = from {
                plan.reached(version.to_owned());
            }
            let step = plan.next();
            let waited = plan.failed(&step, error, SHORT).as_secs_f64();
            assert!(wait.contains(&waited), "{error}: {waited}");
            assert_eq!(plan.next(), *next, "{error}");
        }
        let first = 0.4..=1.2;
        let cut = Error::CutOff { offset: 7 };
        let denied =
            Error::Denied { verb: "watch", resource: "pods".into(), status: 403, message: String::new() };
        let pages = Step::PageList { any_version: true };
        // Before the first list.
        check(None, &status(422), &pages, 0.0..=0.0);
        check(None, &status(400), &pages, 0.0..=0.0);
        check(None, &Error::Silent(SHORT), &pages, 0.0..=0.0);
        check(None, &status(500), &Step::StreamList, first.clone());
        check(None, &cut, &Step::StreamList, first.clone());
        check(None, &denied, &Step::StreamList, 30.0..=90.0);
        check(None, &Error::Gone, &Step::StreamList, 0.0..=5.0);
        // Later.
        check(Some("7"), &cut, &watch("7"), first.clone());
        check(Some("7"), &status(500), &watch("7"), first.clone());
        check(Some("7"), &Error::Silent(SHORT), &watch("7"), first.clone());
        check(Some("7"), &denied, &watch("7"), 30.0..=90.0);
        check(Some("7"), &Error::Gone, &Step::StreamList, 0.0..=5.0);
        check(Some("7"), &Error::NotJson { offset: 0, shown: "<".into() }, &Step::StreamList, first);
        check(
            Some("7"),
            &Error::Busy { retry_after: Some(Duration::from_secs(20)) },
            &watch("7"),
            20.0..=20.8,
        );
    }

    #[test]
    fn a_server_that_forgets_everything_is_not_asked_all_the_time() {
        let mut plan = plan();
        plan.reached("7".to_owned());
        let waits: Vec<f64> =
            (0..10).map(|_| plan.failed(&Step::StreamList, &Error::Gone, SHORT).as_secs_f64()).collect();
        assert!(waits[0] <= 5.0 && waits[9] >= 15.0, "{waits:?}");
    }

    #[test]
    fn pages_after_a_version_was_seen_are_not_taken_from_an_old_cache() {
        let mut plan = plan();
        plan.failed(&Step::StreamList, &status(422), SHORT);
        assert_eq!(plan.next(), Step::PageList { any_version: true });
        plan.reached("7".to_owned());
        plan.failed(&watch("7"), &Error::Gone, SHORT);
        assert_eq!(plan.next(), Step::PageList { any_version: false });
    }

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew_after_a_success() {
        let mut plan = plan();
        let step = watch("7");
        let waits: Vec<f64> =
            (0..50).map(|_| plan.failed(&step, &status(500), SHORT).as_secs_f64()).collect();
        assert!(waits.iter().skip(6).all(|wait| (15.0..=45.0).contains(wait)), "{waits:?}");
        plan.reached("8".to_owned());
        assert!(plan.failed(&step, &status(500), SHORT).as_secs_f64() <= 1.2);
        // A connection that ends after minutes is no sign of trouble.
        for _ in 0..10 {
            assert!(plan.failed(&step, &Error::CutOff { offset: 1 }, LONG).as_secs_f64() <= 1.2);
        }
        // One that ends at once is.
        plan.reached("9".to_owned());
        let waits: Vec<f64> = (0..10).map(|_| plan.ended(&step, SHORT).as_secs_f64()).collect();
        assert!(waits.last().is_some_and(|wait| *wait >= 15.0), "{waits:?}");
    }
}
