//! Adds to resources what is known of their pods.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use confmap::Problems;
use opentelemetry::metrics::Meter;
use pdata::Batch;
use tokio::time::Instant;

use crate::Config;
use crate::cluster::{self, Error};
use crate::compile::Compiled;
use crate::enrichment::Enrichment;
use crate::gating::Gating;
use crate::telemetry::{AssociationMetrics, Tally};
use crate::view::View;

/// The processor.
pub(crate) struct AttributesProcessor {
    id: String,
    config: Arc<Config>,
    compiled: Arc<Compiled>,
    meter: Meter,
    metrics: AssociationMetrics,
    items: ProcessorMetrics,
    /// What is known, from start to shutdown.
    view: RwLock<Option<Arc<View>>>,
    next: Arc<dyn Consumer>,
}

impl AttributesProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: Arc<Config>,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let mut problems = Problems::default();
        let gating = Gating::of(&settings.gates);
        let compiled = Compiled::of(&config, |name| std::env::var(name).ok(), gating, &mut problems);
        problems.into_result()?;
        let signal = settings.signal();
        Ok(Self {
            metrics: AssociationMetrics::new(&settings.meter, &compiled.associations, signal),
            items: ProcessorMetrics::new(&settings, signal),
            id: settings.id.to_string(),
            config,
            compiled: Arc::new(compiled),
            meter: settings.meter,
            view: RwLock::default(),
            next,
        })
    }

    fn view(&self) -> Option<Arc<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_view(&self, view: Option<Arc<View>>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Adds to all resources of a batch what is known at this moment.
    fn add_to(&self, batch: Batch, peer: Option<IpAddr>, tally: &mut Tally) -> Batch {
        let view = self.view();
        let tables = view.as_ref().map(|view| view.read());
        batch.edit_resources_by(&mut Enrichment::new(&self.compiled, tables.as_ref(), peer, tally))
    }

    async fn wait(&self, view: &View, timeout: Duration) -> Result<(), Error> {
        let complete = tokio::time::timeout(timeout, view.complete()).await;
        complete.map_err(|_| Error::NotSynced { after: timeout, missing: view.missing() })
    }
}

#[async_trait]
impl Component for AttributesProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if !self.compiled.gating.v0 && !self.compiled.gating.v1 {
            return Err(Error::NoConventions.into());
        }
        if self.compiled.passthrough || self.view().is_some() {
            return Ok(());
        }
        let filter = &self.compiled.filter;
        tracing::info!(
            component = self.id,
            labelSelector = filter.labels,
            fieldSelector = filter.fields,
            "k8s filtering"
        );
        let view = cluster::view(&self.config, &self.compiled, host, &self.meter).await?;
        if self.config.wait_for_metadata {
            self.wait(&view, *self.config.wait_for_metadata_timeout).await?;
        }
        self.set_view(Some(view));
        Ok(())
    }

    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        self.set_view(None);
        Ok(())
    }
}

#[async_trait]
impl Consumer for AttributesProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let peer =
            batch.client().and_then(|client| client.address).map(|address| address.ip().to_canonical());
        let mut tally = self.metrics.tally();
        let batch = self.add_to(batch, peer, &mut tally);
        self.metrics.record(&tally);
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
