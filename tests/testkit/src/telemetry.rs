//! Settings with a meter whose counters a test can read.

use std::collections::BTreeMap;
use std::sync::Arc;

use component::{BuildInfo, ComponentId, Gates, Kind, PipelineId, Settings};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

/// The self-telemetry of the components under test.
pub struct TestTelemetry {
    provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

impl Default for TestTelemetry {
    fn default() -> Self {
        crate::logs::install();
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        Self { provider: SdkMeterProvider::builder().with_reader(reader).build(), exporter }
    }
}

impl TestTelemetry {
    /// Settings of a component.
    #[allow(clippy::expect_used, reason = "ids in tests are literals")]
    pub fn settings(&self, kind: Kind, id: &str) -> Settings {
        Settings {
            id: ComponentId::parse(id).expect("a component id"),
            kind,
            pipeline: PipelineId::parse("metrics").ok().filter(|_| kind == Kind::Processor),
            meter: self.provider.meter("test"),
            build: Arc::new(BuildInfo {
                command: "otelcol-insights".into(),
                description: "test".into(),
                version: "0.0.0".into(),
            }),
            gates: Gates::default(),
        }
    }

    /// The sums and gauges recorded so far: `name{label=value,…}`, labels sorted, to value.
    #[allow(clippy::expect_used, reason = "the exporter keeps everything in memory")]
    pub fn values(&self) -> BTreeMap<String, f64> {
        self.exporter.reset();
        self.provider.force_flush().expect("flushed");
        let mut values = BTreeMap::new();
        for resource in self.exporter.get_finished_metrics().expect("metrics") {
            for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
                match metric.data() {
                    AggregatedMetrics::U64(data) => collect(&mut values, metric.name(), data, |v| v as f64),
                    AggregatedMetrics::I64(data) => collect(&mut values, metric.name(), data, |v| v as f64),
                    AggregatedMetrics::F64(data) => collect(&mut values, metric.name(), data, |v| v),
                }
            }
        }
        values
    }

    /// The value of one series, 0 if it was never recorded.
    pub fn value(&self, series: &str) -> f64 {
        self.values().get(series).copied().unwrap_or(0.0)
    }
}

fn collect<T: Copy>(
    values: &mut BTreeMap<String, f64>,
    name: &str,
    data: &MetricData<T>,
    number: impl Fn(T) -> f64,
) {
    let mut add = |attributes: Vec<String>, value: f64| {
        let mut attributes = attributes;
        attributes.sort();
        values.insert(format!("{name}{{{}}}", attributes.join(",")), value);
    };
    let text = |kv: &opentelemetry::KeyValue| format!("{}={}", kv.key, kv.value);
    match data {
        MetricData::Sum(sum) => {
            sum.data_points().for_each(|p| add(p.attributes().map(text).collect(), number(p.value())));
        }
        MetricData::Gauge(gauge) => {
            gauge.data_points().for_each(|p| add(p.attributes().map(text).collect(), number(p.value())));
        }
        MetricData::Histogram(histogram) => histogram.data_points().for_each(|p| {
            add(p.attributes().map(text).collect(), p.count() as f64);
        }),
        MetricData::ExponentialHistogram(_) => {}
    }
}
