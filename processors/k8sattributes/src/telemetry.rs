//! What the processor says of itself, under upstream's names.

use k8s::WatchStats;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use pdata::Signal;

use crate::association::Associations;

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
    added: Counter<u64>,
    updated: Counter<u64>,
    deleted: Counter<u64>,
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
    pub(crate) fn new(meter: &Meter, kind: &str) -> Self {
        let counter = |what: &str| {
            meter
                .u64_counter(format!("otelcol_otelsvc_k8s_{kind}_{what}"))
                .with_description(format!("Number of {kind} {what} events received"))
                .build()
        };
        Self {
            added: counter("added"),
            updated: counter("updated"),
            deleted: counter("deleted"),
            seen: WatchStats::default(),
        }
    }

    /// Adds what happened since the last call.
    pub(crate) fn record(&mut self, stats: WatchStats) {
        self.added.add(stats.added.saturating_sub(self.seen.added), &[]);
        self.updated.add(stats.updated.saturating_sub(self.seen.updated), &[]);
        self.deleted.add(stats.deleted.saturating_sub(self.seen.deleted), &[]);
        self.seen = stats;
    }
}

/// How many keys pods are found by.
pub(crate) fn table_size(meter: &Meter) -> Gauge<u64> {
    meter
        .u64_gauge("otelcol_otelsvc_k8s_pod_table_size")
        .with_description("Size of table containing pod info")
        .build()
}
