//! What is added of a pod, worked out when the pod changes.

use std::sync::Arc;

use k8s::Name;
use k8s::row::{
    Container, ContainerId, ContainerKind, ContainerSpec, Job, Owner, Pod, ReplicaSet, Time, Uid,
};
use pdata::{Attributes, Value};

use crate::compile::{
    Compiled, HASH_LABEL, IGNORE_ANNOTATION, IMAGES, SERVICE_NAME_LABELS, SERVICE_VERSION_LABEL,
};
use crate::field::Field;
use crate::image::{Image, repo_digest};
use crate::owner;
use crate::rule::{Source, Subject};

/// The tag of images that name none.
const DEFAULT_TAG: &str = "latest";

/// A pod as resources are told of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) uid: Uid,
    pub(crate) created: Option<Time>,
    pub(crate) started: Option<Time>,
    pub(crate) ended: bool,
    /// Whether nothing is to be added.
    pub(crate) ignored: bool,
    pub(crate) namespace: Name,
    pub(crate) node: Option<Name>,
    pub(crate) attributes: Attributes,
    pub(crate) containers: Box<[ContainerEntry]>,
    /// The uids of the workloads it belongs to, of those kinds that attributes are taken from.
    pub(crate) workloads: [Option<Name>; 4],
}

/// A container of a pod.
#[derive(Debug)]
pub(crate) struct ContainerEntry {
    pub(crate) name: Name,
    /// Empty while it has none.
    pub(crate) id: ContainerId,
    pub(crate) attributes: Attributes,
    /// Added only where there is no attribute of the name at all.
    pub(crate) tags: Option<Value>,
    pub(crate) runs: Box<[Run]>,
}

/// A run of a container: the current one, and the one before it where it is known.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) restarts: u32,
    pub(crate) id: Option<Box<str>>,
    pub(crate) digests: Option<Value>,
}

/// What other objects tell of a pod.
pub(crate) trait Joins {
    /// A ReplicaSet, if it is known.
    fn replica_set(&self, uid: &Uid) -> Option<Arc<ReplicaSet>>;
    /// A Job, if it is known.
    fn job(&self, uid: &Uid) -> Option<Arc<Job>>;
    /// The uid of the cluster, if it is known.
    fn cluster(&self) -> Option<Uid>;
}

/// Attributes in the making: what is set later replaces what was set before.
#[derive(Debug, Default)]
struct List(Vec<(String, Value)>);

impl List {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl ContainerEntry {
    /// The run that a resource is about: the one with so many restarts, else the last.
    pub(crate) fn run(&self, restarts: Option<u32>) -> Option<&Run> {
        match restarts {
            Some(restarts) => self.runs.iter().find(|run| run.restarts == restarts),
            None => self.runs.iter().max_by_key(|run| run.restarts),
        }
    }
}

/// Works out what is added of `pod`.
pub(crate) fn build(compiled: &Compiled, pod: &Pod, joins: &impl Joins) -> Entry {
    let ignored = is_ignored(compiled, pod);
    let mut builder = Builder { compiled, pod, joins, list: List::default(), workloads: [const { None }; 4] };
    let (attributes, containers) = if ignored {
        (Attributes::default(), Box::default())
    } else {
        builder.pod();
        builder.owners();
        builder.rules();
        let containers = builder.containers();
        (Attributes::new(std::mem::take(&mut builder.list).0), containers)
    };
    Entry {
        uid: pod.meta.uid.clone(),
        created: pod.meta.created,
        started: pod.started,
        ended: pod.has_ended(),
        ignored,
        namespace: Arc::clone(&pod.meta.namespace),
        node: pod.node.clone(),
        attributes,
        containers,
        workloads: builder.workloads,
    }
}

fn is_ignored(compiled: &Compiled, pod: &Pod) -> bool {
    let annotation = pod.meta.annotation(IGNORE_ANNOTATION);
    annotation.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
        || compiled.excluded.iter().any(|regex| regex.is_match(&pod.meta.name))
}

struct Builder<'a, J> {
    compiled: &'a Compiled,
    pod: &'a Pod,
    joins: &'a J,
    list: List,
    workloads: [Option<Name>; 4],
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
        self.set(Field::PodName, &pod.meta.name);
        self.set_uid(Field::PodUid, &pod.meta.uid);
        self.set_even_empty(Field::PodHostname, pod.hostname.as_deref().unwrap_or_default());
        if self.compiled.fields.has(Field::PodIp) {
            let ip = pod.ip().map(|ip| ip.to_string());
            self.set_even_empty(Field::PodIp, &ip.unwrap_or_default());
        }
        if let Some(created) = pod.meta.created.filter(|_| self.compiled.fields.has(Field::StartTime))
            && let Ok(time) = jiff::Timestamp::from_second(created.seconds())
        {
            self.set(Field::StartTime, &time.to_string());
        }
        self.set_even_empty(Field::NodeName, pod.node.as_deref().unwrap_or_default());
        if self.compiled.fields.has(Field::ClusterUid)
            && let Some(uid) = self.joins.cluster()
        {
            self.set_uid(Field::ClusterUid, &uid);
        }
        self.set(Field::ServiceName, &pod.meta.name);
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
        if let Some(set) = self.joins.replica_set(&owner.uid) {
            if let Some(deployment) = set.meta.controller("Deployment") {
                self.set(Field::DeploymentName, &deployment.name);
                self.set(Field::ServiceName, &deployment.name);
                self.set_uid(Field::DeploymentUid, &deployment.uid);
                self.workload(0, Subject::Deployment, &deployment.uid);
            }
        } else if self.compiled.heuristic {
            let hash = self.pod.meta.label(HASH_LABEL).map_or("", |hash| &**hash);
            let name = owner::deployment(&owner.name, hash).unwrap_or_default();
            self.set(Field::DeploymentName, name);
            self.set(Field::ServiceName, name);
        }
    }

    fn cron_job(&mut self, owner: &Owner) {
        if let Some(job) = self.joins.job(&owner.uid) {
            if let Some(cron_job) = job.meta.controller("CronJob") {
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
    fn containers(&self) -> Box<[ContainerEntry]> {
        if !self.compiled.uses_containers() {
            return Box::default();
        }
        let (specs, states) = (&self.pod.specs, &self.pod.containers);
        let by_images = self.compiled.fields.any(&IMAGES);
        let specified = specs.iter().filter(|spec| by_images && spec.kind != ContainerKind::Ephemeral);
        let mut entries: Vec<ContainerEntry> = specified
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
    ) -> ContainerEntry {
        let fields = self.compiled.fields;
        let image = spec.and_then(|spec| Image::parse(&spec.image));
        let tag = image.map(|image| image.tag.unwrap_or(DEFAULT_TAG));
        let mut list = List::default();
        let mut set = |field: Field, value: Option<&str>| {
            if let Some(value) = value.filter(|value| fields.has(field) && !value.is_empty()) {
                list.set(field.name(), value);
            }
        };
        set(Field::ContainerName, state.map(|state| &*state.name));
        set(Field::ImageName, image.map(|image| image.name));
        set(Field::ImageTag, tag);
        if state.is_some() && fields.has(Field::ServiceInstanceId) {
            let meta = &self.pod.meta;
            set(Field::ServiceInstanceId, Some(&format!("{}.{}.{name}", meta.namespace, meta.name)));
        }
        set(Field::ServiceVersion, image.and_then(|image| image.version()).as_deref());
        let one = |text: &str| Value::Array(vec![text.into()]);
        ContainerEntry {
            name: Arc::clone(name),
            id: state.map_or_else(|| ContainerId::new(""), |state| state.id.clone()),
            attributes: Attributes::new(list.0),
            tags: tag.filter(|_| fields.has(Field::ImageTags)).map(one),
            runs: state.map(|state| self.runs(state)).unwrap_or_default(),
        }
    }

    fn runs(&self, state: &Container) -> Box<[Run]> {
        let fields = self.compiled.fields;
        if !fields.any(&[Field::ContainerId, Field::RepoDigests]) {
            return Box::default();
        }
        let id = |id: String| {
            Some(id.into_boxed_str()).filter(|id| fields.has(Field::ContainerId) && !id.is_empty())
        };
        let image_id = state.image_id.as_deref().filter(|_| fields.has(Field::RepoDigests));
        let digests = image_id.and_then(repo_digest).map(|digest| Value::Array(vec![digest.into()]));
        let now = Run { restarts: state.restarts, id: id(state.id.to_string()), digests };
        let last = state.detail.as_ref().and_then(|detail| detail.last_id.as_ref());
        let before = last.zip(state.restarts.checked_sub(1)).map(|(last, restarts)| Run {
            restarts,
            id: id(last.to_string()),
            digests: None,
        });
        std::iter::once(now).chain(before).collect()
    }
}
