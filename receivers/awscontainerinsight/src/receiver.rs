//! Start and shutdown.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::{BoxError, Component, Consumer, Host, Notice, Settings, async_trait, causes};
use helper::scraper::{Schedule, run};
use k8s::{Election, ElectionConfig, Lock, Naming, Watches};
use node::{HostPaths, Version};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::cluster::{Cluster, Wanted};
use crate::collector::{Collector, Ecs, Output};
use crate::control_plane::ControlPlane;
use crate::ec2::{Aws, Facts, Questions, Watching};
use crate::ecs::EcsSource;
use crate::health::Health;
use crate::host::HostSource;
use crate::identity::Identity;
use crate::instance::{Described, Instance, InstanceMetadata, InstanceSource, LookUp, NodeObject, look_up};
use crate::leader::{Lead, stand};
use crate::pods::{Options, PodList, PodSource, PodsSource};
use crate::record::Records;
use crate::surroundings::{Orchestrator, Surroundings};
use crate::{CollectionRole, Config};

/// The receiver.
pub(crate) struct Receiver {
    settings: Settings,
    config: Arc<Config>,
    output: Arc<dyn Consumer>,
    machine: Machine,
    stop: CancellationToken,
    /// Locked during a collection, so that shutting down can wait for the end of one.
    collecting: Arc<tokio::sync::Mutex<()>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Where this machine's figures and names come from.
pub(crate) struct Machine {
    pub(crate) surroundings: Surroundings,
    pub(crate) paths: HostPaths,
    /// Who may know which EC2 instance it is; taken at the start.
    pub(crate) instance_sources: Mutex<Vec<Box<dyn InstanceSource>>>,
    /// Who is asked about the instance once it is known; nobody if the user does without AWS, or nobody wants to know.
    pub(crate) questions: Option<Arc<dyn Questions>>,
    /// Who knows the pods, with Kubernetes; taken at the start.
    pub(crate) pods: Mutex<Option<Box<dyn PodSource>>>,
}

/// What is found out in the background.
struct Known {
    instance: watch::Receiver<Instance>,
    facts: watch::Receiver<Facts>,
    /// Cancelled when it was tried to find out which instance this is.
    asked: CancellationToken,
}

impl Machine {
    /// The machine that the collector runs on.
    pub(crate) fn discover(config: &Config) -> Self {
        let paths = if config.keys.run_on_systemd {
            // A place without files: there is no `/rootfs` to be found.
            HostPaths::discover_with(Path::new("/dev/null"), |name| std::env::var_os(name))
        } else {
            HostPaths::discover()
        };
        let surroundings = Surroundings::discover(config);
        let questions = questions(&surroundings, config);
        let instance_sources = Mutex::new(instance_sources(&surroundings, config, questions.as_ref()));
        let kubelet = Api::discover(config).kubelet(&surroundings);
        let pods = kubelet.map(|kubelet| Box::new(kubelet) as Box<dyn PodSource>);
        Self { surroundings, paths, instance_sources, questions, pods: Mutex::new(pods) }
    }
}

/// EC2, unless the user does without. Without an orchestrator records have nothing of it.
fn questions(surroundings: &Surroundings, config: &Config) -> Option<Arc<dyn Questions>> {
    let wanted = surroundings.orchestrator != Orchestrator::None && !config.session.local_mode;
    wanted.then(|| Arc::new(Aws::new(config.session.clone())) as Arc<dyn Questions>)
}

/// The Node object where there is one, and instance metadata and EC2 unless the user does without.
fn instance_sources(
    surroundings: &Surroundings,
    config: &Config,
    questions: Option<&Arc<dyn Questions>>,
) -> Vec<Box<dyn InstanceSource>> {
    let mut sources: Vec<Box<dyn InstanceSource>> = Vec::new();
    let api = Api::discover(config);
    if let Some(node) = surroundings.node_name.clone()
        && api.is_there(surroundings)
    {
        sources.push(Box::new(NodeObject { node, connect: Box::new(move || api.connect()) }));
    }
    if !config.session.local_mode {
        let retries = u32::try_from(config.session.imds_retries).unwrap_or(0);
        match aws::imds::Imds::new(retries) {
            Ok(imds) => sources.push(Box::new(InstanceMetadata(imds))),
            Err(error) => tracing::warn!(error = causes(&error), "instance metadata cannot be asked"),
        }
    }
    if let Some(questions) = questions {
        sources.push(Box::new(Described(Arc::clone(questions))));
    }
    sources
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// A receiver for `machine`, not started.
    pub(crate) fn new(
        settings: Settings,
        config: Arc<Config>,
        output: Arc<dyn Consumer>,
        machine: Machine,
    ) -> Self {
        Self {
            settings,
            config,
            output,
            machine,
            stop: CancellationToken::new(),
            collecting: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    fn collector(
        &self,
        known: Known,
        pods: Option<PodList>,
        cluster: Cluster,
        lead: Option<Lead>,
    ) -> Collector {
        let Machine { surroundings, paths, .. } = &self.machine;
        let mut health = Health::default();
        let enhanced = self.config.keys.enable_control_plane_metrics;
        let mut host = HostSource::new(paths.clone(), surroundings.orchestrator, enhanced);
        host.open(&mut health);
        let pods = pods.map(|list| {
            let cgroups = host.reader().cgroups();
            PodsSource::new(list, cluster, paths, cgroups, self.options())
        });
        Collector {
            collecting: Arc::clone(&self.collecting),
            origin: Instant::now(),
            instance: known.instance,
            facts: known.facts,
            identity: Identity::new(surroundings, paths.sys.clone()),
            ecs: self.ecs(known.asked),
            host,
            pods,
            lead,
            node_records: self.config.keys.collection_role != CollectionRole::Leader,
            health,
            records: Records::default(),
            output: Output::new(&self.settings, Arc::clone(&self.output)),
        }
    }

    /// The ECS agent, with ECS. `asked` is cancelled when it was tried to find out which instance this is.
    fn ecs(&self, asked: CancellationToken) -> Option<Ecs> {
        let Surroundings { orchestrator, address, .. } = &self.machine.surroundings;
        if *orchestrator != Orchestrator::Ecs {
            return None;
        }
        let metadata = aws::ecs::metadata_uri().and_then(|uri| {
            let metadata = aws::ecs::TaskMetadata::new(uri);
            metadata
                .inspect_err(|error| tracing::warn!(error = causes(error), "no metadata of this task"))
                .ok()
        });
        Some(Ecs { source: EcsSource::new(metadata), address: address.clone(), asked })
    }

    fn options(&self) -> Options {
        let keys = &self.config.keys;
        Options {
            naming: Naming {
                prefer_full: keys.prefer_full_pod_name,
                shorten_jobs: keys.shorten_job_pod_names,
            },
            full_pod_name: keys.add_full_pod_name_metric_label,
            container_name: keys.add_container_name_metric_label,
            enhanced: keys.enable_control_plane_metrics,
            files: keys.enable_container_filesystem_metrics,
        }
    }

    /// The connection to the API server, if there is one.
    fn watches(&self, service: &Host) -> Option<Watches> {
        let api = Api::discover(&self.config);
        if !api.is_there(&self.machine.surroundings) {
            return None;
        }
        api.watches(service)
            .inspect_err(|error| {
                let error = causes(error);
                tracing::warn!(receiver = %self.settings.id, error, "no records of the cluster, no Service");
            })
            .ok()
    }

    /// The API server's objects that records of this machine need.
    fn cluster(&self, watches: Option<&Watches>) -> Cluster {
        let keys = &self.config.keys;
        let node = self.machine.surroundings.node_name.clone();
        let wanted = Wanted {
            services: keys.add_service_as_attribute,
            node: node.filter(|_| keys.enable_control_plane_metrics),
        };
        watches.map(|watches| Cluster::watch(watches, &wanted)).unwrap_or_default()
    }

    /// Stands for election as the collector that makes records of the cluster.
    fn stand_for_election(&self, watches: Option<&Watches>, host: &Host) -> Option<(Lead, JoinHandle<()>)> {
        let (keys, surroundings) = (&self.config.keys, &self.machine.surroundings);
        if keys.collection_role == CollectionRole::Node {
            return None;
        }
        let (watches, identity) = (watches?, surroundings.node_name.clone()?);
        let Some(namespace) = surroundings.namespace.clone() else {
            tracing::warn!(
                receiver = %self.settings.id,
                "this pod's namespace is not known, so there are no records of the cluster: set the environment \
                 variable K8S_NAMESPACE from metadata.namespace"
            );
            return None;
        };
        let name = keys.leader_lock_name.clone();
        let lock = if keys.leader_lock_using_config_map_only {
            Lock::ConfigMap { namespace, name }
        } else {
            Lock::Lease { namespace, name }
        };
        let election = Election::start(watches.api().clone(), host, lock, ElectionConfig::new(identity));
        let leadership = election
            .inspect_err(|error| {
                let error = causes(error);
                tracing::warn!(receiver = %self.settings.id, error, "no records of the cluster");
            })
            .ok()?;
        let (sender, lead) = watch::channel(None);
        let control_plane = keys.enable_control_plane_metrics.then(|| {
            let endpoint = Api::discover(&self.config).endpoint();
            ControlPlane::new(watches.api().clone(), endpoint, *keys.collection_interval)
        });
        let stop = self.stop.clone();
        let standing = stand(leadership, watches.clone(), self.options(), control_plane, sender, stop);
        Some((lead, host.spawn(format!("{}: leader", self.settings.id), standing)))
    }

    /// Begins to answer collections that ask for the pods.
    fn answer_for_pods(&self, host: &Host) -> (Option<PodList>, Option<JoinHandle<()>>) {
        let Some(source) = lock(&self.machine.pods).take() else { return (None, None) };
        let (list, answering) = PodList::new(source, *self.config.keys.collection_interval);
        let (stop, search) = (self.stop.clone(), host.search("kubelet"));
        let task = host.spawn(format!("{}: kubelet", self.settings.id), async move {
            stop.run_until_cancelled(answering.run(Some(search))).await;
        });
        (Some(list), Some(task))
    }

    /// Says what was found and what was not.
    fn tell(&self, host: &HostSource, service: &Host) {
        let Machine { surroundings, paths, .. } = &self.machine;
        let machine = host.machine();
        let cgroups = host.reader().cgroups();
        let cgroup = match cgroups.map(|cgroups| (cgroups.version(), cgroups.is_namespaced())) {
            None => "none: figures come from /proc",
            Some((Version::V1, _)) => "v1",
            Some((Version::V2, false)) => "v2",
            Some((Version::V2, true)) => "v2, but only this container's: figures come from /proc",
        };
        let kubelet = match surroundings.orchestrator {
            Orchestrator::Eks => match &surroundings.kubelet {
                Some(address) => address.as_str(),
                None => "no address: records of the machine only, no pods and containers",
            },
            Orchestrator::Ecs | Orchestrator::None => {
                "none: records of the machine only, no pods and containers"
            }
        };
        service.notice(Notice::Found {
            what: "this machine".into(),
            detail: format!(
                "{}, {} cores, {:.1} GiB of memory, cgroup {cgroup}",
                surroundings.node_name.as_deref().unwrap_or("no name"),
                machine.cores.unwrap_or_default(),
                machine.memory.unwrap_or_default() as f64 / (1 << 30) as f64,
            ),
        });
        if surroundings.kubelet.is_none() {
            service.notice(Notice::NotFound { what: "kubelet".into(), detail: kubelet.into() });
        }
        tracing::info!(
            receiver = %self.settings.id,
            orchestrator = surroundings.orchestrator.as_str(),
            orchestrator_from = surroundings.orchestrator_from,
            node_name = surroundings.node_name.as_deref().unwrap_or_default(),
            node_name_from = surroundings.node_name_from,
            cluster_name = surroundings.cluster_name.as_deref().unwrap_or_default(),
            cluster_name_from = surroundings.cluster_name_from,
            cgroup,
            proc = %paths.proc.display(),
            sys = %paths.sys.display(),
            cores = machine.cores.unwrap_or_default(),
            memory_bytes = machine.memory.unwrap_or_default(),
            kubelet,
            instance = if lock(&self.machine.instance_sources).is_empty() {
                "not asked for"
            } else {
                "asked for in the background"
            },
            "found this machine"
        );
        let ignored = self.config.ignored();
        if !ignored.is_empty() {
            let keys = ignored.join(", ");
            tracing::warn!(receiver = %self.settings.id, keys, "these keys have no effect in this version");
        }
        let will_ask = match surroundings.orchestrator {
            Orchestrator::Eks => self.machine.questions.is_some(),
            // The agent.
            Orchestrator::Ecs => true,
            Orchestrator::None => false,
        };
        for remedy in surroundings.remedies(will_ask) {
            tracing::warn!(receiver = %self.settings.id, "{remedy}");
        }
    }

    /// Begins to find out which instance this is.
    fn look_up_instance(
        &self,
        host: &Host,
        found: watch::Sender<Instance>,
        asked: CancellationToken,
    ) -> JoinHandle<()> {
        let Surroundings { orchestrator, address, .. } = &self.machine.surroundings;
        let sources = std::mem::take(&mut *lock(&self.machine.instance_sources));
        let search = (!sources.is_empty()).then(|| host.search("EC2 instance"));
        let looking = look_up(LookUp {
            sources,
            with_address: *orchestrator == Orchestrator::Ecs && address.is_none(),
            pause: *self.config.keys.collection_interval,
            found,
            asked,
            search,
        });
        let stop = self.stop.clone();
        host.spawn(format!("{}: instance", self.settings.id), async move {
            stop.run_until_cancelled(looking).await;
        })
    }

    /// Begins to ask EC2 about the instance.
    fn watch_ec2(&self, host: &Host, known: &Known, facts: watch::Sender<Facts>) -> Option<JoinHandle<()>> {
        let Machine { surroundings, paths, questions, .. } = &self.machine;
        let watching = Watching {
            questions: Arc::clone(questions.as_ref()?),
            instance: known.instance.clone(),
            asked: known.asked.clone(),
            needs_cluster_name: surroundings.needs_cluster_name(),
            interval: *self.config.keys.collection_interval,
            paths: paths.clone(),
            host: node::hostname(),
            facts,
        };
        let stop = self.stop.clone();
        Some(host.spawn(format!("{}: EC2", self.settings.id), async move {
            stop.run_until_cancelled(watching.run()).await;
        }))
    }

    fn collect_at_interval(&self, host: &Host, mut collector: Collector) -> JoinHandle<()> {
        let schedule = Schedule::every(*self.config.keys.collection_interval, Duration::ZERO);
        let stop = self.stop.clone();
        host.spawn(format!("{}: collector", self.settings.id), async move {
            run(schedule, stop, &mut collector).await;
        })
    }
}

#[async_trait]
impl Component for Receiver {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        let (found, instance) = watch::channel(Instance::default());
        let (learned, facts) = watch::channel(Facts::default());
        let known = Known { instance, facts, asked: CancellationToken::new() };
        let (asked, asking) = (known.asked.clone(), self.watch_ec2(host, &known, learned));
        let (pods, answering) = self.answer_for_pods(host);
        let watches = self.watches(host);
        let (lead, standing) = self.stand_for_election(watches.as_ref(), host).unzip();
        let collector = self.collector(known, pods, self.cluster(watches.as_ref()), lead);
        self.tell(&collector.host, host);
        let looking = self.look_up_instance(host, found, asked);
        let tasks = [looking, self.collect_at_interval(host, collector)];
        lock(&self.tasks).extend(tasks.into_iter().chain(asking).chain(answering).chain(standing));
        Ok(())
    }

    /// Lets a collection that is under way come to its end.
    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        let idle = tokio::time::timeout_at(deadline, self.collecting.lock()).await;
        self.stop.cancel();
        drop(idle);
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for task in tasks {
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                return Err("a collection did not end in time".into());
            }
        }
        Ok(())
    }
}
