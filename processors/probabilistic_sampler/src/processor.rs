//! Drops what is not sampled.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use pdata::rewrite::{Level, Place, Verdict};
use pdata::{Batch, Signal};

use crate::Config;
use crate::sampler::Sampler;
use crate::telemetry::{Counts, Telemetry};

/// The processor.
pub(crate) struct ProbabilisticSamplerProcessor {
    sampler: Sampler,
    items: ProcessorMetrics,
    telemetry: Telemetry,
    next: Arc<dyn Consumer>,
}

impl ProbabilisticSamplerProcessor {
    pub(crate) fn new(settings: Settings, config: Config, next: Arc<dyn Consumer>) -> Result<Self, BoxError> {
        let signal = settings.pipeline.as_ref().map_or(Signal::Traces, |pipeline| pipeline.signal());
        let sampler = Sampler::new(signal, config).ok_or("items of this signal have no trace")?;
        let telemetry = Telemetry::new(&settings, signal);
        Ok(Self { sampler, items: ProcessorMetrics::new(&settings, signal), telemetry, next })
    }

    fn sample(&self, batch: Batch) -> Batch {
        let mut counts = Counts::new();
        let batch = batch.rewrite(&mut |level: Level, place: &mut Place<'_>| {
            if level < Level::Item {
                return Verdict::Descend;
            }
            let (policy, kept) = self.sampler.decide(place);
            *counts.entry((policy, kept)).or_default() += 1;
            if kept { Verdict::Keep } else { Verdict::Drop }
        });
        self.telemetry.record(&self.sampler, &counts);
        batch
    }
}

impl Component for ProbabilisticSamplerProcessor {}

#[async_trait]
impl Consumer for ProbabilisticSamplerProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let before = batch.items();
        self.items.incoming(before);
        let batch = self.sample(batch);
        // What was there and is all dropped goes no further.
        if before > 0 && batch.is_empty() {
            return Ok(());
        }
        self.items.outgoing(batch.items());
        self.next.consume(batch).await
    }
}
