//! Makes the deltas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use pdata::metrics::{FLAG_NO_RECORDED_VALUE, Number};
use pdata::rewrite::{Change, DataKind, Field, Level, Part, Place, Point, Rewrite, Verdict};
use pdata::{AnyValueView, Batch, KeyValues, Signal};

use crate::Config;
use crate::config::Filter;
use crate::identity::{Identifier, Identity};
use crate::telemetry::{Counts, Telemetry};
use crate::tracker::{Key, Reason, Tracker};

/// `AGGREGATION_TEMPORALITY_DELTA`
const DELTA: i64 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: i64 = 2;

/// The processor.
pub(crate) struct CumulativeToDeltaProcessor {
    include: Filter,
    exclude: Filter,
    fields: Fields,
    identifier: Identifier,
    tracker: Mutex<Tracker>,
    items: ProcessorMetrics,
    telemetry: Telemetry,
    next: Arc<dyn Consumer>,
}

struct Fields {
    resource_attributes: Field,
    scope_name: Field,
    scope_version: Field,
    name: Field,
    unit: Field,
    temporality: Field,
    monotonic: Field,
    start: Field,
    as_int: Field,
    as_double: Field,
    count: Field,
    sum: Field,
    bucket_counts: Field,
    zero_count: Field,
    positive: Field,
    negative: Field,
    min: Field,
    max: Field,
}

/// The work on one request.
struct Run<'p> {
    processor: &'p CumulativeToDeltaProcessor,
    tracker: &'p mut Tracker,
    counts: Counts,
    /// Of the resource at hand, once it was needed.
    resource: Option<Identity>,
    /// Of the metric at hand.
    metric: Identity,
    kind: DataKind,
    /// Memory for the counts of buckets.
    buckets: Vec<u64>,
}

impl CumulativeToDeltaProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let mut problems = Problems::default();
        let include = problems.at("include", |problems| config.include.filter(problems));
        let exclude = problems.at("exclude", |problems| config.exclude.filter(problems));
        problems.into_result()?;
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
        let initial_value = config.initial_value;
        Ok(Self {
            include,
            exclude,
            fields: Fields::new().ok_or("metrics lack a field that deltas are made of")?,
            identifier: Identifier::default(),
            tracker: Mutex::new(Tracker::new(initial_value, *config.max_staleness, began)),
            items: ProcessorMetrics::new(&settings, Signal::Metrics),
            telemetry: Telemetry::new(&settings),
            next,
        })
    }

    fn convert(&self, batch: Batch) -> Batch {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        tracker.tick();
        let mut run = Run {
            processor: self,
            tracker: &mut tracker,
            counts: Counts::default(),
            resource: None,
            metric: Identity(0, 0),
            kind: DataKind::Sum,
            buckets: Vec::new(),
        };
        let batch = batch.rewrite(&mut run);
        let counts = run.counts;
        self.telemetry.record(&counts, tracker.len());
        if counts.over_limit() > 0 {
            tracing::warn!(
                datapoints = counts.over_limit(),
                streams = tracker.len(),
                "Too many streams to follow; points of new ones are dropped. Lower max_staleness, or exclude metrics with labels without end"
            );
        }
        batch
    }
}

impl Fields {
    fn new() -> Option<Self> {
        let field = |part, name| Field::of(Signal::Metrics, part, name);
        Some(Self {
            resource_attributes: field(Part::Resource, "attributes")?,
            scope_name: field(Part::Scope, "name")?,
            scope_version: field(Part::Scope, "version")?,
            name: field(Part::Metric, "name")?,
            unit: field(Part::Metric, "unit")?,
            temporality: field(Part::Data, "aggregation_temporality")?,
            monotonic: field(Part::Data, "is_monotonic")?,
            start: field(Part::Item, "start_time_unix_nano")?,
            as_int: field(Part::Item, "as_int")?,
            as_double: field(Part::Item, "as_double")?,
            count: field(Part::Item, "count")?,
            sum: field(Part::Item, "sum")?,
            bucket_counts: field(Part::Item, "bucket_counts")?,
            zero_count: field(Part::Item, "zero_count")?,
            positive: field(Part::Item, "positive")?,
            negative: field(Part::Item, "negative")?,
            min: field(Part::Item, "min")?,
            max: field(Part::Item, "max")?,
        })
    }

    /// Says since when a point adds up.
    fn since(&self, start: u64) -> (Field, Change<'static>) {
        (self.start, if start == 0 { Change::Clear } else { Change::Int(start as i64) })
    }
}

impl Run<'_> {
    /// Makes deltas of the metric, if it is to be converted.
    fn metric(&mut self, place: &mut Place<'_>) -> Verdict {
        let processor = self.processor;
        let fields = &processor.fields;
        let Some(kind) = place.data_kind() else { return Verdict::Keep };
        let converted = match kind {
            DataKind::Gauge | DataKind::Summary => false,
            DataKind::Sum => matches!(place.get(fields.monotonic), AnyValueView::Bool(true)),
            DataKind::Histogram | DataKind::ExponentialHistogram => true,
        };
        let cumulative = || matches!(place.get(fields.temporality), AnyValueView::Int(CUMULATIVE));
        let text = |field: Field| place.get(field).as_str().unwrap_or_default();
        let name = text(fields.name);
        if !converted
            || !cumulative()
            || !processor.include.includes(name, kind)
            || processor.exclude.excludes(name, kind)
        {
            return Verdict::Keep;
        }
        let resource = *self.resource.get_or_insert_with(|| {
            processor.identifier.attributes(place.attributes(fields.resource_attributes))
        });
        self.metric = processor
            .identifier
            .begin()
            .identity(resource)
            .text(text(fields.scope_name))
            .text(text(fields.scope_version))
            .number(kind as u64)
            .text(name)
            .text(text(fields.unit))
            .end();
        self.kind = kind;
        place.change(Part::Data, &[(fields.temporality, Change::Int(DELTA))]);
        Verdict::Descend
    }

    /// Makes a delta of the point.
    fn point(&mut self, place: &mut Place<'_>) -> Verdict {
        let Some(point) = place.point() else { return Verdict::Keep };
        let (flags, is_nan) = match point {
            Point::Number(point) => {
                let is_nan = matches!(point.value, Some(Number::Double(value)) if value.is_nan());
                (point.flags, is_nan)
            }
            Point::Histogram(point) => (point.flags, false),
            Point::ExponentialHistogram(point) => (point.flags, false),
            Point::Summary(point) => (point.flags, false),
        };
        if flags & FLAG_NO_RECORDED_VALUE != 0 {
            return Verdict::Drop;
        }
        let outcome = match point {
            Point::Number(_) if is_nan => return Verdict::Keep,
            Point::Number(_) => self.number(place),
            Point::Histogram(_) => self.histogram(place),
            Point::ExponentialHistogram(_) => self.exponential(place),
            Point::Summary(_) => return Verdict::Keep,
        };
        self.counts.add(self.kind, outcome);
        match outcome {
            Ok(()) => Verdict::Keep,
            Err(_) => Verdict::Drop,
        }
    }

    fn key(&self, attributes: KeyValues<'_>, value_type: u64, start: u64, time: u64) -> Key {
        let identifier = &self.processor.identifier;
        let attributes = identifier.attributes(attributes);
        let twin = identifier.begin().identity(self.metric).identity(attributes);
        Key { stream: twin.number(value_type).number(start).end(), start, time }
    }

    fn number(&mut self, place: &mut Place<'_>) -> Result<(), Reason> {
        let fields = &self.processor.fields;
        let Some(Point::Number(point)) = place.point() else { return Ok(()) };
        let (value_type, value) = match point.value {
            // Without a value it counts as nothing, as upstream takes it.
            None => (0, Number::Int(0)),
            Some(value @ Number::Int(_)) => (1, value),
            Some(value @ Number::Double(_)) => (2, value),
        };
        let key = self.key(point.attributes(), value_type, point.start_time_unix_nano, point.time_unix_nano);
        let (start, change) = self.tracker.number(key, value)?;
        let change = match change {
            Number::Int(change) => (fields.as_int, Change::Int(change)),
            Number::Double(change) => (fields.as_double, Change::Double(change)),
        };
        place.change(Part::Item, &[fields.since(start), change]);
        Ok(())
    }

    fn histogram(&mut self, place: &mut Place<'_>) -> Result<(), Reason> {
        let fields = &self.processor.fields;
        let Some(Point::Histogram(point)) = place.point() else { return Ok(()) };
        let key = self.key(point.attributes(), 0, point.start_time_unix_nano, point.time_unix_nano);
        let has_sum = point.sum.is_some_and(|sum| !sum.is_nan());
        let (start, change) = self.tracker.histogram(key, &point, &mut self.buckets)?;
        let changes = [
            fields.since(start),
            (fields.count, Change::Int(change.count as i64)),
            (fields.bucket_counts, Change::Counts(&self.buckets)),
            (fields.min, Change::Clear),
            (fields.max, Change::Clear),
            (fields.sum, Change::Double(change.sum)),
        ];
        place.change(Part::Item, changes.get(..5 + usize::from(has_sum)).unwrap_or_default());
        Ok(())
    }

    fn exponential(&mut self, place: &mut Place<'_>) -> Result<(), Reason> {
        let fields = &self.processor.fields;
        let Some(Point::ExponentialHistogram(point)) = place.point() else { return Ok(()) };
        let key = self.key(point.attributes(), 0, point.start_time_unix_nano, point.time_unix_nano);
        let has_sum = point.sum.is_some_and(|sum| !sum.is_nan());
        let (start, change) = self.tracker.exponential(key, &point)?;
        let positive = Change::Buckets { offset: change.positive.offset, counts: &change.positive.counts };
        let negative = Change::Buckets { offset: change.negative.offset, counts: &change.negative.counts };
        let changes = [
            fields.since(start),
            (fields.count, Change::Int(change.count as i64)),
            (fields.zero_count, Change::Int(change.zero_count as i64)),
            (fields.positive, positive),
            (fields.negative, negative),
            (fields.min, Change::Clear),
            (fields.max, Change::Clear),
            (fields.sum, Change::Double(change.sum)),
        ];
        place.change(Part::Item, changes.get(..7 + usize::from(has_sum)).unwrap_or_default());
        Ok(())
    }
}

impl Rewrite for Run<'_> {
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict {
        match level {
            Level::Resource => {
                self.resource = None;
                Verdict::Descend
            }
            Level::Scope => Verdict::Descend,
            Level::Metric => self.metric(place),
            Level::Item | Level::Event => self.point(place),
        }
    }
}

impl Component for CumulativeToDeltaProcessor {}

#[async_trait]
impl Consumer for CumulativeToDeltaProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let before = batch.items();
        self.items.incoming(before);
        let batch = self.convert(batch);
        // What was there and is all dropped goes no further.
        if before > 0 && batch.is_empty() {
            return Ok(());
        }
        self.items.outgoing(batch.items());
        self.next.consume(batch).await
    }
}
