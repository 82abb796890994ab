//! Runs the rules.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use component::telemetry::ProcessorMetrics;
use component::{Component, ConsumeError, Consumer, Settings};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use pdata::{Batch, Signal};
use prost::Message;

use crate::config::{Generation, Operand};
use crate::{Config, generate};

/// The feature gate by which points of two metrics are put together only if the attributes that both have are equal.
const MATCH_ATTRIBUTES: &str = "metricsgeneration.MatchAttributes";

/// The processor.
pub(crate) struct MetricsGenerationProcessor {
    rules: Vec<Generation>,
    match_attributes: bool,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

impl MetricsGenerationProcessor {
    pub(crate) fn new(settings: &Settings, config: &Config, next: Arc<dyn Consumer>) -> Self {
        for rule in config.rules.iter().filter(|rule| rule.compile().is_none()) {
            tracing::warn!(name = rule.name, "A rule without operation makes nothing");
        }
        Self {
            rules: config.rules.iter().filter_map(crate::Rule::compile).collect(),
            match_attributes: settings.gates.is_enabled(MATCH_ATTRIBUTES),
            items: ProcessorMetrics::new(settings, Signal::Metrics),
            next,
        }
    }

    /// Whether any rule finds its metrics under one resource.
    fn concerns(&self, batch: &Batch) -> bool {
        pdata::metrics::resources(batch).any(|entry| {
            let has =
                |name: &str| entry.scopes().any(|scope| scope.metrics().any(|metric| metric.name == name));
            self.rules.iter().any(|rule| {
                let second = match &rule.operand {
                    Operand::Metric(name) => has(name),
                    Operand::Number(_) => true,
                };
                second && has(&rule.metric1)
            })
        })
    }

    fn generate(&self, batch: &Batch) -> Result<Batch, ConsumeError> {
        let mut request = ExportMetricsServiceRequest::decode(batch.to_protobuf())
            .map_err(|error| ConsumeError::permanent(format!("request cannot be decoded: {error}")))?;
        for entry in &mut request.resource_metrics {
            generate::run(&self.rules, self.match_attributes, entry);
        }
        Batch::from_protobuf(Signal::Metrics, Bytes::from(request.encode_to_vec()))
            .map(|made| made.with_client(batch.client().cloned()))
            .map_err(|error| ConsumeError::permanent(format!("request is not valid: {error}")))
    }
}

impl Component for MetricsGenerationProcessor {}

#[async_trait]
impl Consumer for MetricsGenerationProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        self.items.incoming(batch.items());
        let batch = if self.concerns(&batch) { self.generate(&batch)? } else { batch };
        self.items.outgoing(batch.items());
        self.next.consume(batch).await
    }
}
