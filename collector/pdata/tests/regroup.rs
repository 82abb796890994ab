//! Items under the resources that their attributes name: on random requests.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod random;

use bytes::Bytes;
use pdata::rewrite::{Change, DataKind, Field, Level, Part, Place, Point, Verdict};
use pdata::{Batch, Signal};
use proptest::prelude::*;
use random::{Flavour, entropy};

fn keys(count: usize) -> Vec<String> {
    // The names that random attributes have.
    ["text4", "", "text5", "text12", "text13"].iter().take(count).map(|key| (*key).to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_item_is_lost_and_once_is_enough(first in entropy(), second in entropy(), count in 0usize..6) {
        for signal in Signal::ALL {
            let batch = |entropy: &[u8]| {
                let bytes = Bytes::from(random::encoded(signal, Flavour::Anything, entropy));
                Batch::from_protobuf(signal, bytes).unwrap()
            };
            let mut joined = batch(&first);
            joined.append(batch(&second)).unwrap();
            let grouped = joined.group_by_attributes(&keys(count));
            let again = Batch::from_protobuf(signal, grouped.batch.to_protobuf()).unwrap();
            prop_assert_eq!(again.items(), joined.items());
            prop_assert_eq!(grouped.batch.items(), joined.items());
            prop_assert_eq!(&again, &grouped.batch, "the bytes are canonical");
            prop_assert!(grouped.moved <= joined.items());
            let twice = grouped.batch.group_by_attributes(&keys(count));
            prop_assert_eq!(twice.moved, 0);
            prop_assert_eq!(twice.resources, grouped.resources);
            prop_assert_eq!(&twice.batch, &grouped.batch);
        }
    }
}

#[test]
fn several_fields_change_at_once_or_none() {
    let json = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","sum":{"dataPoints":[{"asInt":"1","startTimeUnixNano":"2","timeUnixNano":"3"}]}},
        {"name":"h","histogram":{"dataPoints":[{"count":"3","bucketCounts":["1","2"],"explicitBounds":[5],"min":1}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"count":"3","positive":{"offset":1,"bucketCounts":["3"]}}]}}]}]}]}"#;
    let field = |name| Field::of(Signal::Metrics, Part::Item, name).unwrap();
    let batch = Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap();
    let changed = batch.rewrite(&mut |level: Level, place: &mut Place<'_>| {
        if level < Level::Item {
            return Verdict::Descend;
        }
        match place.data_kind() {
            Some(DataKind::Sum) => {
                let start = (field("start_time_unix_nano"), Change::Clear);
                assert!(!place.change(Part::Item, &[start, (field("as_int"), Change::Double(1.0))]));
                assert!(!place.change(Part::Item, &[start, (field("bucket_counts"), Change::Counts(&[1]))]));
                assert!(place.change(Part::Item, &[start, (field("as_double"), Change::Double(0.5))]));
                assert!(
                    matches!(place.point(), Some(Point::Number(point)) if point.start_time_unix_nano == 0)
                );
            }
            Some(DataKind::Histogram) => {
                let counts = (field("bucket_counts"), Change::Counts(&[4, 0, u64::MAX]));
                let bounds = (field("explicit_bounds"), Change::Bounds(&[1.0, 2.0]));
                assert!(place.change(
                    Part::Item,
                    &[counts, bounds, (field("min"), Change::Clear), (field("count"), Change::Int(9))]
                ));
            }
            _ => {
                let buckets = Change::Buckets { offset: -7, counts: &[0, 300] };
                assert!(place.change(Part::Item, &[(field("positive"), buckets)]));
                assert!(!place.change(Part::Item, &[(field("count"), buckets)]));
            }
        }
        Verdict::Keep
    });
    assert_eq!(Batch::from_protobuf(Signal::Metrics, changed.to_protobuf()).as_ref(), Ok(&changed));
    let expected = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","sum":{"dataPoints":[{"asDouble":0.5,"timeUnixNano":"3"}]}},
        {"name":"h","histogram":{"dataPoints":[{"count":"9","bucketCounts":["4","0","18446744073709551615"],"explicitBounds":[1,2]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"count":"3","positive":{"offset":-7,"bucketCounts":["0","300"]}}]}}]}]}]}"#;
    let expected = Batch::from_json(Signal::Metrics, expected.as_bytes()).unwrap();
    let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
    assert_eq!(text(&changed), text(&expected));
}
