//! Puts what was detected into resources.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Host, Settings};
use opentelemetry::metrics::Meter;
use pdata::rewrite::{Field, Level, Part, Place, Verdict};
use pdata::{AnyValueView, Batch, ResourceEditor, Value};
use tokio::time::Instant;

use crate::Config;
use crate::engine::{Detected, Detection, Plan};
use crate::shared;
use crate::sources::{Machine, Sources};

/// What says whose resource it is: who replaces one of them may speak of himself instead of another.
const IDENTIFYING: [&str; 2] = ["host.id", "host.name"];

/// The processor.
pub(crate) struct DetectionProcessor {
    id: String,
    config: Arc<Config>,
    meter: Meter,
    items: ProcessorMetrics,
    /// Where the URL of the conventions stands.
    schema_url: Option<Field>,
    /// From start to shutdown.
    detection: RwLock<Option<Arc<Detection>>>,
    /// Whether it was told that somebody else's resources are changed.
    warned: AtomicBool,
    next: Arc<dyn Consumer>,
}

impl DetectionProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: Arc<Config>,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let signal = settings.signal();
        Ok(Self {
            items: ProcessorMetrics::new(&settings, signal),
            id: settings.id.to_string(),
            config,
            meter: settings.meter,
            schema_url: Field::of(signal, Part::ResourceEntry, "schema_url"),
            detection: RwLock::default(),
            warned: AtomicBool::new(false),
            next,
        })
    }

    fn detection(&self) -> Option<Arc<Detection>> {
        self.detection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_detection(&self, detection: Option<Arc<Detection>>) -> Option<Arc<Detection>> {
        std::mem::replace(&mut *self.detection.write().unwrap_or_else(PoisonError::into_inner), detection)
    }

    fn begin(&self, host: &Host) -> Arc<Detection> {
        let config = &self.config.detection;
        shared::detection(&self.id, format!("{:?}", self.config), || {
            if config.middleware.is_some() {
                tracing::warn!(
                    component = self.id,
                    "middleware has no effect: AWS requests pass through no extension"
                );
            }
            let sources: Arc<dyn Sources> = Arc::new(Machine::new(&self.config));
            let detectors =
                config.kinds().into_iter().map(|kind| (kind.name(), kind.detector(config, &sources)));
            let plan = Plan {
                component: self.id.clone(),
                timeout: *config.timeout,
                refresh_interval: *config.refresh_interval,
            };
            Detection::start(detectors.collect(), &plan, host, &self.meter)
        })
    }

    /// The batch with what was detected.
    pub(crate) fn apply(&self, batch: Batch, detected: &Detected) -> Batch {
        let mut batch = batch;
        if !detected.schema_url.is_empty()
            && let Some(field) = self.schema_url
        {
            let url = Value::String(detected.schema_url.to_owned());
            batch = batch.rewrite(&mut |_: Level, place: &mut Place<'_>| {
                if place.get(field).as_str().is_none_or(str::is_empty) {
                    place.set(field, &url);
                }
                Verdict::Keep
            });
        }
        if detected.attributes.is_empty() {
            return batch;
        }
        if self.config.detection.replace {
            batch.edit_resources(|editor| self.replace(editor, detected))
        } else {
            batch.edit_resources(|editor| add(editor, detected))
        }
    }

    fn replace(&self, editor: &mut ResourceEditor<'_>, detected: &Detected) {
        if !self.warned.load(Ordering::Relaxed) {
            self.warn_of_others(editor, detected);
        }
        editor.retain(|pair| detected.attributes.get(pair.key).is_none());
        add(editor, detected);
    }

    /// Tells once that resources of other hosts get what was detected of this one, as in a gateway.
    fn warn_of_others(&self, editor: &ResourceEditor<'_>, detected: &Detected) {
        let text =
            |value: Option<AnyValueView<'_>>| value.and_then(|value| value.as_str().map(str::to_owned));
        for key in IDENTIFYING {
            let (theirs, ours) = (text(editor.get(key)), text(detected.attributes.get(key)));
            if let (Some(theirs), Some(ours)) = (theirs, ours)
                && !theirs.is_empty()
                && theirs != ours
                && !self.warned.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    component = self.id,
                    attribute = key,
                    came = theirs,
                    detected = ours,
                    "resources that say which host they are of get this host's attributes instead; for data of other \
                     hosts set `override: false`"
                );
            }
        }
    }
}

/// Adds what is missing.
fn add(editor: &mut ResourceEditor<'_>, detected: &Detected) {
    for pair in detected.attributes.iter() {
        editor.insert(pair.key, pair.value);
    }
}

#[async_trait]
impl Component for DetectionProcessor {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if self.detection().is_some() {
            return Ok(());
        }
        let detection = self.begin(host);
        self.set_detection(Some(Arc::clone(&detection)));
        detection.settled().await;
        let failures = detection.failures();
        if self.config.detection.fail_on_error && !failures.is_empty() {
            return Err(format!("failed to detect resource attributes: {}", failures.join("; ")).into());
        }
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        // The last pipeline ends what all share.
        if let Some(detection) = self.set_detection(None).and_then(Arc::into_inner) {
            let stopped = tokio::time::timeout_at(deadline, detection.stop()).await;
            stopped.map_err(|_| "the detectors do not end in time")?;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for DetectionProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let batch = match self.detection() {
            Some(detection) => self.apply(batch, &detection.detected()),
            None => batch,
        };
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
