//! Cumulative values turned into the change since the last one.

use hashbrown::HashTable;

/// How often entries that nobody used are looked for, in milliseconds.
const SWEEP_INTERVAL_MS: i64 = 5 * 60 * 1000;
/// An entry that is not used for so long is forgotten, in milliseconds: the longest that upstream keeps one.
const LIFETIME_MS: i64 = 10 * 60 * 1000;

/// With more series than this, new ones are not remembered, so that labels without end cannot fill the memory.
const MAX_SERIES: usize = 1 << 21;

/// Which series: a hash of everything that makes it one. 128 bits, so that two series never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesKey(pub(crate) u64, pub(crate) u64);

#[derive(Debug)]
struct Entry<T> {
    key: SeriesKey,
    last: T,
    /// When it was last used, Unix time in milliseconds of arrival, not of the data.
    used: i64,
}

/// The last values of all series of one kind.
#[derive(Debug)]
struct Table<T> {
    entries: HashTable<Entry<T>>,
}

/// The last values of all series.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    numbers: Table<f64>,
    distributions: Table<(f64, u64)>,
    swept: i64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashTable::new() }
    }
}

impl<T: Copy> Table<T> {
    /// Puts in a value and takes out the one before.
    fn replace(&mut self, key: SeriesKey, value: T, now: i64) -> Option<T> {
        if let Some(entry) = self.entries.find_mut(key.0, |entry| entry.key == key) {
            entry.used = now;
            return Some(std::mem::replace(&mut entry.last, value));
        }
        if self.is_full() {
            return None;
        }
        self.entries.insert_unique(key.0, Entry { key, last: value, used: now }, |entry| entry.key.0);
        None
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_SERIES
    }

    fn sweep(&mut self, now: i64) {
        self.entries.retain(|entry| now.saturating_sub(entry.used) < LIFETIME_MS);
        if self.entries.capacity() > 1024 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to_fit(|entry| entry.key.0);
        }
    }
}

impl Deltas {
    /// Forgets old entries now and then; `now` is Unix time in milliseconds.
    pub(crate) fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept) >= SWEEP_INTERVAL_MS {
            self.swept = now;
            self.numbers.sweep(now);
            self.distributions.sweep(now);
        }
    }

    /// The change of a number; its raw value where it fell, which a restart explains. `None` for the first value,
    /// unless that is to be kept.
    pub(crate) fn number(&mut self, key: SeriesKey, value: f64, retain: bool, now: i64) -> Option<f64> {
        match self.numbers.replace(key, value, now) {
            Some(last) if value >= last => Some(value - last),
            Some(_) => Some(value),
            None => retain.then_some(value),
        }
    }

    /// The change of a sum and a count. A count that fell is a restart: the raw values are the change.
    pub(crate) fn distribution(
        &mut self,
        key: SeriesKey,
        (sum, count): (f64, u64),
        retain: bool,
        now: i64,
    ) -> Option<(f64, u64)> {
        match self.distributions.replace(key, (sum, count), now) {
            Some((last_sum, last_count)) => {
                Some(count.checked_sub(last_count).map_or((sum, count), |change| (sum - last_sum, change)))
            }
            None => retain.then_some((sum, count)),
        }
    }

    /// Whether new series are not remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.numbers.is_full() || self.distributions.is_full()
    }

    /// How many series are remembered.
    pub(crate) fn len(&self) -> usize {
        self.numbers.entries.len() + self.distributions.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SeriesKey = SeriesKey(1, 2);

    #[test]
    fn numbers() {
        let check = |values: &[f64], retain: bool, expected: &[Option<f64>]| {
            let mut deltas = Deltas::default();
            let got: Vec<_> = values.iter().map(|value| deltas.number(KEY, *value, retain, 0)).collect();
            assert_eq!(got, expected);
        };
        check(&[10.0, 15.0, 15.0, 3.0, 4.0], false, &[None, Some(5.0), Some(0.0), Some(3.0), Some(1.0)]);
        check(&[10.0, 8.0, 9.0], false, &[None, Some(8.0), Some(1.0)]);
        check(&[10.0, 11.0], true, &[Some(10.0), Some(1.0)]);
    }

    #[test]
    fn a_count_that_falls_is_a_restart() {
        let mut deltas = Deltas::default();
        let mut next = |sum, count| deltas.distribution(KEY, (sum, count), false, 0);
        assert_eq!(next(50.0, 10), None);
        assert_eq!(next(80.0, 15), Some((30.0, 5)));
        assert_eq!(next(3.0, 2), Some((3.0, 2)));
    }

    #[test]
    fn entries_live_while_they_are_used() {
        let mut deltas = Deltas::default();
        let minute = 60_000;
        deltas.sweep(100 * minute);
        deltas.number(KEY, 1.0, false, 100 * minute);
        deltas.number(SeriesKey(3, 4), 1.0, false, 100 * minute);
        deltas.number(KEY, 1.0, false, 108 * minute);
        deltas.sweep(109 * minute);
        assert_eq!(deltas.len(), 2);
        deltas.sweep(114 * minute);
        assert_eq!(deltas.len(), 1);
        assert_eq!(deltas.number(KEY, 3.0, false, 114 * minute), Some(2.0));
    }
}
