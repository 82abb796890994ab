//! Who leads, among candidates of ours and those that client-go makes, in the program of `tests/crosscheck/leases`.
//!
//! Needed: `KUBECONFIG` and `TESTBED_API` (the URL of the API server) of a cluster that may be written to, `kubectl` and `go` on the
//! path, and the Go module proxy or a filled module cache. Without them the tests are listed as ignored.

#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test program; a missing member of a JSON value is null"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use component::Host;
use k8s::{ApiServer, ApiServerConfig, Election, ElectionConfig, Leadership, Lock};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

const NAMESPACE: &str = "default";
const LEASE: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(4);
const RETRY: Duration = Duration::from_secs(1);
/// What a leader's end may take to be noticed: others begin to count when they see its last renewal, and client-go's
/// retries are up to 2.2 times as far apart.
const NOTICED: Duration = Duration::from_secs(15);

/// A candidate of client-go; it ends without a word when this is dropped.
struct Theirs {
    child: Child,
    lines: Receiver<String>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let cluster = ["KUBECONFIG", "TESTBED_API"].iter().find(|name| std::env::var_os(name).is_none());
    let go =
        Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    let ignored = cluster.is_some() || !go;
    if ignored && !arguments.list {
        eprintln!(
            "skipped: {}",
            cluster.map_or("there is no go".to_owned(), |name| format!("{name} is not set"))
        );
    }
    let trial = |name: &str, kind: &'static str| {
        Trial::test(name, move || turns(kind).map_err(|error| format!("{error:#}").into()))
            .with_ignored_flag(ignored)
    };
    let trials =
        vec![trial("a_lease_changes_hands", "lease"), trial("an_annotation_changes_hands", "configmap")];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// They lead and die; we lead and resign; they lead again; we follow, lead again, and die; they lead.
fn turns(kind: &'static str) -> Result<()> {
    let program = build()?;
    let name = format!("crosscheck-{kind}");
    let object = [kind, &name, "-n", NAMESPACE];
    kubectl(&[&["delete", "--ignore-not-found"], &object[..]].concat())?;
    let lock = match kind {
        "lease" => Lock::Lease { namespace: NAMESPACE.to_owned(), name: name.clone() },
        _ => Lock::ConfigMap { namespace: NAMESPACE.to_owned(), name: name.clone() },
    };
    let theirs = |identity: &str| Theirs::start(&program, kind, &name, identity);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let first = theirs("theirs-1")?;
        first.leads(NOTICED)?;
        let mut ours = ours(lock.clone())?;
        tokio::time::sleep(LEASE * 2).await;
        ensure!(!ours.is_leader(), "two lead");
        drop(first);
        let took = leads(&mut ours).await?;
        holder(&object, "ours", 1)?;
        eprintln!("{kind}: they died, ours leads {took:?} later");

        let second = theirs("theirs-2")?;
        tokio::time::sleep(LEASE * 2).await;
        ensure!(ours.is_leader() && second.lines.try_recv().is_err(), "two lead, or ours gave up");
        ours.stop().await;
        let took = second.leads(LEASE)?;
        holder(&object, "theirs-2", 2)?;
        eprintln!("{kind}: ours resigned, they lead {took:?} later");

        let mut ours = self::ours(lock)?;
        drop(second);
        leads(&mut ours).await?;
        let third = theirs("theirs-3")?;
        tokio::time::sleep(LEASE).await;
        drop(ours);
        let took = third.leads(NOTICED)?;
        holder(&object, "theirs-3", 4)?;
        eprintln!("{kind}: ours died, they lead {took:?} later");
        anyhow::Ok(())
    })?;
    kubectl(&[&["delete"], &object[..]].concat()).map(drop)
}

fn ours(lock: Lock) -> Result<Leadership> {
    let api = ApiServer::new(ApiServerConfig::from_kubeconfig(None, None)?)?;
    let mut config = ElectionConfig::new("ours");
    (config.lease_duration, config.renew_deadline, config.retry_period) = (LEASE, RENEW, RETRY);
    Ok(Election::start(api, &Host::standalone(), lock, config)?)
}

async fn leads(ours: &mut Leadership) -> Result<Duration> {
    let begin = Instant::now();
    let led = tokio::time::timeout(NOTICED, ours.changed()).await.context("ours does not lead")?;
    ensure!(led, "ours does not lead");
    Ok(begin.elapsed())
}

/// What the object says, as both understand it.
fn holder(object: &[&str], identity: &str, transitions: u64) -> Result<()> {
    let object: Value = serde_json::from_str(&kubectl(&[&["get", "-o", "json"], object].concat())?)?;
    let annotation = &object["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"];
    let (record, count) = match annotation.as_str() {
        Some(text) => (serde_json::from_str(text)?, "leaderTransitions"),
        None => (object["spec"].clone(), "leaseTransitions"),
    };
    ensure!(record["holderIdentity"] == identity && record[count] == transitions, "{record}");
    Ok(())
}

fn build() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("crosscheck-leases");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crosscheck/leases");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(folder);
    ensure!(build.status().context("go build")?.success(), "the other candidate does not build");
    Ok(program)
}

fn kubectl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("kubectl").args(arguments).output().context("kubectl")?;
    ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

impl Theirs {
    fn start(program: &Path, kind: &str, name: &str, identity: &str) -> Result<Self> {
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        let mut child = Command::new(program)
            .args([kind, NAMESPACE, name, identity, &seconds(LEASE), &seconds(RENEW), &seconds(RETRY)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("stdout")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines })
    }

    fn leads(&self, patience: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let line = self.lines.recv_timeout(patience).context("they do not lead")?;
        ensure!(line == "leading", "{line}");
        Ok(begin.elapsed())
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
