//! The cluster as its administrator sees it, and the node's kernel.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A process of the cluster that stands still until this is dropped.
pub(crate) struct Stopped(Pid);

/// A running container of a running pod on the node.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) host_network: bool,
    pub(crate) container: String,
    pub(crate) id: String,
}

/// `kubectl` with these arguments; its standard output.
pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    run("kubectl", arguments, "")
}

/// Makes or changes objects.
pub(crate) fn apply(manifest: &str) -> Result<()> {
    run("kubectl", &["apply", "-f", "-"], manifest).map(drop)
}

/// Objects as JSON.
pub(crate) fn get(arguments: &[&str]) -> Result<Value> {
    let arguments: Vec<&str> = ["get", "-o", "json"].iter().chain(arguments).copied().collect();
    Ok(serde_json::from_str(&kubectl(&arguments)?)?)
}

/// Runs a command on the node.
pub(crate) fn on_node(arguments: &[&str]) -> Result<String> {
    let enter = std::env::var("TESTBED_ENTER").context("TESTBED_ENTER")?;
    let mut words: Vec<&str> = enter.split_whitespace().collect();
    words.extend(arguments);
    let (program, rest) = words.split_first().context("TESTBED_ENTER is empty")?;
    run(program, rest, "")
}

/// Runs a command; its standard output.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| program.to_owned())?;
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {complaint}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// The address of this machine from which another is reached.
pub(crate) fn own_address_towards(other: IpAddr) -> Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // Nothing is sent.
    socket.connect((other, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Where pods that run on the node have their packets come from: the network of its bridge.
pub(crate) fn pod_network() -> Result<String> {
    let routes = on_node(&["ip", "-4", "-o", "route", "show", "dev", "cni0"])?;
    routes.split_whitespace().next().map(str::to_owned).context("no pod has been on the node yet")
}

/// All running containers on a node.
pub(crate) fn running(node: &str) -> Result<Vec<Running>> {
    let pods =
        get(&["pods", "-A", "--field-selector", &format!("spec.nodeName={node},status.phase=Running")])?;
    let mut running = Vec::new();
    for pod in list(&pods["items"]) {
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        for status in list(&pod["status"]["containerStatuses"]) {
            if status["state"]["running"].is_null() {
                continue;
            }
            let id = text(&status["containerID"]);
            running.push(Running {
                namespace: text(&pod["metadata"]["namespace"]).to_owned(),
                pod: text(&pod["metadata"]["name"]).to_owned(),
                uid: text(&pod["metadata"]["uid"]).to_owned(),
                host_network: pod["spec"]["hostNetwork"] == true,
                container: text(&status["name"]).to_owned(),
                id: id.rsplit('/').next().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(running)
}

/// An array's members; none of what is no array.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Running {
    /// Bytes in use, as the kernel counts.
    pub(crate) fn memory(&self) -> Result<u64> {
        match self.group("memory") {
            Some(group) => number(&group.join("memory.usage_in_bytes")),
            None => number(&self.group("").context("no control group")?.join("memory.current")),
        }
    }

    /// Nanoseconds of CPU time so far.
    pub(crate) fn cpu(&self) -> Result<u64> {
        if let Some(group) = self.group("cpuacct") {
            return number(&group.join("cpuacct.usage"));
        }
        let stat = fs::read_to_string(self.group("").context("no control group")?.join("cpu.stat"))?;
        let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("usage_usec")?;
        Ok(line.trim().parse::<u64>()? * 1000)
    }

    /// Bytes received on `eth0` so far.
    pub(crate) fn received(&self) -> Result<u64> {
        let group = self.group("memory").or_else(|| self.group("")).context("no control group")?;
        let processes = fs::read_to_string(group.join("cgroup.procs"))?;
        let process = processes.lines().next().context("no process")?;
        let devices = fs::read_to_string(format!("/proc/{process}/net/dev"))?;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("eth0:")).context("eth0")?;
        Ok(line.split_whitespace().next().context("bytes")?.parse()?)
    }

    fn group(&self, controller: &str) -> Option<PathBuf> {
        let root = Path::new("/sys/fs/cgroup").join(controller).join("kubepods");
        ["", "burstable", "besteffort"].iter().find_map(|class| {
            let group = root.join(class).join(format!("pod{}", self.uid)).join(&self.id);
            group.is_dir().then_some(group)
        })
    }
}

fn number(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim().parse()?)
}

impl Stopped {
    /// Stops one of the test cluster's processes, which have their identifiers beside the administrator's credentials.
    pub(crate) fn new(process: &str) -> Result<Self> {
        let credentials = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
        let file = Path::new(&credentials).with_file_name(format!("{process}.pid"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let number = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { bail!("{} has no number", file.display()) };
        kill_process(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // If it has ended there is nothing to continue.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
