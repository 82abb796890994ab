//! How many series a namespace has: CloudWatch bills every metric over every combination of dimension values.
//!
//! An event whose extraction is known costs one look-up. Only for new ones, and once for every event in the hours after a
//! generation ended, its metrics and dimension sets are gone through. Series are remembered as 31 bits of their hash: of
//! half a million about one in ten thousand is taken for another, which a guard can bear.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::declaration::Bits;
use crate::labels::hash_text;

/// How long a generation lasts, in milliseconds. What was not seen for one whole generation is forgotten.
const GENERATION_MS: i64 = 3 * 60 * 60 * 1000;
/// How often one namespace is complained about, in milliseconds.
const WARNING_INTERVAL_MS: i64 = 60 * 60 * 1000;
/// Namespaces beyond this number are not watched.
const MAX_NAMESPACES: usize = 4096;

/// What a template extracts.
#[derive(Debug, Default)]
pub(crate) struct Extraction {
    /// Stands for the directives.
    pub(crate) key: u64,
    /// The labels that any set names, by place.
    pub(crate) labels: Vec<usize>,
    /// All dimension sets.
    pub(crate) sets: Vec<ExtractedSet>,
    /// Which metrics are extracted over which sets.
    pub(crate) directives: Vec<ExtractedMetrics>,
}

/// A dimension set.
#[derive(Debug)]
pub(crate) struct ExtractedSet {
    /// A hash of the names.
    pub(crate) names: u64,
    /// The labels by place.
    pub(crate) labels: Vec<usize>,
}

/// The metrics of a directive.
#[derive(Debug, Default)]
pub(crate) struct ExtractedMetrics {
    /// Places among the sets of the extraction.
    pub(crate) sets: Vec<usize>,
    /// Places among the values of the event, and hashes of the names.
    pub(crate) metrics: Vec<(usize, u64)>,
}

/// Counts the series of all namespaces, and says which metrics would be too many.
#[derive(Debug)]
pub(crate) struct SeriesLimit {
    /// Of a namespace; 0 for none.
    limit: usize,
    /// Extractions with the values of their dimensions, all of whose series are counted.
    known: Marks,
    namespaces: BTreeMap<String, Namespace>,
    /// The present generation: 0 or 1.
    generation: u32,
    /// When it began, Unix time in milliseconds.
    began: i64,
    hasher: RandomState,
    set_hashes: Vec<u64>,
}

#[derive(Debug, Default)]
struct Namespace {
    series: Marks,
    /// When its limit was last complained about, Unix time in milliseconds.
    warned: Option<i64>,
}

/// A set of hashes: 31 bits of each, and whether it was met in the even or the odd generation.
#[derive(Debug, Default)]
struct Marks(HashTable<u32>);

impl Marks {
    fn fingerprint(hash: u64) -> u32 {
        (hash >> 33) as u32
    }

    fn spread(fingerprint: u32) -> u64 {
        u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Whether the hash is there. If it is, it lives on.
    #[inline]
    fn touch(&mut self, hash: u64, generation: u32) -> bool {
        let fingerprint = Self::fingerprint(hash);
        match self.0.find_mut(Self::spread(fingerprint), |mark| *mark >> 1 == fingerprint) {
            Some(mark) => {
                *mark = fingerprint << 1 | generation;
                true
            }
            None => false,
        }
    }

    /// Whether the hash was met in this generation.
    #[inline]
    fn is_met(&self, hash: u64, generation: u32) -> bool {
        let mark = Self::fingerprint(hash) << 1 | generation;
        self.0.find(Self::spread(mark >> 1), |other| *other == mark).is_some()
    }

    /// Puts the hash in, or lets it live on.
    fn insert(&mut self, hash: u64, generation: u32) {
        let mark = Self::fingerprint(hash) << 1 | generation;
        let is = |other: &u32| *other >> 1 == mark >> 1;
        match self.0.entry(Self::spread(mark >> 1), is, |mark| Self::spread(*mark >> 1)) {
            Entry::Occupied(mut known) => *known.get_mut() = mark,
            Entry::Vacant(place) => drop(place.insert(mark)),
        }
    }

    /// Forgets what was not met in a generation.
    fn keep(&mut self, generation: u32) {
        self.0.retain(|mark| *mark & 1 == generation);
        self.0.shrink_to_fit(|mark| Self::spread(*mark >> 1));
    }
}

impl SeriesLimit {
    /// Watches for this many series of a namespace; 0 for any number.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            known: Marks::default(),
            namespaces: BTreeMap::new(),
            generation: 0,
            began: 0,
            hasher: RandomState::default(),
            set_hashes: Vec::new(),
        }
    }

    /// Begins a new generation when it is time; `now` is Unix time in milliseconds.
    pub(crate) fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.began) < GENERATION_MS {
            return;
        }
        self.began = now;
        self.known.keep(self.generation);
        for namespace in self.namespaces.values_mut() {
            namespace.series.keep(self.generation);
        }
        self.namespaces.retain(|_, namespace| !namespace.series.0.is_empty());
        self.generation ^= 1;
    }

    /// The namespaces with their numbers of series.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.namespaces.iter().map(|(name, namespace)| (name.as_str(), namespace.series.0.len()))
    }

    /// Counts the series of an event. Marks in `over`, by place, the metrics that would exceed the limit, and returns how
    /// many they are. `label` gives the text of a label by place.
    #[inline]
    pub(crate) fn admit<'t>(
        &mut self,
        namespace: &str,
        extraction: &Extraction,
        label: impl Fn(usize) -> &'t str,
        over: &mut Bits,
        now: i64,
    ) -> u64 {
        if self.limit == 0 || extraction.directives.is_empty() {
            return 0;
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(extraction.key);
        extraction.labels.iter().for_each(|at| hash_text(&mut hasher, label(*at)));
        let event = hasher.finish();
        if self.known.is_met(event, self.generation) {
            return 0;
        }
        self.set_hashes.clear();
        for set in &extraction.sets {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_u64(set.names);
            set.labels.iter().for_each(|at| hash_text(&mut hasher, label(*at)));
            self.set_hashes.push(hasher.finish());
        }
        self.count(namespace, extraction, event, over, now)
    }

    #[cold]
    fn count(
        &mut self,
        namespace: &str,
        extraction: &Extraction,
        event: u64,
        over: &mut Bits,
        now: i64,
    ) -> u64 {
        if !self.namespaces.contains_key(namespace) {
            if self.namespaces.len() >= MAX_NAMESPACES {
                return 0;
            }
            self.namespaces.insert(namespace.to_owned(), Namespace::default());
        }
        let Some(space) = self.namespaces.get_mut(namespace) else { return 0 };
        let mut refused = 0;
        for directive in &extraction.directives {
            for (place, name) in &directive.metrics {
                let hashes = || {
                    directive.sets.iter().map(|at| {
                        let set = self.set_hashes.get(*at).copied().unwrap_or_default();
                        let mut hasher = self.hasher.build_hasher();
                        hasher.write_u64(*name);
                        hasher.write_u64(set);
                        hasher.finish()
                    })
                };
                let room = self.limit.saturating_sub(space.series.0.len());
                // Counting the new ones is only worth the time when they may be too many.
                if room < directive.sets.len()
                    && hashes().filter(|hash| !space.series.touch(*hash, self.generation)).count() > room
                {
                    over.insert(*place);
                    refused += 1;
                    continue;
                }
                hashes().for_each(|hash| space.series.insert(hash, self.generation));
            }
        }
        if refused == 0 {
            // More ways to extract than there may be series: what is forgotten is only gone through again.
            if self.known.0.len() > self.limit {
                self.known.0.clear();
            }
            self.known.insert(event, self.generation);
        } else if space.warned.is_none_or(|warned| now.saturating_sub(warned) >= WARNING_INTERVAL_MS) {
            space.warned = Some(now);
            tracing::warn!(
                namespace,
                limit = self.limit,
                "more series than metric_series_limit: new ones are written to the log but not extracted as metrics"
            );
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    /// Metrics 0 and 1, the first over label 0 and the second over labels 0 and 1 as well.
    fn extraction() -> Extraction {
        Extraction {
            key: 1,
            labels: vec![0, 1],
            sets: vec![
                ExtractedSet { names: 1, labels: vec![0] },
                ExtractedSet { names: 2, labels: vec![0, 1] },
            ],
            directives: vec![
                ExtractedMetrics { sets: vec![0], metrics: vec![(0, 10)] },
                ExtractedMetrics { sets: vec![0, 1], metrics: vec![(1, 11)] },
            ],
        }
    }

    fn admit(limit: &mut SeriesLimit, labels: [&'static str; 2], now: i64) -> (u64, Vec<usize>) {
        let mut over = Bits::default();
        let refused = limit.admit("ns", &extraction(), |at| labels[at], &mut over, now);
        (refused, over.common(&over).collect())
    }

    fn count(limit: &SeriesLimit) -> usize {
        limit.counts().map(|(_, count)| count).sum()
    }

    #[test]
    fn metrics_over_the_limit_are_named() {
        let mut limit = SeriesLimit::new(5);
        limit.sweep(0);
        assert_eq!(admit(&mut limit, ["a", "b"], 0), (0, vec![]));
        assert_eq!(count(&limit), 3);
        // One more over both labels, the rest is known.
        assert_eq!(admit(&mut limit, ["a", "c"], 0), (0, vec![]));
        assert_eq!(count(&limit), 4);
        // Metric 0 would add one, metric 1 two.
        assert_eq!(admit(&mut limit, ["b", "c"], 0), (1, vec![1]));
        assert_eq!(admit(&mut limit, ["b", "c"], 0), (1, vec![1]));
        assert_eq!(count(&limit), 5);
        assert_eq!(admit(&mut limit, ["a", "b"], 0), (0, vec![]));
    }

    #[test]
    fn no_limit_counts_nothing() {
        let mut limit = SeriesLimit::new(0);
        assert_eq!(admit(&mut limit, ["a", "b"], 0), (0, vec![]));
        assert_eq!(count(&limit), 0);
    }

    #[test]
    fn series_are_forgotten_when_nobody_sends_them() {
        let mut limit = SeriesLimit::new(100);
        limit.sweep(100 * HOUR);
        admit(&mut limit, ["a", "b"], 100 * HOUR);
        admit(&mut limit, ["x", "y"], 100 * HOUR);
        limit.sweep(102 * HOUR);
        assert_eq!(count(&limit), 6);
        limit.sweep(103 * HOUR);
        admit(&mut limit, ["a", "b"], 103 * HOUR);
        assert_eq!(count(&limit), 6);
        limit.sweep(106 * HOUR);
        assert_eq!(count(&limit), 3);
        limit.sweep(109 * HOUR);
        assert_eq!(count(&limit), 0);
    }

    #[test]
    fn a_series_takes_at_most_16_bytes() {
        let mut marks = Marks::default();
        for number in 0..500_000_u64 {
            marks.insert(number.wrapping_mul(0x2545_f491_4f6c_dd1d), 0);
        }
        assert!(marks.0.allocation_size() / 500_000 <= 16, "{}", marks.0.allocation_size());
    }
}
