//! Metrics as the events name them: interned, so that what follows from a name is worked out once.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::declaration::Bits;
use crate::labels::hash_text;
use crate::rules::Rules;
use crate::text::same;

/// More metrics than this and the table starts anew, so that names without end cannot fill the memory.
const MAX_METRICS: usize = 65_536;

/// What is added to a metric's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    None,
    /// The sum of a detailed summary.
    Sum,
    /// The count of a detailed summary.
    Count,
}

/// A metric of the table.
pub(crate) type MetricId = u32;

/// What the events need to know of a metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// As in the event.
    pub(crate) name: String,
    /// As in the event.
    pub(crate) unit: String,
    /// The declarations that select it.
    pub(crate) selecting: Bits,
    suffix: Suffix,
    /// How much of the name the batch gave, in bytes.
    otlp_name_len: usize,
    /// The unit that the batch gave.
    otlp_unit: String,
    hash: u64,
    /// The metric that came after this one the last time.
    next: MetricId,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    list: Vec<Metric>,
    index: HashTable<MetricId>,
    hasher: RandomState,
}

impl Suffix {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

impl Metric {
    #[inline]
    fn is(&self, name: &str, suffix: Suffix, otlp_unit: &str) -> bool {
        self.suffix == suffix
            && self.name.get(..self.otlp_name_len).is_some_and(|known| same(known, name))
            && same(&self.otlp_unit, otlp_unit)
    }
}

impl Metrics {
    /// Whether the table should start anew; ids do not survive that.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() > MAX_METRICS
    }

    /// Empties the table.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.index.clear();
    }

    /// The metric with this id.
    #[inline]
    pub(crate) fn get(&self, id: MetricId) -> Option<&Metric> {
        self.list.get(id as usize)
    }

    /// The id of a metric, guessed from the one before it: entities of a kind report the same metrics in the same order.
    #[inline]
    pub(crate) fn id(
        &mut self,
        rules: &Rules,
        previous: MetricId,
        name: &str,
        suffix: Suffix,
        otlp_unit: &str,
    ) -> MetricId {
        let guess = self.get(previous).map_or(0, |metric| metric.next);
        if self.get(guess).is_some_and(|metric| metric.is(name, suffix, otlp_unit)) {
            return guess;
        }
        let id = self.look_up(rules, name, suffix, otlp_unit);
        if let Some(metric) = self.list.get_mut(previous as usize) {
            metric.next = id;
        }
        id
    }

    fn look_up(&mut self, rules: &Rules, name: &str, suffix: Suffix, otlp_unit: &str) -> MetricId {
        let mut hasher = self.hasher.build_hasher();
        hash_text(&mut hasher, name);
        hash_text(&mut hasher, otlp_unit);
        hasher.write_u8(suffix as u8);
        let hash = hasher.finish();
        let list = &mut self.list;
        let is = |id: &MetricId| {
            list.get(*id as usize)
                .is_some_and(|metric| metric.hash == hash && metric.is(name, suffix, otlp_unit))
        };
        if let Some(&id) = self.index.find(hash, is) {
            return id;
        }
        let id = list.len() as MetricId;
        let full_name = format!("{name}{}", suffix.as_str());
        list.push(Metric {
            selecting: rules.declarations.selecting(&full_name),
            // All parts of a summary have the summary's unit.
            unit: rules.unit(name, otlp_unit).to_owned(),
            name: full_name,
            suffix,
            otlp_name_len: name.len(),
            otlp_unit: otlp_unit.to_owned(),
            hash,
            next: 0,
        });
        self.index.insert_unique(hash, id, |id| list.get(*id as usize).map_or(0, |metric| metric.hash));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_keeps_its_id() {
        let rules = Rules::default();
        let mut metrics = Metrics::default();
        let mut id = |name, suffix, unit| {
            let id = metrics.id(&rules, 0, name, suffix, unit);
            let metric = metrics.get(id).unwrap();
            (id, metric.name.clone(), metric.unit.clone())
        };
        let first = id("m", Suffix::None, "ms");
        assert_eq!(first, (0, "m".into(), "Milliseconds".into()));
        assert_eq!(id("m", Suffix::Sum, "ms"), (1, "m_sum".into(), "Milliseconds".into()));
        assert_eq!(id("m_sum", Suffix::None, "ms").0, 2);
        assert_eq!(id("m", Suffix::None, "s").0, 3);
        assert_eq!(id("m", Suffix::None, "ms"), first);
        assert_eq!(id("m", Suffix::Sum, "ms").0, 1);
    }
}
