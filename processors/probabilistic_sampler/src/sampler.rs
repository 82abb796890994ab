//! Decides what is kept.

use pdata::Signal;
use pdata::rewrite::Place;

use crate::config::{AttributeSource, Config, Mode};
use crate::item::{Carrier, Fields, Priority};
use crate::threshold::{MIN_PROBABILITY, Randomness, Threshold, ValueError};

/// How many of 2¹⁴ hashes one percent is.
const BUCKETS_PER_PERCENT: f32 = 163.84;

/// Decides about the items of a signal.
#[derive(Debug)]
pub(crate) struct Sampler {
    fields: Fields,
    rule: Rule,
    config: Config,
    precision: usize,
    signal: Signal,
}

#[derive(Debug)]
enum Rule {
    Never,
    Hash(Threshold),
    Equalizing(Threshold),
    /// By how much the share is multiplied.
    Proportional(f64),
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    TraceIdHash,
    TraceIdW3c,
    SamplingRandomness,
    SamplingPriority,
    MissingRandomness,
    /// The attribute of the configuration.
    Attribute,
}

/// Why an item could not be decided about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SamplerError {
    #[error("inconsistent arriving threshold: item should not have been sampled")]
    InconsistentThreshold,
    #[error("missing randomness")]
    MissingRandomness,
    #[error("item has sampling randomness, equalizing or proportional mode recommended")]
    RandomnessInUse,
    #[error("item has sampling threshold, equalizing or proportional mode recommended")]
    ThresholdInUse,
    #[error("cannot raise existing sampling probability")]
    InconsistentSampling,
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// What is known of an item before the decision.
struct Known {
    policy: Policy,
    /// Nothing if it is missing.
    randomness: Option<Randomness>,
    /// What the item says as it came, and as it is to say; nothing if it is to be left alone.
    carrier: Option<(Carrier, Carrier)>,
    fault: Option<SamplerError>,
}

impl Sampler {
    pub(crate) fn new(signal: Signal, config: Config) -> Option<Self> {
        let percentage = config.sampling_percentage.min(100.0);
        let ratio = (f64::from(percentage) / 100.0).max(MIN_PROBABILITY);
        let precision = usize::try_from(config.sampling_precision).unwrap_or(0);
        let rule = match config.mode {
            _ if percentage <= 0.0 => Rule::Never,
            Mode::Equalizing => Threshold::of(ratio, precision).map_or(Rule::Never, Rule::Equalizing),
            Mode::Proportional => Rule::Proportional(ratio),
            // In 32 bits and rounded down, as it has always been.
            Mode::HashSeed => match (percentage * BUCKETS_PER_PERCENT) as u64 {
                0 => Rule::Never,
                kept => Rule::Hash(Threshold::of_buckets(kept)),
            },
        };
        Some(Self { fields: Fields::new(signal)?, rule, config, precision, signal })
    }

    /// The name of a policy.
    pub(crate) fn policy_name(&self, policy: Policy) -> &str {
        match policy {
            Policy::TraceIdHash => "trace_id_hash",
            Policy::TraceIdW3c => "trace_id_w3c",
            Policy::SamplingRandomness => "sampling_randomness",
            Policy::SamplingPriority => "sampling_priority",
            Policy::MissingRandomness => "missing_randomness",
            Policy::Attribute => &self.config.from_attribute,
        }
    }

    /// Whether an item is kept, and what decided. What it says about sampling is written into one that is kept.
    pub(crate) fn decide(&self, place: &mut Place<'_>) -> (Policy, bool) {
        let mut known = self.known(place);
        let fault = known.fault.take().or_else(|| known.inconsistency());
        let mut threshold = match &fault {
            None => self.threshold(known.carrier.as_ref().map(|(_, carrier)| carrier)),
            Some(fault) => {
                self.log(fault);
                if self.config.fail_closed { Threshold::NEVER } else { Threshold::ALWAYS }
            }
        };
        if let Some(priority) = self.priority(place) {
            threshold = priority;
            known.policy = Policy::SamplingPriority;
        }
        let kept = threshold.keeps(known.randomness.unwrap_or(Randomness::ALL));
        if kept && let Some((before, mut after)) = known.carrier {
            let raised = after.threshold.is_some_and(|arrived| arrived > threshold);
            if raised {
                self.log(&SamplerError::InconsistentSampling);
            } else {
                after.threshold = Some(threshold);
            }
            self.fields.write(place, &before, &after, !raised);
        }
        (known.policy, kept)
    }

    /// The threshold for an item whose randomness is known.
    fn threshold(&self, carrier: Option<&Carrier>) -> Threshold {
        let arrived = carrier.and_then(|carrier| carrier.threshold);
        match self.rule {
            Rule::Never => Threshold::NEVER,
            Rule::Hash(threshold) => threshold,
            Rule::Equalizing(threshold) => arrived.map_or(threshold, |arrived| arrived.max(threshold)),
            Rule::Proportional(ratio) => {
                let share = arrived.map_or(1.0, Threshold::probability) * ratio;
                // A share too small to be said is none.
                Threshold::of(share, self.precision).unwrap_or(Threshold::NEVER)
            }
        }
    }

    /// What overrides the decision.
    fn priority(&self, place: &Place<'_>) -> Option<Threshold> {
        if self.signal == Signal::Traces {
            return match self.fields.span_priority(place) {
                Priority::Defer => None,
                Priority::Keep => Some(Threshold::ALWAYS),
                Priority::Drop => Some(Threshold::NEVER),
            };
        }
        let key = &self.config.sampling_priority;
        if key.is_empty() { None } else { self.fields.record_priority(place, key, self.precision) }
    }

    fn known(&self, place: &Place<'_>) -> Known {
        let (carrier, fault) = match self.fields.carrier(place) {
            Ok(carrier) => (Some(carrier), None),
            Err(fault) => (None, Some(SamplerError::from(fault))),
        };
        match self.rule {
            Rule::Never => Known {
                policy: Policy::SamplingPriority,
                randomness: Some(Randomness::ALL),
                carrier: carrier.map(|carrier| (carrier.clone(), carrier)),
                fault,
            },
            Rule::Hash(_) => self.known_by_hash(place, carrier, fault),
            Rule::Equalizing(_) | Rule::Proportional(_) => {
                let said = carrier.as_ref().and_then(|carrier| carrier.randomness);
                let of_trace = || self.fields.trace_id(place).map(Randomness::of_trace);
                let (policy, randomness) = match (said, fault.is_none().then(of_trace).flatten()) {
                    (Some(randomness), _) => (Policy::SamplingRandomness, Some(randomness)),
                    (None, Some(randomness)) => (Policy::TraceIdW3c, Some(randomness)),
                    (None, None) => (Policy::MissingRandomness, None),
                };
                Known {
                    policy,
                    randomness,
                    carrier: carrier.map(|carrier| (carrier.clone(), carrier)),
                    fault,
                }
            }
        }
    }

    fn known_by_hash(
        &self,
        place: &Place<'_>,
        carrier: Option<Carrier>,
        fault: Option<SamplerError>,
    ) -> Known {
        let seed = self.config.hash_seed;
        let spans = self.signal == Signal::Traces;
        let by_trace = spans || self.config.attribute_source == AttributeSource::TraceId;
        let of_trace = || self.fields.trace_id(place).map(|id| Randomness::of_bytes(id, seed));
        let key = &self.config.from_attribute;
        let of_attribute = || self.fields.hashed(place, key, |bytes| Randomness::of_bytes(bytes, seed));
        let (policy, randomness) = if let Some(randomness) = by_trace.then(of_trace).flatten() {
            (Policy::TraceIdHash, Some(randomness))
        } else if let Some(randomness) = (!spans && !key.is_empty()).then(of_attribute).flatten() {
            (Policy::Attribute, Some(randomness))
        } else {
            (Policy::MissingRandomness, None)
        };
        // An item that others have sampled already is left alone: this mode is not for it.
        let (carrier, fault) = match carrier {
            None => (None, fault),
            Some(Carrier { randomness: Some(_), .. }) => (None, Some(SamplerError::RandomnessInUse)),
            Some(Carrier { threshold: Some(_), .. }) => (None, Some(SamplerError::ThresholdInUse)),
            Some(before) => {
                let said = if spans { Some(randomness.unwrap_or(Randomness::ALL)) } else { randomness };
                (Some((before, Carrier { randomness: said, threshold: None })), None)
            }
        };
        Known { policy, randomness, carrier, fault }
    }

    fn log(&self, fault: &SamplerError) {
        let what = if self.signal == Signal::Traces { "traces sampler" } else { "logs sampler" };
        match fault {
            SamplerError::Value(fault) => tracing::info!(error = %fault, "{what}"),
            fault => tracing::debug!(error = %fault, "{what}"),
        }
    }
}

impl Known {
    /// Why the item cannot be decided about though all of it was read. A threshold that is a lie is forgotten.
    fn inconsistency(&mut self) -> Option<SamplerError> {
        let Some(randomness) = self.randomness else { return Some(SamplerError::MissingRandomness) };
        let (_, after) = self.carrier.as_mut()?;
        if after.threshold.is_none_or(|arrived| arrived.keeps(randomness)) {
            return None;
        }
        after.threshold = None;
        Some(SamplerError::InconsistentThreshold)
    }
}
