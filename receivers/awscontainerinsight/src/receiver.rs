//! Start and shutdown.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::{BoxError, Component, Consumer, Host, Notice, Settings, async_trait};
use helper::scraper::{Schedule, run};
use k8s::{Election, ElectionConfig, KubeletConfig, Lock, Watches};
use node::{HostPaths, Version};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::cluster::{Cluster, Wanted};
use crate::collector::{Collector, Output};
use crate::health::{Health, chain};
use crate::host::HostSource;
use crate::identity::Identity;
use crate::instance::{Instance, InstanceMetadata, InstanceSource, NodeObject, look_up};
use crate::leader::{Lead, stand};
use crate::pods::{KubeletPods, Naming, Options, PodList, PodSource, PodsSource};
use crate::record::Records;
use crate::surroundings::{Orchestrator, Surroundings};

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
    /// Who knows the pods, with Kubernetes; taken at the start.
    pub(crate) pods: Mutex<Option<Box<dyn PodSource>>>,
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
        let instance_sources = Mutex::new(instance_sources(&surroundings, config));
        let pods = surroundings.kubelet.as_deref().map(kubelet);
        Self { surroundings, paths, instance_sources, pods: Mutex::new(pods) }
    }
}

/// The Node object where there is one, and instance metadata unless the user does without.
fn instance_sources(surroundings: &Surroundings, config: &Config) -> Vec<Box<dyn InstanceSource>> {
    let mut sources: Vec<Box<dyn InstanceSource>> = Vec::new();
    if let Some(node) = surroundings.node_name.clone()
        && surroundings.orchestrator == Orchestrator::Eks
        && k8s::is_in_cluster()
    {
        sources.push(Box::new(NodeObject { node, connect: Box::new(k8s::ApiServer::in_cluster) }));
    }
    if !config.session.local_mode {
        let retries = u32::try_from(config.session.imds_retries).unwrap_or(0);
        sources.push(Box::new(InstanceMetadata { retries }));
    }
    sources
}

/// The kubelet, with the pod's service account as far as there is one.
fn kubelet(address: &str) -> Box<dyn PodSource> {
    let mut config = KubeletConfig::new(address);
    config.token_file = config.token_file.filter(|path| path.exists());
    config.ca_file = config.ca_file.filter(|path| path.exists());
    Box::new(KubeletPods::new(config))
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
        instance: watch::Receiver<Instance>,
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
            instance,
            identity: Identity::new(surroundings, paths.sys.clone()),
            host,
            pods,
            lead,
            health,
            records: Records::default(),
            output: Output::new(&self.settings, Arc::clone(&self.output)),
        }
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

    /// The connection to the API server, if this is one of its pods.
    fn watches(&self, service: &Host) -> Option<Watches> {
        if self.machine.surroundings.orchestrator != Orchestrator::Eks || !k8s::is_in_cluster() {
            return None;
        }
        let watches = Watches::in_cluster(service);
        watches
            .inspect_err(|error| {
                let error = chain(error);
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
                let error = chain(error);
                tracing::warn!(receiver = %self.settings.id, error, "no records of the cluster");
            })
            .ok()?;
        let (sender, lead) = watch::channel(None);
        let standing = stand(leadership, watches.clone(), self.options(), sender, self.stop.clone());
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
        for remedy in surroundings.remedies() {
            tracing::warn!(receiver = %self.settings.id, "{remedy}");
        }
    }

    fn look_up_instance(&self, host: &Host, found: watch::Sender<Instance>) -> JoinHandle<()> {
        let sources = std::mem::take(&mut *lock(&self.machine.instance_sources));
        let (stop, pause) = (self.stop.clone(), *self.config.keys.collection_interval);
        let search = (!sources.is_empty()).then(|| host.search("EC2 instance"));
        host.spawn(format!("{}: instance", self.settings.id), async move {
            stop.run_until_cancelled(look_up(sources, pause, found, search)).await;
        })
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
        let (sender, receiver) = watch::channel(Instance::default());
        let (pods, answering) = self.answer_for_pods(host);
        let watches = self.watches(host);
        let (lead, standing) = self.stand_for_election(watches.as_ref(), host).unzip();
        let collector = self.collector(receiver, pods, self.cluster(watches.as_ref()), lead);
        self.tell(&collector.host, host);
        let tasks = [self.look_up_instance(host, sender), self.collect_at_interval(host, collector)];
        lock(&self.tasks).extend(tasks.into_iter().chain(answering).chain(standing));
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
