//! What the pods of a workload have in common, worked out when one of them changes, and stored once.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use k8s::Name;
use k8s::row::{Container, ContainerKind, ContainerSpec, Owner, Pod, Uid};
use pdata::{Attributes, KeyValueView};

use crate::compile::{
    Compiled, HASH_LABEL, IGNORE_ANNOTATION, IMAGES, SERVICE_NAME_LABELS, SERVICE_VERSION_LABEL,
};
use crate::entry::{Common, CommonContainer, OWN, Workloads};
use crate::field::{Field, Fields};
use crate::image::{Image, repo_digest};
use crate::owner;
use crate::rule::{Source, Subject};

/// The tag of images that name none.
const DEFAULT_TAG: &str = "latest";

/// What of containers is written when it is added.
const OF_CONTAINERS: [Field; 2] = [Field::ContainerId, Field::ServiceInstanceId];

/// The pool is not swept before it took in this many since the last time.
const FEWEST_BETWEEN_SWEEPS: usize = 256;

/// All [`Common`]s that are used, each once.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    all: HashTable<Arc<Common>>,
    hasher: RandomState,
    /// Those that came, and that may have lost a user, since the last sweep.
    changes: usize,
}

/// What other objects tell of a pod.
pub(crate) trait Joins {
    /// The Deployment of a ReplicaSet, if it has one, if the ReplicaSet is known.
    fn deployment(&self, replica_set: &Uid) -> Option<Option<Owner>>;
    /// The CronJob of a Job, if it has one, if the Job is known.
    fn cron_job(&self, job: &Uid) -> Option<Option<Owner>>;
    /// The uid of the cluster, if it is known.
    fn cluster(&self) -> Option<Uid>;
}

/// Attributes in the making: what is set later replaces what was set before.
#[derive(Debug, Default)]
struct List(Vec<(String, String)>);

impl List {
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

impl Pool {
    /// The one that is equal to `common`.
    pub(crate) fn share(&mut self, common: Common) -> Arc<Common> {
        let hash = self.hasher.hash_one(&common);
        let Self { all, hasher, .. } = self;
        let found = all.entry(hash, |known| **known == common, |known| hasher.hash_one(&**known));
        let shared = match found {
            Place::Occupied(known) => return Arc::clone(known.get()),
            Place::Vacant(place) => Arc::clone(place.insert(Arc::new(common)).get()),
        };
        self.changed();
        shared
    }

    /// Something may have lost its last user.
    pub(crate) fn changed(&mut self) {
        self.changes += 1;
        if self.changes >= FEWEST_BETWEEN_SWEEPS.max(self.all.len() / 2) {
            self.changes = 0;
            self.all.retain(|known| Arc::strong_count(known) > 1);
            if self.all.len() < self.all.capacity() / 4 {
                let Self { all, hasher, .. } = self;
                all.shrink_to_fit(|known| hasher.hash_one(&**known));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Works out what is added of `pod` besides what is its own; nothing of a pod that is ignored.
pub(crate) fn build(compiled: &Compiled, pod: &Pod, joins: &impl Joins) -> Common {
    let mut builder = Builder { compiled, pod, joins, list: List::default(), workloads: Default::default() };
    builder.pod();
    builder.owners();
    builder.rules();
    let mut own = Fields::default();
    for field in OWN.into_iter().filter(|field| compiled.fields.has(*field)) {
        // Rules may give attributes the names of these.
        if !builder.list.has(field.name()) {
            own.insert(field);
        }
    }
    let containers = builder.containers();
    let workloads = Some(builder.workloads).filter(|uids| uids.iter().any(Option::is_some)).map(Box::new);
    // Rules may give attributes of pods the names of those of containers, and both may have a version.
    let is_told = |pair: KeyValueView<'_>| builder.list.has(pair.key);
    let apart = !containers.iter().any(|container| container.attributes.iter().any(is_told))
        && !OF_CONTAINERS.iter().any(|field| builder.list.has(field.name()));
    Common { attributes: Attributes::new(builder.list.0), own, apart, containers, workloads }
}

/// Whether nothing is to be added of a pod.
pub(crate) fn is_ignored(compiled: &Compiled, pod: &Pod) -> bool {
    let annotation = pod.meta.annotation(IGNORE_ANNOTATION);
    annotation.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        || compiled.excluded.iter().any(|regex| regex.is_match(&pod.meta.name))
}

struct Builder<'a, J> {
    compiled: &'a Compiled,
    pod: &'a Pod,
    joins: &'a J,
    list: List,
    workloads: Workloads,
}

impl<J: Joins> Builder<'_, J> {
    /// Sets an attribute if it is asked for and has a value.
    fn set(&mut self, field: Field, value: &str) {
        if !value.is_empty() {
            self.set_even_empty(field, value);
        }
    }

    fn set_even_empty(&mut self, field: Field, value: &str) {
        if self.compiled.fields.has(field) {
            self.list.set(field.name(), value);
        }
    }

    fn set_uid(&mut self, field: Field, uid: &Uid) {
        if self.compiled.fields.has(field) {
            self.set(field, &uid.to_string());
        }
    }

    fn pod(&mut self) {
        let pod = self.pod;
        self.set(Field::NamespaceName, &pod.meta.namespace);
        if self.compiled.fields.has(Field::ClusterUid)
            && let Some(uid) = self.joins.cluster()
        {
            self.set_uid(Field::ClusterUid, &uid);
        }
        self.set(Field::ServiceNamespace, &pod.meta.namespace);
    }

    fn owners(&mut self) {
        let owners = Arc::clone(&self.pod.meta.owners);
        for owner in owners.iter() {
            match &*owner.kind {
                "ReplicaSet" => {
                    self.owner(owner, Field::ReplicaSetName, Field::ReplicaSetUid);
                    self.deployment(owner);
                }
                "StatefulSet" => {
                    self.owner(owner, Field::StatefulSetName, Field::StatefulSetUid);
                    self.workload(1, Subject::StatefulSet, &owner.uid);
                }
                "DaemonSet" => {
                    self.owner(owner, Field::DaemonSetName, Field::DaemonSetUid);
                    self.workload(2, Subject::DaemonSet, &owner.uid);
                }
                "Job" => {
                    self.owner(owner, Field::JobName, Field::JobUid);
                    self.workload(3, Subject::Job, &owner.uid);
                    self.cron_job(owner);
                }
                _ => {}
            }
        }
    }

    fn owner(&mut self, owner: &Owner, name: Field, uid: Field) {
        self.set(name, &owner.name);
        self.set_uid(uid, &owner.uid);
        self.set(Field::ServiceName, &owner.name);
    }

    fn workload(&mut self, index: usize, subject: Subject, uid: &Uid) {
        if self.compiled.has_rules(subject)
            && let Some(slot) = self.workloads.get_mut(index)
        {
            *slot = Some(uid.to_string().into());
        }
    }

    fn deployment(&mut self, owner: &Owner) {
        if let Some(deployment) = self.joins.deployment(&owner.uid) {
            if let Some(deployment) = deployment {
                self.set(Field::DeploymentName, &deployment.name);
                self.set(Field::ServiceName, &deployment.name);
                self.set_uid(Field::DeploymentUid, &deployment.uid);
                self.workload(0, Subject::Deployment, &deployment.uid);
            }
        } else {
            let hash = self.pod.meta.label(HASH_LABEL).map_or("", |hash| &**hash);
            let name = owner::deployment(&owner.name, hash).unwrap_or_default();
            self.set(Field::DeploymentName, name);
            self.set(Field::ServiceName, name);
        }
    }

    fn cron_job(&mut self, owner: &Owner) {
        if let Some(cron_job) = self.joins.cron_job(&owner.uid) {
            if let Some(cron_job) = cron_job {
                self.set(Field::CronJobName, &cron_job.name);
                self.set(Field::ServiceName, &cron_job.name);
                self.set_uid(Field::CronJobUid, &cron_job.uid);
            }
        } else {
            let name = owner::cron_job(&owner.name, self.pod.meta.created).unwrap_or_default();
            self.set(Field::CronJobName, name);
            self.set(Field::ServiceName, name);
        }
    }

    /// Labels by rules, the labels that services are named by, annotations by rules; the later wins.
    fn rules(&mut self) {
        let meta = &self.pod.meta;
        self.rules_on(Source::Labels);
        for label in SERVICE_NAME_LABELS {
            if let Some(name) = meta.label(label) {
                self.set_even_empty(Field::ServiceName, name);
            }
        }
        if let Some(version) = meta.label(SERVICE_VERSION_LABEL) {
            self.set_even_empty(Field::ServiceVersion, version);
        }
        self.rules_on(Source::Annotations);
    }

    fn rules_on(&mut self, source: Source) {
        let meta = &self.pod.meta;
        let pairs = if source == Source::Labels { &meta.labels } else { &meta.annotations };
        for rule in self.compiled.rules(Subject::Pod).filter(|rule| rule.source == source) {
            rule.apply(pairs, |name, value| self.list.set(name, value));
        }
    }

    /// Init containers and containers, whether a specification or a state tells of them.
    fn containers(&self) -> Box<[CommonContainer]> {
        if !self.compiled.uses_containers() {
            return Box::default();
        }
        let (specs, states) = (&self.pod.specs, &self.pod.containers);
        let by_images = self.compiled.fields.any(&IMAGES);
        let specified = specs.iter().filter(|spec| by_images && spec.kind != ContainerKind::Ephemeral);
        let mut entries: Vec<CommonContainer> = specified
            .map(|spec| {
                let state = states.iter().find(|state| state.name == spec.name);
                self.container(&spec.name, Some(spec), state)
            })
            .collect();
        for state in states.iter().filter(|state| state.kind != ContainerKind::Ephemeral) {
            if entries.iter().all(|entry| entry.name != state.name) {
                entries.push(self.container(&state.name, None, Some(state)));
            }
        }
        entries.into()
    }

    fn container(
        &self,
        name: &Name,
        spec: Option<&ContainerSpec>,
        state: Option<&Container>,
    ) -> CommonContainer {
        let fields = self.compiled.fields;
        let image = spec.and_then(|spec| Image::parse(&spec.image));
        let tag = image.map(|image| image.tag.unwrap_or(DEFAULT_TAG));
        let mut list = List::default();
        let mut set = |field: Field, value: Option<&str>| {
            if let Some(value) = value.filter(|value| fields.has(field) && !value.is_empty()) {
                list.set(field.name(), value);
            }
        };
        let is_stated = state.is_some_and(|state| state.kind != ContainerKind::Ephemeral);
        set(Field::ContainerName, Some(&**name).filter(|_| is_stated));
        set(Field::ImageName, image.map(|image| image.name));
        set(Field::ImageTag, tag);
        set(Field::ServiceVersion, image.and_then(|image| image.version()).as_deref());
        let image_id = state.and_then(|state| state.image_id.as_deref());
        let digest = image_id.filter(|_| fields.has(Field::RepoDigests)).and_then(repo_digest);
        CommonContainer {
            name: Arc::clone(name),
            attributes: Attributes::new(list.0),
            tag: tag.filter(|_| fields.has(Field::ImageTags)).map(Box::from),
            digest: digest.map(String::into_boxed_str),
        }
    }
}
