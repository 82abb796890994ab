//! Makes the rates.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use pdata::rewrite::{DataKind, Field, Level, Part, Place, Rewrite, Verdict};
use pdata::{AnyValueView, Batch, Signal, Value};

use crate::Config;

/// The temporality of sums that become rates: `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: i64 = 1;

/// The processor.
pub(crate) struct DeltaToRateProcessor {
    names: HashSet<String>,
    fields: Fields,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

struct Fields {
    name: Field,
    unit: Field,
    temporality: Field,
    start: Field,
    time: Field,
    as_int: Field,
    as_double: Field,
}

/// The work on one request.
struct Run<'p> {
    processor: &'p DeltaToRateProcessor,
    error: Option<ConsumeError>,
}

impl DeltaToRateProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let fields = Fields::new().ok_or("metrics lack a field that rates are made of")?;
        let names = config.metrics.iter().cloned().collect();
        Ok(Self { names, fields, items: ProcessorMetrics::new(&settings, Signal::Metrics), next })
    }
}

impl Fields {
    fn new() -> Option<Self> {
        let field = |part, name| Field::of(Signal::Metrics, part, name);
        Some(Self {
            name: field(Part::Metric, "name")?,
            unit: field(Part::Metric, "unit")?,
            temporality: field(Part::Data, "aggregation_temporality")?,
            start: field(Part::Item, "start_time_unix_nano")?,
            time: field(Part::Item, "time_unix_nano")?,
            as_int: field(Part::Item, "as_int")?,
            as_double: field(Part::Item, "as_double")?,
        })
    }
}

impl Run<'_> {
    /// Makes a gauge of the metric, if it is to be a rate.
    fn metric(&self, place: &mut Place<'_>) -> Verdict {
        let fields = &self.processor.fields;
        let name = place.get(fields.name).as_str().unwrap_or_default();
        if !self.processor.names.contains(name) {
            return Verdict::Keep;
        }
        let is_delta = matches!(place.get(fields.temporality), AnyValueView::Int(DELTA));
        if place.data_kind() != Some(DataKind::Sum) || !is_delta {
            tracing::info!(metric_name = name, "Configured metric for rate calculation is not a delta sum");
            return Verdict::Keep;
        }
        place.set_data_kind(DataKind::Gauge);
        if let Some(unit) = place.get(fields.unit).as_str().filter(|unit| !unit.is_empty()) {
            let unit = Value::String(format!("{unit}/s"));
            place.set(fields.unit, &unit);
        }
        Verdict::Descend
    }

    fn point(&mut self, place: &mut Place<'_>) {
        let fields = &self.processor.fields;
        let nanos = |field: Field| match place.get(field) {
            AnyValueView::Int(nanos) => nanos as u64,
            _ => 0,
        };
        let value = match (place.get(fields.as_double), place.get(fields.as_int)) {
            (AnyValueView::Double(value), _) => value,
            (_, AnyValueView::Int(value)) => value as f64,
            _ => {
                self.error = Some(ConsumeError::permanent("unsupported metric data point type: Empty"));
                return;
            }
        };
        let (start, time) = (nanos(fields.start), nanos(fields.time));
        let rate = if time > start { value / ((time - start) as f64 / 1e9) } else { 0.0 };
        place.set(fields.as_double, &Value::Double(rate));
    }
}

impl Rewrite for Run<'_> {
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict {
        match level {
            _ if self.error.is_some() => Verdict::Keep,
            Level::Resource | Level::Scope => Verdict::Descend,
            Level::Metric => self.metric(place),
            Level::Item | Level::Event => {
                self.point(place);
                Verdict::Keep
            }
        }
    }
}

impl Component for DeltaToRateProcessor {}

#[async_trait]
impl Consumer for DeltaToRateProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let mut run = Run { processor: self, error: None };
        let batch = batch.rewrite(&mut run);
        if let Some(error) = run.error {
            return Err(error);
        }
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
