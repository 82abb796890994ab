//! The cluster as its administrator sees it, and the node's kernel.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A process of the cluster that stands still until this is dropped.
pub(crate) struct Stopped(Pid);

/// A running container of a running pod on the node.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) node: String,
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

/// The networks that the node itself forwards to.
pub(crate) fn networks_behind_the_node() -> Result<Vec<String>> {
    let routes = on_node(&["ip", "-4", "-o", "route", "show"])?;
    let forwarded = routes.lines().filter(|line| line.contains(" via ") && !line.starts_with("default"));
    Ok(forwarded.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
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
                node: node.to_owned(),
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
        let script = self.cat(&["memory/GROUP/memory.usage_in_bytes", "GROUP/memory.current"]);
        Ok(shell(&self.node, &script)?.trim().parse()?)
    }

    /// Seconds since the kernel started and nanoseconds of CPU time so far.
    pub(crate) fn cpu(&self) -> Result<(f64, u64)> {
        let (at, text) = self.timed(&self.cat(&["cpuacct/GROUP/cpuacct.usage", "GROUP/cpu.stat"]))?;
        let time = match text.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
            Some(microseconds) => microseconds.trim().parse::<u64>()? * 1000,
            None => text.trim().parse()?,
        };
        Ok((at, time))
    }

    /// Seconds since the kernel started and bytes received on `eth0` so far.
    pub(crate) fn received(&self) -> Result<(f64, u64)> {
        let (at, devices) = self.timed(&format!("cat /proc/{}/net/dev", self.process()?))?;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("eth0:")).context("eth0")?;
        Ok((at, line.split_whitespace().next().context("bytes")?.parse()?))
    }

    /// A process of it.
    fn process(&self) -> Result<i32> {
        let script = self.cat(&["memory/GROUP/cgroup.procs", "GROUP/cgroup.procs"]);
        Ok(shell(&self.node, &script)?.lines().next().context("no process")?.parse()?)
    }

    /// Its memory and descriptors, as `/proc` tells them.
    pub(crate) fn resident(&self) -> Result<String> {
        let process = self.process()?;
        let script = format!(
            "grep -E '^(VmRSS|VmHWM|RssAnon|Threads)' /proc/{process}/status; ls /proc/{process}/fd | wc -l"
        );
        Ok(shell(&self.node, &script)?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A script that prints the first of these files of the container's control group, whatever class the pod has.
    fn cat(&self, files: &[&str]) -> String {
        let mut candidates = Vec::new();
        for file in files {
            for class in ["", "burstable/", "besteffort/"] {
                let group = format!("kubepods/{class}pod{}/{}", self.uid, self.id);
                candidates.push(format!("/sys/fs/cgroup/{}", file.replace("GROUP", &group)));
            }
        }
        format!("for f in {}; do [ -e $f ] && exec cat $f; done; exit 1", candidates.join(" "))
    }

    /// Runs a script at a time of the kernel's own clock: it may take seconds to get there.
    fn timed(&self, script: &str) -> Result<(f64, String)> {
        let text = shell(&self.node, &format!("cat /proc/uptime; {script}"))?;
        let (uptime, rest) = text.split_once('\n').context("/proc/uptime")?;
        Ok((uptime.split_whitespace().next().context("seconds")?.parse()?, rest.to_owned()))
    }
}

/// Runs a script of the shell with the kernel of a node: that of this machine, or another's through a pod.
fn shell(node: &str, script: &str) -> Result<String> {
    if std::env::var("TESTBED_NODE").is_ok_and(|own| own == node) {
        return run("sh", &["-c", script], "");
    }
    kubectl(&["-n", "insights-e2e", "exec", &format!("kernel-{node}"), "--", "sh", "-c", script])
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

    /// Stops a collector on the node whose kernel is this machine's.
    pub(crate) fn collector(pod: &str) -> Result<Self> {
        let node = std::env::var("TESTBED_NODE").context("TESTBED_NODE")?;
        let all = running(&node)?;
        let own = all.iter().find(|one| one.pod == pod).with_context(|| format!("{pod} does not run"))?;
        let pid = Pid::from_raw(own.process()?).context("process 0")?;
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
