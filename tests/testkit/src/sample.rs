//! Small batches for tests.

use pdata::metrics::Number;
use pdata::{Batch, MetricsBuilder, Signal};

/// The time of all samples: Unix time in nanoseconds.
pub(crate) const TIME: u64 = 1_700_000_000_000_000_000;

/// `resources` resources with the gauges `m0`, `m1`, … of `points` points in all each; resource attribute `r` is the number.
pub fn gauges(resources: usize, points: usize) -> Batch {
    let mut builder = MetricsBuilder::default();
    for resource in 0..resources {
        let mut entry = builder.resource();
        entry.attribute("r", &resource.to_string());
        for point in 0..points {
            entry.gauge(&format!("m{point}"), "Count", TIME, Number::Int(point as i64));
        }
    }
    builder.finish()
}

/// A batch of log records with bodies `line 0`, `line 1`, …
#[allow(clippy::expect_used, reason = "the text is ours")]
pub fn logs(records: usize) -> Batch {
    let records: Vec<_> = (0..records)
        .map(|i| format!(r#"{{"timeUnixNano":"{TIME}","body":{{"stringValue":"line {i}"}}}}"#))
        .collect();
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","));
    Batch::from_json(Signal::Logs, body.as_bytes()).expect("sample logs are valid")
}

/// A batch of spans named `span 0`, `span 1`, …
#[allow(clippy::expect_used, reason = "the text is ours")]
pub fn spans(spans: usize) -> Batch {
    let spans: Vec<_> = (0..spans)
        .map(|i| {
            format!(
                r#"{{"traceId":"{:032x}","spanId":"{:016x}","name":"span {i}","startTimeUnixNano":"{TIME}"}}"#,
                i + 1,
                i + 1
            )
        })
        .collect();
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
    Batch::from_json(Signal::Traces, body.as_bytes()).expect("sample spans are valid")
}
