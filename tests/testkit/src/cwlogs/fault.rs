//! What goes wrong, by rule.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// What becomes of a request instead of, or beside, what it asks for. What is done may be a refusal: where a stream is
/// missing, for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Not done; an error of the service.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code: `ThrottlingException`.
        code: &'static str,
    },
    /// Not done; a page of a proxy with this status.
    Html(u16),
    /// Not done; the connection is reset.
    ResetBefore,
    /// Not done, and never answered.
    Silence,
    /// Done, but the connection is reset before the answer.
    ResetAfter,
    /// Done, but never answered.
    NoAnswer,
    /// Done, but the answer is not readable.
    Garbage,
    /// Done; answered after this time.
    Slow(Duration),
    /// Done; the answer has no `nextSequenceToken`.
    WithoutToken,
    /// Done; the answer has this `rejectedLogEventsInfo`.
    Rejected(Value),
}

/// When requests meet an [`Effect`].
#[derive(Debug, Clone)]
pub struct Rule {
    operation: Option<&'static str>,
    stream: Option<String>,
    times: Option<u64>,
    lasting: Option<Duration>,
    share: Option<(f64, u64)>,
    effect: Effect,
}

/// A failure to answer the next request of an operation with.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The operation that fails.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The error code: `ThrottlingException`.
    pub code: &'static str,
}

/// A rule that counts.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    left: Option<u64>,
    until: Option<Instant>,
    random: u64,
}

impl Effect {
    /// Too many requests.
    pub const THROTTLED: Self = Self::Error { status: 400, code: "ThrottlingException" };
    /// The service is down.
    pub const UNAVAILABLE: Self = Self::Error { status: 503, code: "ServiceUnavailableException" };
    /// The service is broken.
    pub const INTERNAL: Self = Self::Error { status: 500, code: "InternalFailure" };
    /// The sequence token is not the next one.
    pub const INVALID_TOKEN: Self = Self::Error { status: 400, code: "InvalidSequenceTokenException" };
    /// The same request was accepted before.
    pub const ALREADY_ACCEPTED: Self = Self::Error { status: 400, code: "DataAlreadyAcceptedException" };
    /// The credentials were good once.
    pub const EXPIRED: Self = Self::Error { status: 400, code: "ExpiredTokenException" };
    /// The credentials are good for something else.
    pub const DENIED: Self = Self::Error { status: 400, code: "AccessDeniedException" };
    /// The request is wrong.
    pub const INVALID: Self = Self::Error { status: 400, code: "InvalidParameterException" };
}

impl Rule {
    /// For every request of an operation.
    pub fn on(operation: &'static str, effect: Effect) -> Self {
        Self { operation: Some(operation), ..Self::all(effect) }
    }

    /// For every `PutLogEvents`.
    pub fn put(effect: Effect) -> Self {
        Self::on("PutLogEvents", effect)
    }

    /// For every request.
    pub fn all(effect: Effect) -> Self {
        Self { operation: None, stream: None, times: None, lasting: None, share: None, effect }
    }

    /// … for this stream only.
    #[must_use]
    pub fn stream(self, stream: &str) -> Self {
        Self { stream: Some(stream.to_owned()), ..self }
    }

    /// … so many times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// … for this time from when it is added.
    #[must_use]
    pub fn lasting(self, lasting: Duration) -> Self {
        Self { lasting: Some(lasting), ..self }
    }

    /// … with this probability, drawn from a sequence that the seed decides.
    #[must_use]
    pub fn share(self, share: f64, seed: u64) -> Self {
        Self { share: Some((share, seed)), ..self }
    }

    pub(super) fn armed(self) -> Armed {
        Armed {
            left: self.times,
            until: self.lasting.map(|lasting| Instant::now() + lasting),
            random: self.share.map_or(0, |(_, seed)| seed),
            rule: self,
        }
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self::on(fault.operation, Effect::Error { status: fault.status, code: fault.code }).times(1)
    }
}

impl Armed {
    /// The effect on a request, if it has one.
    pub(super) fn meet(&mut self, operation: &str, stream: &str) -> Option<Effect> {
        let fits = self.rule.operation.is_none_or(|own| own == operation)
            && self.rule.stream.as_deref().is_none_or(|own| own == stream)
            && self.left != Some(0)
            && self.until.is_none_or(|until| Instant::now() < until);
        if !fits || self.rule.share.is_some_and(|(share, _)| self.draw() >= share) {
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(self.rule.effect.clone())
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), as a number from 0 to 1.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(rule: Rule, requests: &[(&str, &str)]) -> Vec<bool> {
        let mut armed = rule.armed();
        requests.iter().map(|(operation, stream)| armed.meet(operation, stream).is_some()).collect()
    }

    #[test]
    fn rules() {
        let check = |rule: Rule, expected: [bool; 4]| {
            let requests = [
                ("PutLogEvents", "a"),
                ("PutLogEvents", "b"),
                ("CreateLogStream", "a"),
                ("PutLogEvents", "a"),
            ];
            assert_eq!(met(rule, &requests), expected);
        };
        check(Rule::all(Effect::Silence), [true, true, true, true]);
        check(Rule::put(Effect::Silence), [true, true, false, true]);
        check(Rule::put(Effect::Silence).stream("a"), [true, false, false, true]);
        check(Rule::put(Effect::Silence).stream("a").times(1), [true, false, false, false]);
        check(Rule::all(Effect::Silence).share(0.0, 1), [false; 4]);
        check(Rule::all(Effect::Silence).share(1.0, 1), [true; 4]);
    }

    #[test]
    fn a_share_is_about_that_share_and_the_same_every_time() {
        let run = || met(Rule::put(Effect::Silence).share(0.3, 7), &[("PutLogEvents", ""); 1000]);
        let count = run().iter().filter(|met| **met).count();
        assert!((250..350).contains(&count), "{count}");
        assert_eq!(run(), run());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_lasts() {
        let mut armed = Rule::put(Effect::Silence).lasting(Duration::from_secs(600)).armed();
        assert_eq!(armed.meet("PutLogEvents", ""), Some(Effect::Silence));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(armed.meet("PutLogEvents", ""), None);
    }
}
