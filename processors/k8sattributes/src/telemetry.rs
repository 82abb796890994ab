//! What the processor says of itself, under upstream's names.

use k8s::WatchStats;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use pdata::Signal;

use crate::association::Associations;
use crate::gating::Gating;

/// How resources were associated with pods.
pub(crate) struct AssociationMetrics {
    associations: Counter<u64>,
    misses: Counter<u64>,
    /// Of each layout, and last of resources that say nothing: the attributes of success and of failure.
    attributes: Vec<[[KeyValue; 3]; 2]>,
}

/// How the resources of one batch were associated with pods: by layout, found and not found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Vec<[u64; 2]>,
    misses: u64,
}

/// What happened to the objects of a kind.
pub(crate) struct KindMetrics {
    /// Of each name that is on: added, updated, deleted.
    counters: Vec<[Counter<u64>; 3]>,
    seen: WatchStats,
}

impl AssociationMetrics {
    pub(crate) fn new(meter: &Meter, associations: &Associations, signal: Signal) -> Self {
        let layouts = associations.layouts.iter().map(|layout| layout.name()).chain([String::new()]);
        let attributes = |identifier: &String, status: &'static str| {
            [
                KeyValue::new("status", status),
                KeyValue::new("pod_identifier", identifier.clone()),
                KeyValue::new("otelcol.signal", signal.as_str()),
            ]
        };
        Self {
            associations: meter
                .u64_counter("otelcol.k8s.pod.association")
                .with_description("Number of pod associations")
                .with_unit("{resource}")
                .build(),
            misses: meter
                .u64_counter("otelcol_otelsvc_k8s_ip_lookup_miss")
                .with_description("Number of times pod by IP lookup failed.")
                .build(),
            attributes: layouts
                .map(|name| [attributes(&name, "success"), attributes(&name, "error")])
                .collect(),
        }
    }

    /// A tally for one batch.
    pub(crate) fn tally(&self) -> Tally {
        Tally { counts: vec![[0; 2]; self.attributes.len()], misses: 0 }
    }

    pub(crate) fn record(&self, tally: &Tally) {
        for (counts, attributes) in tally.counts.iter().zip(&self.attributes) {
            for (count, attributes) in counts.iter().zip(attributes).filter(|(count, _)| **count > 0) {
                self.associations.add(*count, attributes);
            }
        }
        if tally.misses > 0 {
            self.misses.add(tally.misses, &[]);
        }
    }
}

impl Tally {
    /// Counts a resource: by which layout it was looked for, if any, and whether its pod is known.
    pub(crate) fn count(&mut self, layout: Option<usize>, found: bool) {
        let last = self.counts.len().saturating_sub(1);
        if let Some([success, error]) = self.counts.get_mut(layout.unwrap_or(last)) {
            *(if found { success } else { error }) += 1;
        }
    }

    /// Counts a look for a pod that is not known.
    pub(crate) fn miss(&mut self) {
        self.misses += 1;
    }
}

impl KindMetrics {
    /// `kind` is as upstream's names have it: `pod`, `replicaset`.
    pub(crate) fn new(meter: &Meter, kind: &str, gating: Gating) -> Self {
        let counter = |name: String, what: &str| {
            meter
                .u64_counter(name)
                .with_description(format!("Number of {kind} {what} events received"))
                .build()
        };
        const WHAT: [&str; 3] = ["added", "updated", "deleted"];
        let old = WHAT.map(|what| counter(format!("otelcol_otelsvc_k8s_{kind}_{what}"), what));
        let new = WHAT.map(|what| counter(format!("otelcol.k8s.watcher.{kind}.{what}"), what));
        let counters = [(gating.old_metrics, old), (gating.new_metrics, new)];
        let counters = counters.into_iter().filter_map(|(is_on, counters)| is_on.then_some(counters));
        Self { counters: counters.collect(), seen: WatchStats::default() }
    }

    /// Adds what happened since the last call.
    pub(crate) fn record(&mut self, stats: WatchStats) {
        let seen = &self.seen;
        for [added, updated, deleted] in &self.counters {
            added.add(stats.added.saturating_sub(seen.added), &[]);
            updated.add(stats.updated.saturating_sub(seen.updated), &[]);
            deleted.add(stats.deleted.saturating_sub(seen.deleted), &[]);
        }
        self.seen = stats;
    }
}

/// How many keys pods are found by, under each name that is on.
pub(crate) fn table_size(meter: &Meter, gating: Gating) -> Vec<Gauge<u64>> {
    let names = [
        (gating.old_metrics, "otelcol_otelsvc_k8s_pod_table_size"),
        (gating.new_metrics, "otelcol.k8s.watcher.pod_cache.size"),
    ];
    let names = names.into_iter().filter(|(is_on, _)| *is_on);
    names
        .map(|(_, name)| meter.u64_gauge(name).with_description("Size of table containing pod info").build())
        .collect()
}
