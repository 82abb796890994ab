//! Adds it to data points.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use pdata::rewrite::{Field, Level, Part, Place, Verdict};
use pdata::{AnyValueView, Batch, Signal};
use tokio::time::{Instant, timeout_at};

use crate::Config;
use crate::shared::Running;
use crate::source::Source;
use crate::tagger::{Additions, Known, Progress, Tagger};

/// The attribute that a volume becomes.
const VOLUME: &str = "VolumeId";
/// The attribute that says less than what is added.
const HOST: &str = "host";

/// The processor.
pub(crate) struct TaggerProcessor {
    id: String,
    config: Arc<Config>,
    source: Arc<dyn Source>,
    /// The attributes of data points.
    attributes: Field,
    items: ProcessorMetrics,
    untagged: Counter<u64>,
    labels: [KeyValue; 1],
    /// From start to shutdown.
    running: Mutex<Option<Arc<Running>>>,
    next: Arc<dyn Consumer>,
}

impl TaggerProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: Arc<Config>,
        source: Arc<dyn Source>,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let attributes = Field::of(Signal::Metrics, Part::Item, "attributes");
        Ok(Self {
            items: ProcessorMetrics::new(&settings, Signal::Metrics),
            untagged: settings
                .meter
                .u64_counter("otelcol_processor_ec2tagger_untagged_metric_points")
                .with_description(
                    "Number of metric points that passed before all that is to be added was known",
                )
                .with_unit("{metric_points}")
                .build(),
            labels: [KeyValue::new("processor", settings.id.to_string())],
            id: settings.id.to_string(),
            config,
            source,
            attributes: attributes.ok_or("data points have no attributes")?,
            running: Mutex::default(),
            next,
        })
    }

    fn running(&self) -> Option<Arc<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tag(&self, batch: Batch, additions: &Additions) -> Batch {
        let (field, device_key) = (self.attributes, self.config.disk_device_tag_key.as_str());
        let has_volumes = !additions.volumes.is_empty() && !device_key.is_empty();
        batch.rewrite(&mut |level: Level, place: &mut Place<'_>| {
            if level != Level::Item {
                return Verdict::Descend;
            }
            if place.attributes(field).get(HOST).is_some() {
                place.retain_attributes(field, |pair| pair.key != HOST);
            }
            if has_volumes {
                let device = place.attributes(field).get(device_key);
                let volume = device
                    .as_ref()
                    .and_then(AnyValueView::as_str)
                    .and_then(|device| additions.volumes.get(device));
                if let Some(volume) = volume
                    && place.attributes(field).get(VOLUME).is_none()
                {
                    place.set_attribute(field, VOLUME, volume);
                }
            }
            place.add_attributes(field, &additions.attributes);
            Verdict::Keep
        })
    }
}

#[async_trait]
impl Component for TaggerProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get_or_insert_with(|| {
            Running::of(&self.id, &self.config, || {
                let known = Arc::<Known>::default();
                let tagger = Tagger::new(
                    self.id.clone(),
                    self.config.clone(),
                    self.source.clone(),
                    Arc::clone(&known),
                );
                Running::start(&self.id, tagger, known, *self.config.wait_for_tags, host)
            })
        });
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last pipeline ends what all share.
        if let Some(running) = running.and_then(Arc::into_inner) {
            let stopped = timeout_at(deadline, running.stop()).await;
            stopped.map_err(|_| "the tagger does not end in time")?;
        }
        Ok(())
    }
}

/// Waits for what is to be added, as long as there is hope that it comes soon.
async fn progress(running: &Running) -> Progress {
    let progress = *running.known.progress.borrow();
    if progress != Progress::Asking {
        return progress;
    }
    let mut changes = running.known.progress.subscribe();
    let settled = changes.wait_for(|progress| *progress != Progress::Asking);
    timeout_at(running.patience, settled).await.ok().and_then(Result::ok).map_or(progress, |now| *now)
}

#[async_trait]
impl Consumer for TaggerProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let Some(running) = self.running() else {
            self.untagged.add(items as u64, &self.labels);
            self.items.outgoing(items);
            return self.next.consume(batch).await;
        };
        if progress(&running).await != Progress::Complete {
            self.untagged.add(items as u64, &self.labels);
        }
        let additions = running.known.additions.load_full();
        let batch = self.tag(batch, &additions);
        self.items.outgoing(batch.items());
        self.next.consume(batch).await
    }
}
