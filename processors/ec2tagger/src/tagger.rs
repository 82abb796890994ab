//! Finds out, in the background, what is to be added, and keeps it up to date.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws::imds::InstanceIdentity;
use component::causes;
use node::{EbsDisks, KernelNames};
use pdata::Attributes;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Config;
use crate::config::{GROUP_DIMENSION, GROUP_TAG, Wanted};
use crate::source::{Error, Source};
use crate::volumes::Volumes;

const MINUTE: Duration = Duration::from_secs(60);
/// The waits between the first attempts to ask EC2, in minutes; the last one is repeated.
const WAITS: [u32; 6] = [1, 1, 3, 3, 3, 10];
/// The same where EC2 is asked too often.
const WAITS_THROTTLED: [u32; 2] = [1, 3];
/// The first wait before instance metadata are asked again, and the longest.
const FIRST_METADATA_WAIT: Duration = Duration::from_secs(1);
const LONGEST_METADATA_WAIT: Duration = MINUTE;
/// How often EC2 is asked for what is missing, where nothing is refreshed.
const RETRY: Duration = Duration::from_secs(180);

/// What is added.
#[derive(Debug, Default)]
pub(crate) struct Additions {
    /// To every data point.
    pub(crate) attributes: Attributes,
    /// To data points of a device.
    pub(crate) volumes: Volumes,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// It is still being asked for.
    Asking,
    /// It failed, and is asked for again later.
    Failed,
    /// Everything was there once.
    Complete,
}

/// What is known, for those who add it.
pub(crate) struct Known {
    pub(crate) additions: ArcSwap<Additions>,
    pub(crate) progress: watch::Sender<Progress>,
}

/// Who asks.
pub(crate) struct Tagger {
    id: String,
    config: Arc<Config>,
    tags: Wanted,
    devices: Wanted,
    source: Arc<dyn Source>,
    known: Arc<Known>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    identity: InstanceIdentity,
    tags: BTreeMap<String, String>,
    volumes: Volumes,
    /// How far tags and volumes are.
    progress: [Option<Progress>; 2],
}

/// What EC2 is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Tags,
    Volumes,
}

impl Default for Known {
    fn default() -> Self {
        Self { additions: ArcSwap::default(), progress: watch::Sender::new(Progress::Asking) }
    }
}

impl Tagger {
    pub(crate) fn new(id: String, config: Arc<Config>, source: Arc<dyn Source>, known: Arc<Known>) -> Self {
        let (tags, devices) = (config.tags(), config.devices());
        Self { id, tags, devices, config, source, known, parts: Mutex::default() }
    }

    pub(crate) async fn run(self) {
        for name in &self.config.ec2_metadata_tags {
            if !matches!(name.as_str(), "InstanceId" | "ImageId" | "InstanceType") {
                tracing::error!(component = self.id, mdKey = name, "ec2tagger: Unsupported EC2 Metadata key");
            }
        }
        tracing::info!(component = self.id, "ec2tagger: EC2 tagger has started initialization");
        let identity = self.identity().await;
        self.change(|parts| parts.identity = identity.clone());
        let (tags_interval, volumes_interval) = self.config.intervals();
        tokio::join!(
            self.keep(Part::Tags, &identity, tags_interval),
            self.keep(Part::Volumes, &identity, volumes_interval),
        );
    }

    /// Asks the instance's metadata until they answer.
    async fn identity(&self) -> InstanceIdentity {
        tracing::info!(component = self.id, "ec2tagger: Check EC2 Metadata");
        let mut wait = FIRST_METADATA_WAIT;
        let mut told = false;
        loop {
            match self.source.identity().await {
                Ok(identity) => return identity,
                Err(error) if std::mem::replace(&mut told, true) => {
                    tracing::debug!(
                        component = self.id,
                        error = causes(&error),
                        "ec2tagger: still no metadata"
                    );
                }
                Err(error) => tracing::error!(
                    component = self.id,
                    error = causes(&error),
                    "ec2tagger: Unable to retrieve EC2 Metadata; data go on without what they would tell"
                ),
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_METADATA_WAIT);
        }
    }

    /// Asks EC2 for tags or volumes until it answers, and then again from time to time if there is a reason to.
    async fn keep(&self, part: Part, identity: &InstanceIdentity, interval: Duration) {
        let mut complete = match part {
            Part::Tags if self.tags == Wanted::None => true,
            Part::Volumes if self.devices == Wanted::None => true,
            _ => self.first(part, identity).await,
        };
        self.progress(part, Progress::Complete);
        if (complete && interval.is_zero()) || self.is_unwanted(part) {
            return;
        }
        let period = if interval.is_zero() { RETRY } else { interval };
        sleep(spread(&identity.instance_id, period)).await;
        while !interval.is_zero() || !complete {
            match self.fetch(part, identity).await {
                Ok(all) => complete = all,
                Err(error) => {
                    let (component, error) = (&self.id, causes(&error));
                    tracing::warn!(
                        component,
                        ?part,
                        error,
                        "ec2tagger: Error refreshing, keeping old values"
                    );
                }
            }
            if !interval.is_zero() || !complete {
                sleep(period).await;
            }
        }
        tracing::info!(component = self.id, ?part, "ec2tagger: Refresh is no longer needed");
    }

    fn is_unwanted(&self, part: Part) -> bool {
        let wanted = if part == Part::Tags { &self.tags } else { &self.devices };
        *wanted == Wanted::None
    }

    async fn first(&self, part: Part, identity: &InstanceIdentity) -> bool {
        let mut attempt = 0;
        loop {
            match self.fetch(part, identity).await {
                Ok(complete) => return complete,
                Err(error) => {
                    let waits: &[u32] = if error.is_throttling() { &WAITS_THROTTLED } else { &WAITS };
                    let minutes = waits.get(attempt).or(waits.last()).copied().unwrap_or(1);
                    tracing::warn!(
                        component = self.id,
                        ?part,
                        error = causes(&error),
                        minutes,
                        "ec2tagger: Unable to retrieve it; data go on without, and it is asked for again"
                    );
                    self.progress(part, Progress::Failed);
                    sleep(MINUTE * minutes).await;
                    attempt += 1;
                }
            }
        }
    }

    /// Asks once; whether all that is named is there.
    async fn fetch(&self, part: Part, identity: &InstanceIdentity) -> Result<bool, Error> {
        match part {
            Part::Tags => {
                let tags = self.source.tags(identity).await?;
                let tags: BTreeMap<String, String> = tags
                    .into_iter()
                    .filter(|tag| self.tags.contains(&tag.key))
                    .map(|tag| (tag.key, tag.value))
                    .collect();
                let complete = self.tags.are_all(|key| tags.contains_key(key));
                self.change(|parts| parts.tags = tags);
                Ok(complete)
            }
            Part::Volumes => {
                let paths = self.source.paths();
                let disks = EbsDisks::read(&paths.sys);
                // Of disks that cannot be listed nobody but EC2 knows.
                let has_others = disks.as_ref().is_none_or(|disks| disks.has_unnamed);
                let mut volumes = Volumes::default();
                volumes.add_named(disks.unwrap_or_default().volumes, &self.devices);
                if has_others {
                    match self.source.volumes(identity).await {
                        Ok(others) => {
                            volumes.add_attached(others, &KernelNames::read(paths), &self.devices);
                        }
                        Err(error) if volumes.is_empty() => return Err(error),
                        Err(error) => {
                            let (component, error) = (&self.id, causes(&error));
                            tracing::warn!(component, error, "ec2tagger: only volumes that the kernel knows");
                        }
                    }
                }
                let complete = self.devices.are_all(|device| volumes.get(device).is_some());
                self.change(|parts| parts.volumes = volumes);
                Ok(complete)
            }
        }
    }

    /// Changes what is known, and with it what is added.
    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let name = |key: &str| if key == GROUP_TAG { GROUP_DIMENSION } else { key }.to_owned();
        let tags = parts.tags.iter().map(|(key, value)| (name(key), value.as_str()));
        let identity = &parts.identity;
        let metadata = self.config.ec2_metadata_tags.iter().filter_map(|name| {
            let value = match name.as_str() {
                "InstanceId" => identity.instance_id.as_str(),
                "ImageId" => &identity.image_id,
                "InstanceType" => &identity.instance_type,
                _ => "",
            };
            (!value.is_empty()).then(|| (name.clone(), value))
        });
        let attributes = Attributes::new(tags.chain(metadata));
        self.known.additions.store(Arc::new(Additions { attributes, volumes: parts.volumes.clone() }));
    }

    /// Notes how far tags or volumes are, and tells once that both are there.
    fn progress(&self, part: Part, progress: Progress) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = parts.progress.get_mut(part as usize) {
            *slot = Some(progress);
        }
        let whole = parts.progress.iter().map(|progress| progress.unwrap_or(Progress::Asking)).min();
        let before = self.known.progress.send_replace(whole.unwrap_or(Progress::Asking));
        if whole == Some(Progress::Complete) && before != Progress::Complete {
            tracing::info!(
                component = self.id,
                "ec2tagger: EC2 tagger has started, finished initial retrieval of tags and Volumes"
            );
        }
    }
}

/// A part of the period, the same for every start of an instance: a fleet that is started at once does not ask at once.
fn spread(instance_id: &str, period: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    instance_id.hash(&mut hasher);
    period.mul_f64((hasher.finish() >> 11) as f64 / (1u64 << 53) as f64)
}
