//! How often the way of a data point asks the allocator: from the bytes of a request to events as they stand in a
//! PutLogEvents body, once everything that is kept for reuse is there.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench: the figures are its product")]

use std::alloc::System;
use std::time::{SystemTime, UNIX_EPOCH};

use aws::logs::{Events, MAX_MESSAGE_BYTES, StreamChunks};
use awsemfexporter::{EmfConfig, EventSink, Translator};
use pdata::{Batch, Signal};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Rounds that are not counted, then rounds that are.
const ROUNDS: (usize, usize) = (3, 20);
/// The most allocations per data point.
const TARGET: f64 = 0.1;

/// Events for CloudWatch Logs.
struct Sink<'h>(Events<'h>);

impl EventSink for Sink<'_> {
    const ESCAPED: bool = true;

    fn max_event_bytes(&self) -> Option<usize> {
        Some(self.0.max_event_bytes())
    }

    fn begin(&mut self, group: &str, stream: &str, timestamp_ms: i64, items: u32) -> Option<&mut String> {
        self.0.begin(group, stream, timestamp_ms, items)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        self.0.end(plain_len)
    }
}

fn main() {
    let pods: Vec<Batch> = (0..bench::payload::VARIANTS).map(bench::payload::node_of_pods).collect();
    let series: Vec<Batch> = (0..bench::series::VARIANTS).map(bench::series::pods).collect();
    measure("a node of pods", bench::scenarios::DECLARATIONS, &pods);
    measure("300,000 series", &bench::series::declarations(), &series);
}

/// Translates the batches round after round and prints what a point cost.
fn measure(name: &str, declarations: &str, batches: &[Batch]) {
    let requests: Vec<_> = batches.iter().map(Batch::to_protobuf).collect();
    let config = bench::scenarios::emf_keys(declarations);
    let config: EmfConfig = confmap::from_yaml(&config).expect("a configuration");
    let mut translator = Translator::new(&config, true).expect("declarations");
    let mut round = || {
        let mut points = 0;
        for request in &requests {
            let batch = Batch::from_protobuf(Signal::Metrics, request.clone()).expect("a request");
            points += batch.items();
            let mut hand_over = |streams: Vec<StreamChunks>| drop(streams);
            let events = Events::new(now_ms(), MAX_MESSAGE_BYTES, batch.encoded_len(), &mut hand_over);
            let mut sink = Sink(events);
            translator.translate(&batch, now_ms(), &mut sink);
        }
        points
    };
    for _ in 0..ROUNDS.0 {
        round();
    }
    let region = Region::new(ALLOCATOR);
    let points: usize = (0..ROUNDS.1).map(|_| round()).sum();
    let change = region.change();
    let per_point = (change.allocations + change.reallocations) as f64 / points as f64;
    let bytes = (change.bytes_allocated as f64 + change.bytes_reallocated.max(0) as f64) / points as f64;
    let verdict = if per_point < TARGET { "met" } else { "MISSED" };
    println!(
        "{name}: {per_point:.4} allocations per point (< {TARGET}: {verdict}), {bytes:.0} bytes per point"
    );
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
