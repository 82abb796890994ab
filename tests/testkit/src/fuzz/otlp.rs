//! Requests of clients.

use bytes::Bytes;
use pdata::metrics::Data;
use pdata::{AnyValueView, Batch, KeyValues, Signal};

/// Any bytes as an export request of each signal: refused or usable.
pub fn otlp_protobuf(bytes: &[u8]) {
    for signal in Signal::ALL {
        if let Ok(batch) = Batch::from_protobuf(signal, Bytes::copy_from_slice(bytes)) {
            use_batch(&batch);
        }
    }
}

/// Any bytes as an OTLP/JSON export request of each signal: refused or usable.
pub fn otlp_json(bytes: &[u8]) {
    for signal in Signal::ALL {
        if let Ok(batch) = Batch::from_json(signal, bytes) {
            use_batch(&batch);
        }
    }
}

/// Does with an accepted batch everything that a pipeline can do with it.
fn use_batch(batch: &Batch) {
    let signal = batch.signal();
    let read = read(batch);
    assert_eq!(read.items, batch.items(), "the views show every item");

    let json = batch.to_json();
    let again = Batch::from_json(signal, &json).map(|again| again.to_json());
    assert_eq!(again.as_ref(), Ok(&json), "what is written as JSON reads back");

    let edited = batch.clone().edit_resources(|editor| {
        editor.retain(|pair| pair.key.len().is_multiple_of(2));
        editor.upsert("k", 1i64);
    });
    let checked = Batch::from_protobuf(signal, edited.to_protobuf());
    assert_eq!(checked.as_ref(), Ok(&edited), "an edited batch is a valid request");
    assert_eq!(checked.map(|checked| checked.items()), Ok(batch.items()), "an edit keeps the items");

    let mut rest = edited.clone();
    let first = rest.split_off_first(batch.items() / 2);
    assert_eq!(first.items() + rest.items(), batch.items(), "a split keeps the items");
    for part in [first, rest] {
        let checked = Batch::from_protobuf(signal, part.to_protobuf());
        assert_eq!(checked.map(|checked| checked.items()), Ok(part.items()), "each part is a valid request");
    }
}

/// What was read, so that reading cannot be left out.
#[derive(Default)]
struct Read {
    items: usize,
    text: usize,
}

fn read(batch: &Batch) -> Read {
    let mut read = Read::default();
    read.metrics(batch);
    read.logs(batch);
    read.spans(batch);
    std::hint::black_box(read.text);
    read
}

impl Read {
    fn metrics(&mut self, batch: &Batch) {
        for entry in pdata::metrics::resources(batch) {
            self.attributes(entry.resource().attributes());
            self.text(entry.schema_url());
            for scope in entry.scopes() {
                self.attributes(scope.scope().attributes());
                for metric in scope.metrics() {
                    [metric.name, metric.description, metric.unit].iter().for_each(|text| self.text(text));
                    self.attributes(metric.metadata());
                    self.points(metric.data);
                }
            }
        }
    }

    fn points(&mut self, data: Data<'_>) {
        match data {
            Data::None => {}
            Data::Gauge(points) | Data::Sum { points, .. } => {
                for point in points.numbers() {
                    self.items += 1;
                    self.attributes(point.attributes());
                    point.exemplars().for_each(|exemplar| self.attributes(exemplar.filtered_attributes()));
                }
            }
            Data::Histogram { points, .. } => {
                for point in points.histograms() {
                    self.items += 1;
                    self.attributes(point.attributes());
                    self.text += point.bucket_counts().count() + point.explicit_bounds().count();
                    point.exemplars().for_each(|exemplar| self.attributes(exemplar.filtered_attributes()));
                }
            }
            Data::ExponentialHistogram { points, .. } => {
                for point in points.exponential_histograms() {
                    self.items += 1;
                    self.attributes(point.attributes());
                    self.text +=
                        point.positive.bucket_counts().count() + point.negative.bucket_counts().count();
                    point.exemplars().for_each(|exemplar| self.attributes(exemplar.filtered_attributes()));
                }
            }
            Data::Summary(points) => {
                for point in points.summaries() {
                    self.items += 1;
                    self.attributes(point.attributes());
                    self.text += point.quantile_values().count();
                }
            }
        }
    }

    fn logs(&mut self, batch: &Batch) {
        for scope in pdata::logs::resources(batch).flat_map(|entry| entry.scopes()) {
            self.text(scope.schema_url());
            for record in scope.log_records() {
                self.items += 1;
                self.value(record.body);
                self.attributes(record.attributes());
                [record.severity_text, record.event_name].iter().for_each(|text| self.text(text));
            }
        }
    }

    fn spans(&mut self, batch: &Batch) {
        for scope in pdata::traces::resources(batch).flat_map(|entry| entry.scopes()) {
            self.text(scope.scope().version);
            for span in scope.spans() {
                self.items += 1;
                self.attributes(span.attributes());
                [span.name, span.trace_state(), span.status.message].iter().for_each(|text| self.text(text));
                for event in span.events() {
                    self.text(event.name);
                    self.attributes(event.attributes());
                }
                for link in span.links() {
                    self.text(link.trace_state());
                    self.attributes(link.attributes());
                }
            }
        }
    }

    fn attributes(&mut self, attributes: KeyValues<'_>) {
        for pair in attributes {
            self.text(pair.key);
            self.value(pair.value);
        }
    }

    fn value(&mut self, value: AnyValueView<'_>) {
        match value {
            AnyValueView::String(text) => self.text(text),
            AnyValueView::Array(array) => array.values().for_each(|value| self.value(value)),
            AnyValueView::KeyValues(pairs) => self.attributes(pairs),
            AnyValueView::Bytes(bytes) => self.text += bytes.len(),
            AnyValueView::Empty | AnyValueView::Bool(_) | AnyValueView::Int(_) | AnyValueView::Double(_) => {}
        }
    }

    /// Text that is not UTF-8 would show here at the latest.
    fn text(&mut self, text: &str) {
        self.text += text.chars().count();
        assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "text is UTF-8");
    }
}
