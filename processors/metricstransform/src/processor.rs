//! Runs the transforms.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use pdata::{Batch, Signal};
use prost::Message;

use crate::transform::{self, Transform};
use crate::{Config, compile};

/// The processor.
pub(crate) struct MetricsTransformProcessor {
    transforms: Vec<Transform>,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

impl MetricsTransformProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let mut problems = Problems::default();
        let transforms = compile::transforms(config, &settings.build.version, &mut problems);
        problems.into_result()?;
        Ok(Self { transforms, items: ProcessorMetrics::new(&settings, Signal::Metrics), next })
    }

    /// Whether any transform is about any metric as it came: if none is, none will be.
    fn concerns(&self, batch: &Batch) -> bool {
        let scopes = pdata::metrics::resources(batch).flat_map(|entry| entry.scopes());
        let mut names = scopes.flat_map(|scope| scope.metrics()).map(|metric| metric.name);
        names.any(|name| self.transforms.iter().any(|transform| transform.name.matches(name)))
    }

    fn transform(&self, batch: &Batch) -> Result<Batch, ConsumeError> {
        let mut request = ExportMetricsServiceRequest::decode(batch.to_protobuf())
            .map_err(|error| ConsumeError::permanent(format!("request cannot be decoded: {error}")))?;
        let mut grouped = Vec::new();
        request.resource_metrics.retain_mut(|entry| {
            transform::run(&self.transforms, entry, &mut grouped);
            !entry.scope_metrics.is_empty()
        });
        request.resource_metrics.append(&mut grouped);
        Batch::from_protobuf(Signal::Metrics, Bytes::from(request.encode_to_vec()))
            .map(|transformed| transformed.with_client(batch.client().cloned()))
            .map_err(|error| ConsumeError::permanent(format!("transformed request is not valid: {error}")))
    }
}

impl Component for MetricsTransformProcessor {}

#[async_trait]
impl Consumer for MetricsTransformProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        self.items.incoming(batch.items());
        let batch = if self.concerns(&batch) { self.transform(&batch)? } else { batch };
        self.items.outgoing(batch.items());
        self.next.consume(batch).await
    }
}
