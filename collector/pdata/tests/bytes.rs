//! Protobuf in and out: against `prost`, on random requests and on random damage to them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod random;
mod rebuild;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use pdata::{Batch, Signal};
use proptest::prelude::*;
use prost::{DecodeError, Message};
use random::{Flavour, entropy};

/// Decodes and encodes with `prost`.
fn through_prost(signal: Signal, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match signal {
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).map(|request| request.encode_to_vec()),
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).map(|request| request.encode_to_vec()),
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).map(|request| request.encode_to_vec()),
    }
}

/// The items of a request, counted by hand.
fn items(signal: Signal, entropy: &[u8]) -> usize {
    match signal {
        Signal::Metrics => random::metrics(Flavour::Anything, entropy)
            .resource_metrics
            .iter()
            .flat_map(|entry| &entry.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .map(|metric| match &metric.data {
                None => 0,
                Some(Data::Gauge(data)) => data.data_points.len(),
                Some(Data::Sum(data)) => data.data_points.len(),
                Some(Data::Histogram(data)) => data.data_points.len(),
                Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                Some(Data::Summary(data)) => data.data_points.len(),
            })
            .sum(),
        Signal::Logs => random::logs(Flavour::Anything, entropy)
            .resource_logs
            .iter()
            .flat_map(|entry| &entry.scope_logs)
            .map(|scope| scope.log_records.len())
            .sum(),
        Signal::Traces => random::traces(Flavour::Anything, entropy)
            .resource_spans
            .iter()
            .flat_map(|entry| &entry.scope_spans)
            .map(|scope| scope.spans.len())
            .sum(),
    }
}

/// A change to some bytes.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Truncate(usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => any::<usize>().prop_map(Damage::Remove),
        1 => any::<usize>().prop_map(Damage::Truncate),
    ];
    prop::collection::vec(one, 1..4)
}

fn apply(damage: &[Damage], bytes: &mut Vec<u8>) {
    for change in damage {
        let len = bytes.len().max(1);
        match *change {
            _ if bytes.is_empty() => bytes.push(0x0a),
            Damage::Set(at, byte) => bytes[at % len] = byte,
            Damage::Flip(at, bit) => bytes[at % len] ^= 1 << bit,
            Damage::Insert(at, byte) => bytes.insert(at % len, byte),
            Damage::Remove(at) => drop(bytes.remove(at % len)),
            Damage::Truncate(at) => bytes.truncate(at % len),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_arrives_leaves_unchanged_and_reads_like_prost(entropy in entropy()) {
        for signal in Signal::ALL {
            let bytes = Bytes::from(random::encoded(signal, Flavour::Anything, &entropy));
            let batch = Batch::from_protobuf(signal, bytes.clone()).unwrap();
            prop_assert_eq!(batch.items(), items(signal, &entropy));
            prop_assert_eq!(batch.encoded_len(), bytes.len());
            prop_assert_eq!(batch.to_protobuf(), bytes);
            prop_assert_eq!(rebuild::encoded(&batch), random::encoded(signal, Flavour::Filled, &entropy));
        }
    }

    #[test]
    fn joined_batches_are_the_requests_one_after_the_other(parts in prop::collection::vec(entropy(), 0..6)) {
        for signal in Signal::ALL {
            let mut batch = Batch::empty(signal);
            let (mut expected, mut expected_items) = (Vec::new(), 0);
            for entropy in &parts {
                let bytes = random::encoded(signal, Flavour::Anything, entropy);
                expected.extend_from_slice(&bytes);
                expected_items += items(signal, entropy);
                batch.append(Batch::from_protobuf(signal, bytes.into()).unwrap()).unwrap();
            }
            prop_assert_eq!(batch.items(), expected_items);
            prop_assert_eq!(batch.chunks().iter().map(|chunk| chunk.items()).sum::<usize>(), expected_items);
            prop_assert_eq!(batch.to_protobuf(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Refused beyond what `prost` refuses: ids that are neither empty nor of their length (nobody could use them),
    /// and the hundredth level of nesting (`prost` counts the levels below the request, this crate the request too).
    #[test]
    fn damaged_bytes_are_accepted_if_prost_accepts_them(entropy in entropy(), damage in damage()) {
        for signal in Signal::ALL {
            let mut bytes = random::encoded(signal, Flavour::Anything, &entropy);
            apply(&damage, &mut bytes);
            let expected = through_prost(signal, &bytes);
            match (Batch::from_protobuf(signal, bytes.into()), expected) {
                (Ok(batch), Ok(expected)) => {
                    prop_assert_eq!(&through_prost(signal, &batch.to_protobuf()).unwrap(), &expected);
                    let read = rebuild::encoded(&batch);
                    let again = Batch::from_protobuf(signal, expected.into()).unwrap();
                    prop_assert_eq!(read, rebuild::encoded(&again));
                    let json = batch.to_json();
                    prop_assert_eq!(Batch::from_json(signal, &json).unwrap().to_json(), json);
                }
                (Err(_), Err(_)) => {}
                (Err(error), Ok(_)) => {
                    let deliberate = error.reason().starts_with("id of ") || error.reason().contains("nest deeper");
                    prop_assert!(deliberate, "{error}");
                }
                (Ok(_), Err(error)) => prop_assert!(false, "accepted what prost refuses: {error}"),
            }
        }
    }
}

#[test]
fn thousands_of_tiny_batches_become_few_chunks() {
    let mut builder = pdata::MetricsBuilder::default();
    builder.resource().gauge("up", "", 1, pdata::metrics::Number::Int(1));
    let tiny = builder.finish();
    let mut batch = Batch::empty(Signal::Metrics);
    for _ in 0..10_000 {
        batch.append(tiny.clone()).unwrap();
    }
    assert_eq!(batch.items(), 10_000);
    assert_eq!(batch.encoded_len(), 10_000 * tiny.encoded_len());
    assert!(batch.chunks().len() < batch.encoded_len() / 1000, "{} chunks", batch.chunks().len());
    assert_eq!(pdata::metrics::resources(&batch).count(), 10_000);
}

#[test]
fn another_signal_is_not_appended() {
    let mut batch = Batch::empty(Signal::Metrics);
    assert_eq!(batch.append(Batch::empty(Signal::Logs)).unwrap_err().signal(), Signal::Logs);
}
