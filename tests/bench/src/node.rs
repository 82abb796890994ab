//! A full node, made of what the kernel has: control groups and processes with networks of their own for 110 pods, and a kubelet
//! that lists them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// As many as the kubelet lets a node have.
pub const PODS: usize = 110;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// A pod's sandbox and its containers: a control group each.
const PARTS: [&str; 3] = ["sandbox", "app", "sidecar"];

/// The machine with pods on it, as far as a collector can tell. What was made goes when it is dropped.
pub struct Node {
    pods: Vec<Pod>,
    /// The control groups, parents first.
    groups: Vec<PathBuf>,
}

struct Pod {
    uid: String,
    processes: Child,
}

impl Node {
    /// Makes the pods. It takes root, and a machine without a kubelet.
    pub fn new() -> Result<Self> {
        let roots = roots()?;
        if let Some(taken) = roots.iter().map(|root| root.join("kubepods")).find(|path| path.exists()) {
            bail!("{} exists: this machine has pods of its own", taken.display());
        }
        let mut node = Self { pods: Vec::new(), groups: Vec::new() };
        for root in &roots {
            node.make(root.join("kubepods"))?;
            node.make(root.join("kubepods/burstable"))?;
        }
        for number in 0..PODS {
            node.add(number, &roots)?;
        }
        Ok(node)
    }

    fn add(&mut self, number: usize, roots: &[PathBuf]) -> Result<()> {
        let uid = format!("{number:08x}-0000-4000-8000-000000000000");
        let mut child = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "sleep 100000 & echo $!; sleep 100000 & echo $!; echo $$; exec sleep 100000",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare")?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        self.pods.push(Pod { uid: uid.clone(), processes: child });
        let mut processes = Vec::new();
        for _ in PARTS {
            processes.push(lines.next().context("unshare --net needs root")??);
        }
        for root in roots {
            let of_pod = root.join(format!("kubepods/burstable/pod{uid}"));
            self.make(of_pod.clone())?;
            for (part, process) in (0..).zip(&processes) {
                let group = of_pod.join(id(number, part));
                self.make(group.clone())?;
                fs::write(group.join("cgroup.procs"), process)
                    .with_context(|| group.display().to_string())?;
            }
        }
        Ok(())
    }

    fn make(&mut self, group: PathBuf) -> Result<()> {
        fs::create_dir(&group).with_context(|| format!("{}: it takes root", group.display()))?;
        self.groups.push(group);
        Ok(())
    }

    /// What the kubelet answers at `/pods`.
    pub fn list(&self) -> String {
        let pods: Vec<Value> = self.pods.iter().enumerate().map(|(number, pod)| pod.object(number)).collect();
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}).to_string()
    }
}

impl Pod {
    /// The object, as large as usual: some 6 KB.
    fn object(&self, number: usize) -> Value {
        let name = format!("service-{}-6d4cf56db6-{number:05x}", number / 4);
        let container = |name: &str| {
            let variables: Vec<Value> = (0..12)
                .map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value {i} of {name}")}))
                .collect();
            json!({"name": name, "image": format!("registry.example/team/{name}:1.2.3"), "env": variables,
                   "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                   "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
                   "volumeMounts": [{"name": "kube-api-access", "readOnly": true,
                                     "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                   "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
                   "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"})
        };
        let status = |name: &str, part: usize| {
            json!({"name": name, "ready": true, "restartCount": 0, "started": true,
                   "image": format!("registry.example/team/{name}:1.2.3"),
                   "imageID": format!("registry.example/team/{name}@sha256:{}", id(number, part)),
                   "containerID": format!("containerd://{}", id(number, part)),
                   "state": {"running": {"startedAt": "2026-11-01T08:00:00Z"}}, "lastState": {}})
        };
        let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(|kind| {
            json!({"type": kind, "status": "True", "lastProbeTime": null,
                   "lastTransitionTime": "2026-11-01T08:00:00Z"})
        });
        json!({
            "metadata": {
                "name": name, "generateName": name.rsplit_once('-').map(|(set, _)| format!("{set}-")),
                "namespace": format!("team-{}", number % 8), "uid": self.uid,
                "resourceVersion": "123456", "creationTimestamp": "2026-11-01T08:00:00Z",
                "labels": {"app": format!("service-{}", number / 4), "pod-template-hash": "6d4cf56db6", "tier": "backend"},
                "annotations": {"kubernetes.io/config.seen": "2026-11-01T08:00:00Z", "kubernetes.io/config.source": "api"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                                     "name": format!("service-{}-6d4cf56db6", number / 4), "uid": id(number / 4, 9)}],
            },
            "spec": {"nodeName": "bench", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                     "serviceAccountName": "default", "schedulerName": "default-scheduler",
                     "containers": [container("app"), container("sidecar")],
                     "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                                      "tolerationSeconds": 300}]},
            "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"), "hostIP": "127.0.0.1", "qosClass": "Burstable",
                       "startTime": "2026-11-01T08:00:00Z",
                       "conditions": conditions,
                       "containerStatuses": [status("app", 1), status("sidecar", 2)]},
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for group in self.groups.iter().rev() {
            let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for process in processes.lines() {
                // They are all ours: nobody else has moved here.
                let _ = Command::new("kill").args(["-KILL", process]).status();
            }
        }
        for pod in &mut self.pods {
            let _ = pod.processes.wait();
        }
        for group in self.groups.iter().rev() {
            // A group goes when its last process has been waited for, by whoever that is.
            for _ in 0..100 {
                if fs::remove_dir(group).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// The control groups' roots: one of the second version, or one for each controller of the first.
fn roots() -> Result<Vec<PathBuf>> {
    let root = Path::new(GROUPS);
    if root.join("cgroup.controllers").exists() {
        // What children are to have, their parents must be told to give.
        fs::write(root.join("cgroup.subtree_control"), "+cpu +memory")
            .context("controllers: it takes root")?;
        return Ok(vec![root.to_owned()]);
    }
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let controllers = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        let name = Path::new(path).file_name()?.to_str()?;
        let wanted = ["cpu", "cpuacct", "cpu,cpuacct", "memory", "blkio", "pids"].contains(&name);
        (kind == "cgroup" && wanted).then(|| PathBuf::from(path))
    });
    let controllers: BTreeSet<PathBuf> = controllers.collect();
    ensure!(!controllers.is_empty(), "no control groups below {GROUPS}");
    Ok(controllers.into_iter().collect())
}

/// An identifier of a container.
fn id(number: usize, part: usize) -> String {
    format!("{number:032x}{part:032x}")
}
