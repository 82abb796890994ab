//! What is kept, and what it says then: the expected values are those of upstream's tests.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component::{Kind, PipelineId};
use confmap::Node;
use pdata::{AnyValueView, Batch, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

async fn run(signal: Signal, yaml: &str, json: &str) -> (Option<Batch>, TestTelemetry) {
    let factory = probabilisticsamplerprocessor::factory();
    let config = factory.decode(Some(&Node::from_yaml("test", yaml).unwrap()), "").unwrap();
    let (sink, telemetry) = (RecordingSink::new(), TestTelemetry::default());
    let mut settings = telemetry.settings(Kind::Processor, "probabilistic_sampler");
    settings.pipeline = Some(PipelineId::parse(signal.as_str()).unwrap());
    let batch = Batch::from_json(signal, json.as_bytes()).unwrap();
    factory.create(settings, &config, sink.clone()).unwrap().consume(batch).await.unwrap();
    let kept = sink.batches().pop();
    if let Some(kept) = &kept {
        let again = Batch::from_protobuf(signal, kept.to_protobuf()).unwrap();
        assert_eq!((again.items(), &again), (kept.items(), kept));
        assert!(!kept.is_empty());
    }
    (kept, telemetry)
}

/// What a text hashes to, as the test data have it: FNV-1a of 32 bits.
fn hash(bytes: &[u8], seed: u32) -> u32 {
    let seed = seed.to_le_bytes();
    seed.iter()
        .chain(bytes)
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// One hundred records: their traces repeat one byte, every second has `foo` and `bar`, every fourth a priority of 100.
fn hundred_records() -> String {
    let mut records = Vec::new();
    for number in 0..100u8 {
        let mut trace = [0u8; 16];
        trace[8..].fill(number);
        let hexadecimal = trace.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let rando = hash(&trace, 123);
        let mut attributes = format!(r#"{{"key":"rando","value":{{"intValue":"{rando}"}}}}"#);
        if number % 2 == 0 {
            // The text of an empty trace id is empty.
            let bar = if number == 0 { "" } else { hexadecimal.as_str() };
            let tail = STANDARD.encode(trace);
            let _ = write!(attributes, r#",{{"key":"foo","value":{{"bytesValue":"{tail}"}}}}"#);
            let _ = write!(attributes, r#",{{"key":"bar","value":{{"stringValue":"{bar}"}}}}"#);
        }
        if number % 4 == 0 {
            attributes.push_str(r#",{"key":"priority","value":{"doubleValue":100}}"#);
        }
        records
            .push(format!(r#"{{"severityNumber":5,"traceId":"{hexadecimal}","attributes":[{attributes}]}}"#));
    }
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","))
}

#[tokio::test]
async fn log_records_are_counted_as_upstream_counts_them() {
    let records = hundred_records();
    let check = async |yaml: &str, expected: usize| {
        let (kept, _) = run(Signal::Logs, yaml, &records).await;
        assert_eq!(kept.map_or(0, |kept| kept.items()), expected, "{yaml}");
    };
    let foo = "attribute_source: record, from_attribute: foo";
    let rando =
        "attribute_source: record, from_attribute: rando, sampling_priority: priority, fail_closed: false";
    let traced = "sampling_priority: priority, fail_closed: false";
    check("{sampling_percentage: 100, fail_closed: false}", 100).await;
    check("{sampling_percentage: 100}", 99).await;
    check("{sampling_percentage: 0}", 0).await;
    check("{sampling_percentage: 50, mode: hash_seed}", 45).await;
    check(&format!("{{sampling_percentage: 0, {foo}, fail_closed: false}}"), 0).await;
    check(&format!("{{sampling_percentage: 100, {foo}, fail_closed: false}}"), 100).await;
    check(&format!("{{sampling_percentage: 50, {foo}}}"), 23).await;
    check("{sampling_percentage: 50, attribute_source: record, from_attribute: bar}", 29).await;
    check(&format!("{{sampling_percentage: 0, {rando}}}"), 25).await;
    check(&format!("{{sampling_percentage: 50, {rando}}}"), 64).await;
    check(&format!("{{sampling_percentage: 100, {rando}}}"), 100).await;
    check(&format!("{{sampling_percentage: 0, {traced}}}"), 25).await;
    check(&format!("{{sampling_percentage: 50, {traced}}}"), 57).await;
    check(&format!("{{sampling_percentage: 100, {traced}}}"), 100).await;
}

const DEFAULT_TRACE: &str = "fefefefefefefefefe80000000000000";
const ALWAYS_TRACE: &str = "111111111111111111ffffffffffffff";

fn span(trace: &str, state: &str, attributes: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{trace}","spanId":"00000000fefefefe","traceState":"{state}",
        "attributes":[{attributes}]}}]}}]}}]}}"#
    )
}

/// The trace state of the span, if it is kept.
async fn sampled(yaml: &str, trace: &str, state: &str, attributes: &str) -> Option<String> {
    let (kept, _) = run(Signal::Traces, yaml, &span(trace, state, attributes)).await;
    let kept = kept?;
    let scope = pdata::traces::resources(&kept).flat_map(|resource| resource.scopes()).next().unwrap();
    Some(scope.spans().next().unwrap().trace_state().to_owned())
}

#[tokio::test]
async fn consistent_modes_say_and_respect_thresholds() {
    // The same in both modes, or first equalizing, then proportional.
    let check = async |yaml: &str, trace: &str, state: &str, expected: [Option<&str>; 2]| {
        for (mode, expected) in ["equalizing", "proportional"].into_iter().zip(expected) {
            let yaml = format!("{{mode: {mode}, hash_seed: 4312, {yaml}}}");
            assert_eq!(sampled(&yaml, trace, state, "").await.as_deref(), expected, "{yaml} {trace} {state}");
        }
    };
    let both = |expected| [expected; 2];
    let tid = DEFAULT_TRACE;
    let full = "sampling_precision: 14";
    check("sampling_percentage: 100", tid, "", both(Some("ot=th:0"))).await;
    check("sampling_percentage: 200", tid, "", both(Some("ot=th:0"))).await;
    check("sampling_percentage: 50", tid, "", both(Some("ot=th:8"))).await;
    check("sampling_percentage: 49", tid, "", both(None)).await;
    check("sampling_percentage: 25", "ddddddddddddddddddc0000000000000", "", both(Some("ot=th:c"))).await;
    check("sampling_percentage: 25", "ddddddddddddddddddb0000000000000", "", both(None)).await;
    let one = format!("sampling_percentage: 1, {full}");
    // The randomness stays as it was written.
    check(&one, tid, "ot=rv:FD70A3D70A3D71", both(Some("ot=rv:FD70A3D70A3D71;th:fd70a3d70a3d71"))).await;
    check(&one, tid, "ot=rv:FD70A3D70A3D70", both(None)).await;
    check(&one, tid, "ot=rv:fd70B000000000", both(Some("ot=rv:fd70B000000000;th:fd70a3d70a3d71"))).await;
    let precise = "sampling_percentage: 1, sampling_precision: 4";
    check(precise, tid, "ot=rv:FD70A3D70A3D71", both(Some("ot=rv:FD70A3D70A3D71;th:fd70a"))).await;
    check("sampling_percentage: 1, sampling_precision: 3", tid, "ot=rv:FD70A3D70A3D71", both(None)).await;
    check(precise, "a0a0a0a0a0a0a0a0a0fe000000000000", "", both(Some("ot=th:fd70a"))).await;
    // What was sampled before.
    check(
        "sampling_percentage: 50",
        tid,
        "ot=rv:90000000000000;th:80000000000000",
        [Some("ot=rv:90000000000000;th:8"), None],
    )
    .await;
    check("sampling_percentage: 25", tid, "ot=th:8", both(None)).await;
    let always = "ffffffffffffffffffffffffffffffff";
    check("sampling_percentage: 25", always, "ot=th:8", [Some("ot=th:c"), Some("ot=th:e")]).await;
    check(
        "sampling_percentage: 50",
        tid,
        "ot=rv:c0000000000000;th:8",
        [Some("ot=rv:c0000000000000;th:8"), Some("ot=rv:c0000000000000;th:c")],
    )
    .await;
    check(
        "sampling_percentage: 40, sampling_precision: 3",
        tid,
        "ot=rv:a0000000000000",
        both(Some("ot=rv:a0000000000000;th:99a")),
    )
    .await;
    let later = "a0a0a0a0a0a0a0a0a0d0000000000000";
    check(
        "sampling_percentage: 40, sampling_precision: 6",
        later,
        "ot=th:8",
        [Some("ot=th:99999a"), Some("ot=th:cccccd")],
    )
    .await;
    let partly = "a0a0a0a0a0a0a0a0a0b0000000000000";
    check("sampling_percentage: 40, sampling_precision: 3", partly, "ot=th:8", [Some("ot=th:99a"), None])
        .await;
    check(
        "sampling_percentage: 40, sampling_precision: 3",
        "a0a0a0a0a0a0a0a0a080000000000000",
        "ot=th:8",
        both(None),
    )
    .await;
    let tiny = "sampling_percentage: 0.006103515625";
    check(tiny, ALWAYS_TRACE, "ot=th:fffc", [Some("ot=th:fffc"), Some("ot=th:fffffff")]).await;
    let almost = "sampling_percentage: 99.99992, sampling_precision: 10";
    check(almost, ALWAYS_TRACE, "", both(Some("ot=th:00000cccccccd"))).await;
    check(
        "sampling_percentage: 0.0625",
        ALWAYS_TRACE,
        "ot=th:fffffffffffff8",
        [Some("ot=th:fffffffffffff8"), None],
    )
    .await;
    // A threshold that the trace cannot have passed.
    let lie = "ot=rv:40000000000000;th:8";
    check("sampling_percentage: 100, fail_closed: false", tid, lie, both(Some("ot=rv:40000000000000;th:0")))
        .await;
    check("sampling_percentage: 100", tid, lie, both(None)).await;
    // What cannot be read, or is not there.
    for state in ["ot=rv:abababababababab", "ot=th:abababababababab", "ot=th:-1", "ot=th:8;", "?"] {
        check("sampling_percentage: 100", tid, state, both(None)).await;
        check("sampling_percentage: 1, fail_closed: false", tid, state, both(Some(state))).await;
    }
    check("sampling_percentage: 100", "", "", both(None)).await;
    check("sampling_percentage: 62, fail_closed: false", "", "", both(Some("ot=th:0"))).await;
    check("sampling_percentage: 100", tid, " a=b ,ot=x:y", both(Some("ot=th:0;x:y,a=b"))).await;
}

#[tokio::test]
async fn hash_seed_says_what_it_did() {
    let states = async |percentage: &str, state: &str| {
        let yaml = format!("{{sampling_percentage: {percentage}, hash_seed: 4312}}");
        let mut states = Vec::new();
        for number in 1..200u64 {
            let trace = format!("{:032x}", u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            states.extend(sampled(&yaml, &trace, state, "").await);
        }
        states
    };
    for (percentage, threshold, about) in
        [("75", "4", 150), ("50", "8", 100), ("10", "e668", 20), ("33.333336", "aaac", 66)]
    {
        let states = states(percentage, "").await;
        assert!(states.len().abs_diff(about) < 25, "{percentage}: {}", states.len());
        for state in states {
            let (randomness, said) = state.strip_prefix("ot=rv:").unwrap().split_once(";th:").unwrap();
            assert_eq!((said, randomness.len()), (threshold, 14), "{state}");
            let least = format!("{threshold:0<14}");
            assert!(randomness >= least.as_str(), "{state}");
        }
    }
    // Others have sampled these already.
    for state in ["ot=rv:40000000000000", "ot=th:8"] {
        assert_eq!(states("100", state).await, Vec::<String>::new());
        let yaml = "{sampling_percentage: 1, fail_closed: false}";
        assert_eq!(sampled(yaml, DEFAULT_TRACE, state, "").await.as_deref(), Some(state));
    }
    // Without a trace all randomness is given.
    let open = "{sampling_percentage: 1, fail_closed: false}";
    assert_eq!(sampled(open, "", "", "").await.as_deref(), Some("ot=rv:ffffffffffffff;th:0"));
    // A share below one bucket is none.
    assert_eq!(states("0.0045", "").await, Vec::<String>::new());
}

#[tokio::test]
async fn priorities_of_spans() {
    let check = async |percentage: &str, key: &str, value: &str, kept: bool| {
        for mode in ["hash_seed", "equalizing", "proportional"] {
            let yaml = format!("{{sampling_percentage: {percentage}, mode: {mode}, hash_seed: 4312}}");
            let attribute = format!(r#"{{"key":"{key}","value":{{{value}}}}}"#);
            let state = sampled(&yaml, DEFAULT_TRACE, "", &attribute).await;
            assert_eq!(state.is_some(), kept, "{yaml} {value}");
        }
    };
    let key = "sampling.priority";
    check("0", key, r#""intValue":"2""#, true).await;
    check("0", key, r#""doubleValue":1"#, true).await;
    check("0", key, r#""stringValue":"0.5""#, true).await;
    check("100", key, r#""intValue":"0""#, false).await;
    check("100", key, r#""doubleValue":0"#, false).await;
    check("100", key, r#""stringValue":"0.0""#, false).await;
    for deferring in
        [r#""intValue":"-1""#, r#""stringValue":"NaN""#, r#""stringValue":"-0.5""#, r#""boolValue":true"#]
    {
        check("0", key, deferring, false).await;
        check("100", key, deferring, true).await;
    }
    check("0", "no.sampling.priority", r#""intValue":"2""#, false).await;
    let yaml = "{sampling_percentage: 1, mode: proportional}";
    let attribute = r#"{"key":"sampling.priority","value":{"intValue":"2"}}"#;
    assert_eq!(sampled(yaml, DEFAULT_TRACE, "", attribute).await.as_deref(), Some("ot=th:0"));
}

/// The attributes of the record, if it is kept.
async fn record(yaml: &str, trace: &str, attributes: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let pairs = attributes.iter().map(|(key, value)| format!(r#"{{"key":"{key}","value":{{{value}}}}}"#));
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"traceId":"{trace}","attributes":[{}]}}]}}]}}]}}"#,
        pairs.collect::<Vec<String>>().join(",")
    );
    let (kept, _) = run(Signal::Logs, yaml, &json).await;
    let kept = kept?;
    let scope = pdata::logs::resources(&kept).flat_map(|resource| resource.scopes()).next().unwrap();
    let text = |value: AnyValueView<'_>| match value {
        AnyValueView::String(text) => text.to_owned(),
        other => format!("{other:?}"),
    };
    let attributes = scope.log_records().next().unwrap().attributes();
    Some(attributes.map(|pair| (pair.key.to_owned(), text(pair.value))).collect())
}

#[tokio::test]
async fn log_records_say_how_they_were_sampled() {
    let check =
        async |yaml: &str, trace: &str, attributes: &[(&str, &str)], expected: Option<&[(&str, &str)]>| {
            let got = record(yaml, trace, attributes).await;
            let expected = expected.map(|pairs| {
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
            });
            assert_eq!(got, expected, "{yaml} {attributes:?}");
        };
    let (tid, threshold, randomness) = (DEFAULT_TRACE, "sampling.threshold", "sampling.randomness");
    check("{sampling_percentage: 100, mode: proportional}", tid, &[], Some(&[(threshold, "0")])).await;
    check("{sampling_percentage: 0}", tid, &[], None).await;
    let incoming = (randomness, r#""stringValue":"e6147c00000000""#);
    check(
        "{sampling_percentage: 0, sampling_priority: p, sampling_precision: 6}",
        tid,
        &[incoming, ("p", r#""doubleValue":10.125"#)],
        Some(&[(randomness, "e6147c00000000"), ("p", "Double(10.125)"), (threshold, "e6147b")]),
    )
    .await;
    let c = (threshold, r#""stringValue":"c""#);
    check(
        "{sampling_percentage: 50, mode: proportional}",
        "fefefefefefefefefef0000000000000",
        &[c],
        Some(&[(threshold, "e")]),
    )
    .await;
    check("{sampling_percentage: 50, mode: equalizing}", "fefefefefefefefefeb0000000000000", &[c], None)
        .await;
    check(
        "{sampling_percentage: 50, mode: equalizing, sampling_priority: prio}",
        "fefefefefefefefefefefefefefefefe",
        &[c, ("prio", r#""intValue":"37""#)],
        Some(&[(threshold, "c"), ("prio", "Int(37)")]),
    )
    .await;
    check(
        "{sampling_percentage: 100, fail_closed: false}",
        tid,
        &[(randomness, r#""stringValue":"f2341234123412""#)],
        Some(&[(randomness, "f2341234123412")]),
    )
    .await;
    // By a hash: the randomness is said, too.
    let hashed = record("{sampling_percentage: 100, hash_seed: 22}", tid, &[]).await.unwrap();
    assert_eq!((hashed[0].0.as_str(), hashed[0].1.len()), (randomness, 14));
    assert_eq!(hashed[1], (threshold.to_owned(), "0".to_owned()));
    for mode in ["hash_seed", "equalizing", "proportional"] {
        for (percentage, closed, kept) in
            [(0, true, false), (50, true, false), (0, false, false), (50, false, true)]
        {
            let yaml = format!(
                "{{sampling_percentage: {percentage}, mode: {mode}, fail_closed: {closed}, from_attribute: unused}}"
            );
            let attributes = record(&yaml, "", &[("unused", r#""stringValue":"""#)]).await;
            assert_eq!(attributes.is_some(), kept, "{yaml}");
        }
    }
}

#[tokio::test]
async fn decisions_are_counted_by_what_decided() {
    let (_, telemetry) = run(Signal::Logs, "{sampling_percentage: 50}", &hundred_records()).await;
    let count = |policy: &str, kept: bool| {
        let name = "otelcol_processor_probabilistic_sampler_count_logs_sampled";
        telemetry.value(&format!("{name}{{policy={policy},sampled={kept}}}"))
    };
    assert_eq!(count("trace_id_hash", true), 45.0);
    assert_eq!(count("trace_id_hash", false), 54.0);
    assert_eq!(count("missing_randomness", false), 1.0);
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let error = probabilisticsamplerprocessor::factory().decode(Some(&node), "").unwrap_err();
        assert!(error.to_string().contains(expected), "{yaml}: {error}");
    };
    check("sampling_percentage: -1", "sampling_percentage: sampling rate is negative: -1.000000%");
    check("sampling_percentage: .inf", "sampling_percentage: sampling rate is invalid: inf%");
    check("sampling_percentage: 1.0e-19", "sampling_percentage: sampling rate is too small: ");
    check("sampling_precision: 0", "sampling_precision: invalid sampling precision: 0");
    check(
        "sampling_precision: 15",
        "sampling_precision: sampling precision is too great, should be <= 14: 15",
    );
    check("mode: dunno", "dunno");
    check("attribute_source: span", "span");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = "{sampling_percentage: 100, fail_closed: false}";
    ProcessorContract::new(probabilisticsamplerprocessor::factory(), yaml).check().await;
}
