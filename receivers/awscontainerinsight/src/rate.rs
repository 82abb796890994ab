//! Rates of counters.

use std::collections::HashMap;
use std::time::Duration;

/// Two readings closer than this are the same one, and say nothing about a rate.
const LEAST_ELAPSED: Duration = Duration::from_micros(50);

/// The last readings of `N` counters that belong to one thing and are read together: the CPU times of a control group,
/// the traffic of an interface.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counters<const N: usize> {
    last: Option<Reading<N>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Reading<const N: usize> {
    at: Duration,
    values: [Option<u64>; N],
}

/// The counters of many things of a kind, by key. What is missing from a scan is forgotten when the scan ends, so that
/// a thing that comes back begins anew.
#[derive(Debug)]
pub(crate) struct Scan<K, const N: usize> {
    known: HashMap<K, (u64, Counters<N>)>,
    number: u64,
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<const N: usize> Counters<N> {
    /// Takes a reading at a time of the monotonic clock and gives each counter's increase per nanosecond since the one
    /// before. None at a counter's first sight, and when it fell: it was reset, and counts from its new value on.
    pub(crate) fn advance(&mut self, at: Duration, values: [Option<u64>; N]) -> [Option<f64>; N] {
        let Some(last) = &mut self.last else {
            self.last = Some(Reading { at, values });
            return [None; N];
        };
        let elapsed = at.saturating_sub(last.at);
        if elapsed <= LEAST_ELAPSED {
            return [None; N];
        }
        let before = std::mem::replace(last, Reading { at, values });
        let nanoseconds = elapsed.as_nanos() as f64;
        let mut rates = [None; N];
        for ((rate, before), now) in rates.iter_mut().zip(before.values).zip(values) {
            let increase = before.zip(now).and_then(|(before, now)| now.checked_sub(before));
            *rate = increase.map(|increase| increase as f64 / nanoseconds);
        }
        rates
    }
}

impl<K, const N: usize> Default for Scan<K, N> {
    fn default() -> Self {
        Self { known: HashMap::new(), number: 0 }
    }
}

impl<K: std::hash::Hash + Eq, const N: usize> Scan<K, N> {
    /// [`Counters::advance`] for the thing with this key. `own` makes the key when it is new.
    pub(crate) fn advance<Q>(
        &mut self,
        key: &Q,
        own: impl FnOnce(&Q) -> K,
        at: Duration,
        values: [Option<u64>; N],
    ) -> [Option<f64>; N]
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        if let Some((seen, counters)) = self.known.get_mut(key) {
            *seen = self.number;
            return counters.advance(at, values);
        }
        let mut counters = Counters::default();
        let rates = counters.advance(at, values);
        self.known.insert(own(key), (self.number, counters));
        rates
    }

    /// Ends a scan that was complete.
    pub(crate) fn end(&mut self) {
        let number = self.number;
        self.known.retain(|_, (seen, _)| *seen == number);
        self.number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rates_of_readings() {
        fn check(readings: &[(Duration, Option<u64>)], expected: &[Option<f64>]) {
            let mut counters = Counters::<1>::default();
            let per_second: Vec<_> = readings
                .iter()
                .map(|(at, value)| counters.advance(*at, [*value]).map(|rate| rate.map(|rate| rate * 1e9)))
                .collect();
            let expected: Vec<_> = expected.iter().map(|rate| [*rate]).collect();
            assert_eq!(per_second, expected, "{readings:?}");
        }
        check(&[(seconds(0), Some(7)), (seconds(2), Some(11))], &[None, Some(2.0)]);
        check(&[(seconds(0), Some(7)), (seconds(1), Some(7))], &[None, Some(0.0)]);
        // A reset is silent once, not until the old value is passed.
        check(
            &[(seconds(0), Some(700)), (seconds(1), Some(4)), (seconds(2), Some(6))],
            &[None, None, Some(2.0)],
        );
        // The same sample twice leaves the base as it was.
        check(
            &[(seconds(0), Some(1)), (Duration::from_micros(50), Some(2)), (seconds(1), Some(5))],
            &[None, None, Some(4.0)],
        );
        check(
            &[(seconds(0), Some(1)), (Duration::from_micros(51), Some(52))],
            &[None, Some(51.0 / 51_000.0 * 1e9)],
        );
        // Absent counters come back as new.
        check(
            &[(seconds(0), Some(1)), (seconds(1), None), (seconds(2), Some(9)), (seconds(3), Some(10))],
            &[None, None, None, Some(1.0)],
        );
        // Counters that a double cannot hold exactly.
        check(&[(seconds(0), Some(u64::MAX - 3)), (seconds(1), Some(u64::MAX))], &[None, Some(3.0)]);
        // A clock that does not go forward gives no rate.
        check(
            &[(seconds(5), Some(1)), (seconds(4), Some(2)), (seconds(6), Some(3))],
            &[None, None, Some(2.0)],
        );
    }

    #[test]
    fn counters_of_one_reading_are_independent() {
        let mut counters = Counters::<3>::default();
        counters.advance(seconds(0), [Some(1), Some(9), None]);
        let rates = counters.advance(seconds(1), [Some(2), Some(1), Some(5)]);
        assert_eq!(rates, [Some(1.0 / 1e9), None, None]);
        let rates = counters.advance(seconds(2), [Some(2), Some(2), Some(6)]);
        assert_eq!(rates, [Some(0.0), Some(1.0 / 1e9), Some(1.0 / 1e9)]);
    }

    #[test]
    fn what_is_missing_from_a_scan_begins_anew() {
        let mut scan = Scan::<Box<str>, 1>::default();
        let mut at = |key: &str, second, value| {
            scan.advance(key, |key| key.into(), seconds(second), [Some(value)])[0].map(|rate| rate * 1e9)
        };
        assert_eq!((at("eth0", 0, 1), at("eth1", 0, 100)), (None, None));
        scan.end();
        let mut at = |key: &str, second, value| {
            scan.advance(key, |key| key.into(), seconds(second), [Some(value)])[0].map(|rate| rate * 1e9)
        };
        assert_eq!(at("eth0", 1, 3), Some(2.0));
        scan.end();
        assert_eq!(scan.known.len(), 1);
        let mut at = |key: &str, second, value| {
            scan.advance(key, |key| key.into(), seconds(second), [Some(value)])[0].map(|rate| rate * 1e9)
        };
        assert_eq!((at("eth0", 2, 4), at("eth1", 2, 200)), (Some(1.0), None));
    }
}
