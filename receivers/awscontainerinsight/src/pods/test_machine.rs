//! A machine made of files, with pods; and a kubelet that says what a test tells it to.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use component::{Host, async_trait};
use k8s::row::{Pod, Row};
use k8s::{Interner, Naming, Projection};
use pdata::Batch;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Options, PodList, PodSource, PodsSource};
use crate::cluster::Cluster;
use crate::collector::Moment;
use crate::health::Health;
use crate::host::golden_tests::{TIME, lay_out, paths_below, size};
use crate::host::{Extra, HostSource};
use crate::identity::Identity;
use crate::instance::Instance;
use crate::record::Records;
use crate::surroundings::{Orchestrator, Surroundings};

/// A kubelet's answers, in order; the last is repeated.
pub(crate) type Answers = Arc<Mutex<VecDeque<Reply>>>;

/// What a kubelet does.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Lists these pods.
    Pods(serde_json::Value),
    /// Fails.
    Fails,
    /// Answers later.
    Slow(Duration, serde_json::Value),
}

/// A kubelet by a script.
pub(crate) struct ScriptedKubelet(pub(crate) Answers);

/// Files below a temporary directory.
pub(crate) struct TestMachine {
    pub(crate) root: TempDir,
    v2: bool,
}

/// A machine, its kubelet, and all that makes records of both.
pub(crate) struct Rig {
    pub(crate) machine: TestMachine,
    pub(crate) answers: Answers,
    pub(crate) health: Health,
    pub(crate) host: HostSource,
    pub(crate) pods: PodsSource,
    identity: Identity,
    records: Records,
    origin: Instant,
    /// How far the wall clock was set forward, in nanoseconds.
    pub(crate) clock_set: i64,
}

#[async_trait]
impl PodSource for ScriptedKubelet {
    async fn pods(&mut self) -> Result<Vec<Pod>, k8s::Error> {
        let reply = {
            let mut answers = self.0.lock().unwrap();
            let reply = answers.front().unwrap().clone();
            if answers.len() > 1 {
                answers.pop_front();
            }
            reply
        };
        let list = match reply {
            Reply::Pods(list) => list,
            Reply::Fails => return Err(k8s::Error::Status { status: 500, message: "broken".to_owned() }),
            Reply::Slow(delay, list) => {
                tokio::time::sleep(delay).await;
                list
            }
        };
        let (projection, interner) = (Projection::all(), Interner::default());
        let rows = list
            .as_array()
            .unwrap()
            .iter()
            .map(|pod| Pod::from_json(pod.to_string().as_bytes(), &projection, &interner).unwrap().row);
        Ok(rows.collect())
    }
}

/// A container's id.
pub(crate) fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// A pod's uid.
pub(crate) fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

impl TestMachine {
    pub(crate) fn new(v2: bool) -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap(), v2 };
        lay_out(machine.root.path(), if v2 { "v2-first" } else { "v1-first" });
        // Sizes of filesystems are asked for on a clock that cannot be paused.
        machine.write("proc/self/mountinfo", "");
        machine.write("proc/self/status", "Name:\totelcol\nNSpid:\t77\n");
        machine
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The group of a pod, as systemd names it on v2 and the kubelet itself on v1.
    pub(crate) fn pod(&self, qos: &str, uid: &str) -> String {
        if !self.v2 {
            let qos = if qos.is_empty() { String::new() } else { format!("/{qos}") };
            return format!("/kubepods{qos}/pod{uid}");
        }
        let uid = uid.replace('-', "_");
        match qos {
            "" => format!("/kubepods.slice/kubepods-pod{uid}.slice"),
            qos => format!("/kubepods.slice/kubepods-{qos}.slice/kubepods-{qos}-pod{uid}.slice"),
        }
    }

    /// The group of a pod's container.
    pub(crate) fn container(&self, pod: &str, number: u64) -> String {
        if self.v2 {
            format!("{pod}/cri-containerd-{}.scope", id(number))
        } else {
            format!("{pod}/{}", id(number))
        }
    }

    /// Writes a group's figures: `cpu` milliseconds of CPU time, half of it the kernel's, and `kib` of memory.
    pub(crate) fn figures(&self, group: &str, cpu: u64, kib: u64) {
        let bytes = kib * 1024;
        if self.v2 {
            let file = |name: &str, text: String| self.write(&format!("sys/fs/cgroup{group}/{name}"), &text);
            let (total, half) = (cpu * 1000, cpu * 500);
            file("cpu.stat", format!("usage_usec {total}\nuser_usec {half}\nsystem_usec {half}\n"));
            file("memory.current", format!("{bytes}\n"));
            file("memory.peak", format!("{}\n", bytes * 2));
            file("memory.swap.current", "0\n".to_owned());
            let (part, faults) = (bytes / 4, kib / 4);
            file(
                "memory.stat",
                format!(
                    "anon {part}\nfile {part}\nfile_mapped 4096\ninactive_file {part}\n\
                     pgfault {faults}\npgmajfault 0\n"
                ),
            );
            file("cgroup.procs", String::new());
            return;
        }
        let file = |controller: &str, name: &str, text: String| {
            self.write(&format!("sys/fs/cgroup/{controller}{group}/{name}"), &text);
        };
        file("cpuacct", "cpuacct.usage", format!("{}\n", cpu * 1_000_000));
        file("cpuacct", "cpuacct.stat", format!("user {}\nsystem {}\n", cpu / 20, cpu / 20));
        file("memory", "memory.usage_in_bytes", format!("{bytes}\n"));
        file("memory", "memory.max_usage_in_bytes", format!("{}\n", bytes * 2));
        file("memory", "memory.failcnt", "3\n".to_owned());
        let (part, faults) = (bytes / 4, kib / 4);
        file(
            "memory",
            "memory.stat",
            format!(
                "pgfault {faults}\npgmajfault 0\ntotal_cache {part}\ntotal_rss {part}\ntotal_mapped_file 4096\n\
                 total_swap 0\ntotal_inactive_file {part}\n"
            ),
        );
        file("memory", "cgroup.procs", String::new());
    }

    /// A process in a container's group, with a network of its own and files in `upper`.
    pub(crate) fn process(&self, pid: u32, group: &str, received: u64, upper: Option<&str>) {
        let controller = if self.v2 { "" } else { "/memory" };
        self.write(&format!("sys/fs/cgroup{controller}{group}/cgroup.procs"), &format!("{pid}\n"));
        let line = if self.v2 { format!("0::{group}\n") } else { format!("4:memory:{group}\n") };
        self.write(&format!("proc/{pid}/cgroup"), &line);
        self.received(pid, received);
        self.write(&format!("proc/{pid}/ns/net"), "");
        let options = upper.map(|upper| format!("9 8 0:90 / / rw - overlay overlay rw,upperdir={upper}\n"));
        self.write(&format!("proc/{pid}/mountinfo"), &options.unwrap_or_default());
    }

    /// Writes the counters of a process's network.
    pub(crate) fn received(&self, pid: u32, bytes: u64) {
        let (packets, sent) = (bytes / 100, bytes / 2);
        let text = format!(
            "h\nh\n  lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\neth0: {bytes} {packets} 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
        );
        self.write(&format!("proc/{pid}/net/dev"), &text);
    }

    pub(crate) fn remove(&self, group: &str) {
        let controllers: &[&str] = if self.v2 { &[""] } else { &["/memory", "/cpuacct"] };
        for controller in controllers {
            fs::remove_dir_all(self.path(&format!("sys/fs/cgroup{controller}{group}"))).unwrap();
        }
    }
}

impl Rig {
    /// Collects of `machine` and of what the kubelet says.
    pub(crate) fn new(machine: TestMachine, options: Options, cluster: Cluster) -> Self {
        let answers = Answers::default();
        let source = Box::new(ScriptedKubelet(Arc::clone(&answers)));
        Self::with_source(machine, options, cluster, source, answers)
    }

    /// [`Rig::new`] with any kubelet.
    pub(crate) fn with_source(
        machine: TestMachine,
        options: Options,
        cluster: Cluster,
        source: Box<dyn PodSource>,
        answers: Answers,
    ) -> Self {
        let (list, answering) = PodList::new(source, Duration::from_secs(60));
        Host::standalone().spawn("kubelet", answering.run(None));
        let paths = paths_below(machine.root.path());
        let identity = identity();
        let mut health = Health::default();
        let mut host = HostSource::new(paths.clone(), Orchestrator::Eks, options.enhanced);
        host.set_sizes(size);
        host.open(&mut health);
        let pods = PodsSource::new(list, cluster, &paths, host.reader().cgroups(), options);
        let (records, origin) = (Records::default(), Instant::now());
        Self { machine, answers, health, host, pods, identity, records, origin, clock_set: 0 }
    }

    /// From now on the kubelet does this.
    pub(crate) fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.answers.lock().unwrap() = replies.into_iter().collect();
    }

    /// One collection, as the receiver does it.
    pub(crate) async fn collect(&mut self) -> Batch {
        self.pods.refresh(None, &mut self.health).await;
        let at = self.moment();
        let Self { host, pods, identity, health, records, .. } = self;
        let extra =
            Extra { totals: pods.totals(host.machine()), cluster: Some(pods.cluster()), reserved: None };
        host.collect(at, extra, identity, health, records).await;
        pods.collect(at, host, identity, health, records);
        records.take()
    }

    /// The pods' part of a collection alone.
    pub(crate) fn collect_pods(&mut self) -> Batch {
        let at = self.moment();
        let Self { host, pods, identity, health, records, .. } = self;
        pods.collect(at, host, identity, health, records);
        records.take()
    }

    fn moment(&self) -> Moment {
        let monotonic = self.origin.elapsed();
        let unix_nano = (TIME + monotonic.as_nanos() as u64).wrapping_add_signed(self.clock_set);
        Moment { unix_nano, monotonic }
    }
}

/// What users usually want, or all there is.
pub(crate) fn options(enhanced: bool) -> Options {
    Options {
        naming: Naming::default(),
        full_pod_name: enhanced,
        container_name: enhanced,
        enhanced,
        files: true,
    }
}

/// Who the test machine is.
pub(crate) fn identity() -> Identity {
    let text = |text: &str| Some(text.to_owned());
    let surroundings = Surroundings {
        orchestrator: Orchestrator::Eks,
        orchestrator_from: "",
        node_name: text("node-1"),
        node_name_from: "",
        cluster_name: text("demo"),
        cluster_name_from: "",
        kubelet: None,
        namespace: None,
        address: None,
    };
    let mut identity = Identity::new(&surroundings, PathBuf::from("/does-not-exist"));
    identity.set_instance(&Instance {
        id: text("i-0aa11bb22cc33dd44"),
        kind: text("m6i.large"),
        availability_zone: text("us-east-1b"),
        ..Instance::default()
    });
    identity
}
