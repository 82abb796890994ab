//! Views of metrics.

use crate::common::{KeyValues, envelope};
use crate::wire::{FieldValue, Fields, varint, zigzag32};
use crate::{Batch, Signal};

envelope!(ResourceMetricsView, ScopeMetricsView, metrics, MetricView<'a>, "metrics");

/// The metrics of a batch, by resource; nothing for a batch of another signal.
pub fn resources(batch: &Batch) -> impl Iterator<Item = ResourceMetricsView<'_>> {
    batch.entries().filter(|_| batch.signal() == Signal::Metrics).map(ResourceMetricsView::new)
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means; empty if not said.
    pub description: &'a str,
    /// Its unit, UCUM; empty if not said.
    pub unit: &'a str,
    /// Its points.
    pub data: Data<'a>,
    message: &'a [u8],
}

/// The points of a metric, by type.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// The type is not set.
    None,
    /// Values of a moment.
    Gauge(Points<'a>),
    /// Values that add up.
    Sum {
        /// The points.
        points: Points<'a>,
        /// Since when values add up.
        temporality: Temporality,
        /// Whether the values never fall.
        monotonic: bool,
    },
    /// Distributions over explicit bounds.
    Histogram {
        /// The points.
        points: Points<'a>,
        /// Since when counts add up.
        temporality: Temporality,
    },
    /// Distributions over exponential bounds.
    ExponentialHistogram {
        /// The points.
        points: Points<'a>,
        /// Since when counts add up.
        temporality: Temporality,
    },
    /// Quantiles.
    Summary(Points<'a>),
}

/// The unread data points of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    message: &'a [u8],
}

/// Since when the values of a point add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Not said.
    Unspecified,
    /// Since the last point.
    Delta,
    /// Since the start time.
    Cumulative,
}

impl<'a> MetricView<'a> {
    #[inline]
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self { name: "", description: "", unit: "", data: Data::None, message };
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.name = value.text(),
                2 => view.description = value.text(),
                3 => view.unit = value.text(),
                5 => view.data = Data::Gauge(Points { message: value.bytes() }),
                7 => view.data = parse_sum(value.bytes()),
                9 => {
                    let (points, temporality) = parse_distribution(value.bytes());
                    view.data = Data::Histogram { points, temporality };
                }
                10 => {
                    let (points, temporality) = parse_distribution(value.bytes());
                    view.data = Data::ExponentialHistogram { points, temporality };
                }
                11 => view.data = Data::Summary(Points { message: value.bytes() }),
                _ => {}
            }
        }
        view
    }

    /// Attributes about the metric itself.
    pub fn metadata(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 12)
    }
}

fn parse_sum(message: &[u8]) -> Data<'_> {
    let (points, temporality) = parse_distribution(message);
    let monotonic = Fields::new(message).any(|(number, value)| number == 3 && value.number() != 0);
    Data::Sum { points, temporality, monotonic }
}

fn parse_distribution(message: &[u8]) -> (Points<'_>, Temporality) {
    let temporality =
        Fields::new(message).find(|(number, _)| *number == 2).map_or(0, |(_, value)| value.number());
    let temporality = match temporality {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    (Points { message }, temporality)
}

impl<'a> Points<'a> {
    #[inline]
    fn messages(self) -> impl Iterator<Item = &'a [u8]> {
        Fields::new(self.message).filter(|(number, _)| *number == 1).map(|(_, value)| value.bytes())
    }

    /// How many there are, whatever their type.
    pub fn count(self) -> usize {
        self.messages().count()
    }

    /// The points of a gauge or sum.
    #[inline]
    pub fn numbers(self) -> impl Iterator<Item = NumberDataPointView<'a>> {
        self.messages().map(NumberDataPointView::parse)
    }

    /// The points of a histogram.
    pub fn histograms(self) -> impl Iterator<Item = HistogramDataPointView<'a>> {
        self.messages().map(HistogramDataPointView::parse)
    }

    /// The points of an exponential histogram.
    pub fn exponential_histograms(self) -> impl Iterator<Item = ExponentialHistogramDataPointView<'a>> {
        self.messages().map(ExponentialHistogramDataPointView::parse)
    }

    /// The points of a summary.
    pub fn summaries(self) -> impl Iterator<Item = SummaryDataPointView<'a>> {
        self.messages().map(SummaryDataPointView::parse)
    }
}

/// The flag of a point that says "no value was recorded here": a staleness marker.
pub const FLAG_NO_RECORDED_VALUE: u32 = 1;

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
}

impl Number {
    /// As a float; integers beyond 2⁵³ are rounded.
    #[inline]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

/// A point of a gauge or sum.
#[derive(Debug, Clone, Copy)]
pub struct NumberDataPointView<'a> {
    /// Since when, Unix time in nanoseconds; 0 for not said.
    pub start_time_unix_nano: u64,
    /// When, Unix time in nanoseconds; 0 for not said.
    pub time_unix_nano: u64,
    /// The value, if set.
    pub value: Option<Number>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    pub flags: u32,
    message: &'a [u8],
    /// Where the first attribute stands in the message.
    attributes: usize,
}

impl<'a> NumberDataPointView<'a> {
    #[inline]
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self {
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            value: None,
            flags: 0,
            message,
            attributes: message.len(),
        };
        let mut fields = Fields::new(message);
        let mut at = 0;
        while let Some((number, value)) = fields.next() {
            match number {
                7 => view.attributes = view.attributes.min(at),
                2 => view.start_time_unix_nano = value.number(),
                3 => view.time_unix_nano = value.number(),
                4 => view.value = Some(Number::Double(value.double())),
                6 => view.value = Some(Number::Int(value.number() as i64)),
                8 => view.flags = value.number() as u32,
                _ => {}
            }
            at = fields.position();
        }
        view
    }

    /// The attributes, in order.
    #[inline]
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::starting_at(self.message, self.attributes, 7)
    }

    /// Samples of the measurements behind the value.
    pub fn exemplars(&self) -> impl Iterator<Item = ExemplarView<'a>> + use<'a> {
        exemplars(self.message, 5)
    }
}

/// A point of a histogram.
#[derive(Debug, Clone, Copy)]
pub struct HistogramDataPointView<'a> {
    /// Since when, Unix time in nanoseconds; 0 for not said.
    pub start_time_unix_nano: u64,
    /// When, Unix time in nanoseconds; 0 for not said.
    pub time_unix_nano: u64,
    /// How many measurements.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    pub flags: u32,
    bucket_counts: &'a [u8],
    explicit_bounds: &'a [u8],
    message: &'a [u8],
}

impl<'a> HistogramDataPointView<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self {
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            count: 0,
            sum: None,
            min: None,
            max: None,
            flags: 0,
            bucket_counts: &[],
            explicit_bounds: &[],
            message,
        };
        for (number, value) in Fields::new(message) {
            match number {
                2 => view.start_time_unix_nano = value.number(),
                3 => view.time_unix_nano = value.number(),
                4 => view.count = value.number(),
                5 => view.sum = Some(value.double()),
                6 => view.bucket_counts = value.bytes(),
                7 => view.explicit_bounds = value.bytes(),
                10 => view.flags = value.number() as u32,
                11 => view.min = Some(value.double()),
                12 => view.max = Some(value.double()),
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 9)
    }

    /// How many measurements fell into each bucket.
    pub fn bucket_counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        packed_fixed64(self.bucket_counts)
    }

    /// The upper bounds of the buckets but the last.
    pub fn explicit_bounds(&self) -> impl Iterator<Item = f64> + use<'a> {
        packed_fixed64(self.explicit_bounds).map(f64::from_bits)
    }

    /// Samples of the measurements.
    pub fn exemplars(&self) -> impl Iterator<Item = ExemplarView<'a>> + use<'a> {
        exemplars(self.message, 8)
    }
}

/// A point of an exponential histogram.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialHistogramDataPointView<'a> {
    /// Since when, Unix time in nanoseconds; 0 for not said.
    pub start_time_unix_nano: u64,
    /// When, Unix time in nanoseconds; 0 for not said.
    pub time_unix_nano: u64,
    /// How many measurements.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The resolution: bucket bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// How many measurements were zero, within `zero_threshold`.
    pub zero_count: u64,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets of measurements above zero.
    pub positive: BucketsView<'a>,
    /// Buckets of measurements below zero.
    pub negative: BucketsView<'a>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    pub flags: u32,
    message: &'a [u8],
}

impl<'a> ExponentialHistogramDataPointView<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view = Self {
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            count: 0,
            sum: None,
            min: None,
            max: None,
            scale: 0,
            zero_count: 0,
            zero_threshold: 0.0,
            positive: BucketsView::default(),
            negative: BucketsView::default(),
            flags: 0,
            message,
        };
        for (number, value) in Fields::new(message) {
            match number {
                2 => view.start_time_unix_nano = value.number(),
                3 => view.time_unix_nano = value.number(),
                4 => view.count = value.number(),
                5 => view.sum = Some(value.double()),
                6 => view.scale = zigzag32(value.number()),
                7 => view.zero_count = value.number(),
                8 => view.positive = BucketsView::parse(value.bytes()),
                9 => view.negative = BucketsView::parse(value.bytes()),
                10 => view.flags = value.number() as u32,
                12 => view.min = Some(value.double()),
                13 => view.max = Some(value.double()),
                14 => view.zero_threshold = value.double(),
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 1)
    }

    /// Samples of the measurements.
    pub fn exemplars(&self) -> impl Iterator<Item = ExemplarView<'a>> + use<'a> {
        exemplars(self.message, 11)
    }
}

/// A run of exponential buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct BucketsView<'a> {
    /// The index of the first bucket.
    pub offset: i32,
    bucket_counts: &'a [u8],
}

impl<'a> BucketsView<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self::default();
        for (number, value) in Fields::new(message) {
            match number {
                1 => view.offset = zigzag32(value.number()),
                2 => view.bucket_counts = value.bytes(),
                _ => {}
            }
        }
        view
    }

    /// How many measurements fell into each bucket.
    pub fn bucket_counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (packed, mut at) = (self.bucket_counts, 0);
        std::iter::from_fn(move || varint(packed, &mut at))
    }
}

/// A point of a summary.
#[derive(Debug, Clone, Copy)]
pub struct SummaryDataPointView<'a> {
    /// Since when, Unix time in nanoseconds; 0 for not said.
    pub start_time_unix_nano: u64,
    /// When, Unix time in nanoseconds; 0 for not said.
    pub time_unix_nano: u64,
    /// How many measurements.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    pub flags: u32,
    message: &'a [u8],
}

impl<'a> SummaryDataPointView<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut view =
            Self { start_time_unix_nano: 0, time_unix_nano: 0, count: 0, sum: 0.0, flags: 0, message };
        for (number, value) in Fields::new(message) {
            match number {
                2 => view.start_time_unix_nano = value.number(),
                3 => view.time_unix_nano = value.number(),
                4 => view.count = value.number(),
                5 => view.sum = value.double(),
                8 => view.flags = value.number() as u32,
                _ => {}
            }
        }
        view
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 7)
    }

    /// The quantiles with their values, in order.
    pub fn quantile_values(&self) -> impl Iterator<Item = QuantileValue> + use<'a> {
        Fields::new(self.message).filter(|(number, _)| *number == 6).map(|(_, value)| {
            let mut pair = QuantileValue { quantile: 0.0, value: 0.0 };
            for (number, value) in Fields::new(value.bytes()) {
                match number {
                    1 => pair.quantile = value.double(),
                    2 => pair.value = value.double(),
                    _ => {}
                }
            }
            pair
        })
    }
}

/// The value at a quantile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileValue {
    /// From 0 to 1.
    pub quantile: f64,
    /// The value.
    pub value: f64,
}

/// A sample of the measurements behind a point.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarView<'a> {
    /// When, Unix time in nanoseconds.
    pub time_unix_nano: u64,
    /// The value, if set.
    pub value: Option<Number>,
    /// The trace it was measured in: 16 bytes or none.
    pub trace_id: &'a [u8],
    /// The span it was measured in: 8 bytes or none.
    pub span_id: &'a [u8],
    message: &'a [u8],
}

impl<'a> ExemplarView<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut view = Self { time_unix_nano: 0, value: None, trace_id: &[], span_id: &[], message };
        for (number, value) in Fields::new(message) {
            match number {
                2 => view.time_unix_nano = value.number(),
                3 => view.value = Some(Number::Double(value.double())),
                4 => view.span_id = value.bytes(),
                5 => view.trace_id = value.bytes(),
                6 => view.value = Some(Number::Int(value.number() as i64)),
                _ => {}
            }
        }
        view
    }

    /// The attributes that the point does not have.
    pub fn filtered_attributes(&self) -> KeyValues<'a> {
        KeyValues::new(self.message, 7)
    }
}

fn exemplars(message: &[u8], number: u32) -> impl Iterator<Item = ExemplarView<'_>> {
    Fields::new(message)
        .filter(move |(field, _)| *field == number)
        .map(|(_, value): (u32, FieldValue<'_>)| ExemplarView::parse(value.bytes()))
}

fn packed_fixed64(packed: &[u8]) -> impl Iterator<Item = u64> {
    packed.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}
