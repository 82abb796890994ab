//! Many pods, pods that come and go, and an API server that does, too.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::api::{Api, Process, Stopped};
use crate::bed::{Bed, GRACE, fake_pods, request, text};
use crate::churn::{ADDRESSES, Answers, Pods, is_of};
use crate::exchange::Sender;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How late a change may be told, on a machine that does everything else at the same time.
const LATENCY: Duration = Duration::from_secs(5);

/// Every pod's attributes are right, and what it costs.
pub(crate) fn every_pod(count: usize) -> Result<()> {
    let base = Bed::start(false, true)?.memory()?.0;
    let bed = Bed::start(true, false)?;
    let (ready, cpu, memory) = (bed.age(), bed.collector.cpu_seconds()?, bed.memory()?);
    sleep(Duration::from_secs(5));
    let settled = bed.memory()?;
    eprintln!(
        "{count} pods: ready after {:.2} s, {cpu:.2} s of CPU; memory {:.1} MiB at once, {:.1} MiB settled, at most \
         {:.1} MiB; {base:.1} MiB without pods",
        ready.as_secs_f64(),
        memory.0,
        settled.0,
        settled.1
    );
    let pods = fake_pods(&Api::start()?, count)?;
    bed.check(&pods)?;
    eprintln!("every attribute of all {} pods is right", pods.len());
    let uids: Vec<(&str, &str)> =
        pods.iter().map(|pod| ("k8s.pod.uid", text(&pod["metadata"]["uid"]))).collect();
    // Neighbours in a request are neighbours of no list.
    let stride = 7919;
    let spread: Vec<(&str, &str)> = (0..uids.len()).map(|at| uids[at * stride % uids.len()]).collect();
    let without = cost(&bed, &bed.without, &spread)?;
    let with = cost(&bed, &bed.with, &spread)?;
    eprintln!(
        "a resource by uid: {:.0} ns of CPU from socket to end with the processor, {:.0} ns without; {:.0} in a second",
        with.0 * 1e9,
        without.0 * 1e9,
        with.1
    );
    ensure!(bed.collector.stop()? == Some(0), "the collector did not end well");
    Ok(())
}

/// CPU seconds for a resource, and resources in a second.
fn cost(bed: &Bed, sender: &Sender, resources: &[(&str, &str)]) -> Result<(f64, f64)> {
    let bodies: Result<Vec<_>> = resources.chunks(5000).map(request).collect();
    let bodies = bodies?;
    let begin = Instant::now();
    let cpu = bed.collector.cpu_seconds()?;
    let mut sent = 0;
    while begin.elapsed() < Duration::from_secs(10) {
        for body in &bodies {
            sender.send(LOCALHOST, "/v1/logs", "application/x-protobuf", body)?;
        }
        sent += resources.len();
    }
    let cpu = bed.collector.cpu_seconds()? - cpu;
    Ok((cpu / sent as f64, sent as f64 / begin.elapsed().as_secs_f64()))
}

/// Pods are replaced by others with their addresses, 100 in a second for a minute, or as fast as the API server can. No answer
/// is ever about another pod.
pub(crate) fn churn(count: usize) -> Result<()> {
    let _controllers = (Stopped::new("kube-controller-manager")?, Stopped::new("kube-scheduler")?);
    let bed = Bed::start(true, false)?;
    let pods = Pods::new(Api::start()?)?;
    bed.until_right(&pods.current(), Duration::from_secs(30))?;
    // What questions and answers take once is not to be taken for what pods leave behind.
    replace_and_ask(&bed, &pods, Duration::from_secs(10))?;
    sleep(GRACE + Duration::from_secs(40));
    let (before, cpu) = (bed.memory()?, bed.collector.cpu_seconds()?);
    replace_and_ask(&bed, &pods, Duration::from_secs(60))?;
    let (during, cpu) = (bed.memory()?, bed.collector.cpu_seconds()? - cpu);
    bed.until_right(&pods.current(), LATENCY)?;
    sleep(GRACE + Duration::from_secs(40));
    nobody(&bed, &pods.gone())?;
    let after = bed.memory()?;
    eprintln!(
        "{} pods, {cpu:.2} s of CPU with all questions; memory {:.1} MiB before, {:.1} MiB at the end, {:.1} MiB after, \
         at most {:.1} MiB",
        count + ADDRESSES,
        before.0,
        during.0,
        after.0,
        after.1
    );
    ensure!(after.0 <= before.0 * 1.1, "memory is not back to {:.1} MiB", before.0);
    let last = pods.current();
    pods.remove()?;
    sleep(GRACE + Duration::from_secs(40));
    nobody(&bed, &last)?;
    ensure!(bed.collector.stop()? == Some(0), "the collector did not end well");
    Ok(())
}

/// Replaces pods and asks all the time.
fn replace_and_ask(bed: &Bed, pods: &Pods, duration: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut answers = Answers::default();
    let mut by_uid = 0;
    let replaced = std::thread::scope(|scope| {
        let churn = scope.spawn(|| pods.churn(100, duration));
        let mut asked: Result<()> = Ok(());
        let mut round = 0;
        while !churn.is_finished() {
            if asked.is_ok() {
                asked = ask(bed, pods, round, &mut answers, &mut by_uid);
            }
            round += 1;
            sleep(Duration::from_millis(10));
        }
        let replaced = churn.join().map_err(|_| anyhow::anyhow!("the churn failed"))?;
        asked.and(replaced)
    })?;
    let took = begin.elapsed().as_secs_f64();
    eprintln!(
        "{replaced} pods were replaced in {took:.1} s ({:.0} in a second), {by_uid} answers by uid; by address: {}",
        replaced as f64 / took,
        answers.tell()
    );
    ensure!(answers.missing() == 0, "{} addresses without an owner", answers.missing());
    ensure!(answers.longest() <= LATENCY, "an owner was answered {:?} after its end", answers.longest());
    Ok(())
}

/// Asks about a part of the addresses, and about who had them and has them.
fn ask(bed: &Bed, pods: &Pods, round: usize, answers: &mut Answers, by_uid: &mut usize) -> Result<()> {
    let slots: Vec<usize> = (0..200).map(|at| (round * 200 + at) % ADDRESSES).collect();
    let known: Vec<_> = slots.iter().flat_map(|slot| pods.owners(*slot).into_iter().rev().take(2)).collect();
    let addresses: Vec<String> = slots.iter().map(|slot| Pods::address(*slot)).collect();
    let questions: Vec<(&str, &str)> = addresses
        .iter()
        .map(|address| ("k8s.pod.ip", address.as_str()))
        .chain(known.iter().map(|owner| ("k8s.pod.uid", text(&owner.pod["metadata"]["uid"]))))
        .collect();
    let begin = Instant::now();
    let told = bed.ask(&questions)?;
    let (of_addresses, of_uids) = told.split_at(slots.len());
    for (slot, answer) in slots.iter().zip(of_addresses) {
        answers.judge(begin, &pods.owners(*slot), answer).with_context(|| Pods::address(*slot))?;
    }
    for (owner, answer) in known.iter().zip(of_uids) {
        // One that is not known yet, or gone for longer than the grace period, has no name.
        if answer.contains_key("k8s.pod.name") {
            is_of(&owner.pod, answer)?;
            *by_uid += 1;
        }
    }
    Ok(())
}

/// None of these pods is found any more.
fn nobody(bed: &Bed, pods: &[Value]) -> Result<()> {
    for some in pods.chunks(1000) {
        let uids: Vec<(&str, &str)> =
            some.iter().map(|pod| ("k8s.pod.uid", text(&pod["metadata"]["uid"]))).collect();
        for answer in bed.ask(&uids)? {
            ensure!(!answer.contains_key("k8s.pod.name"), "still there: {answer:?}");
        }
    }
    Ok(())
}

/// The API server stands still, ends in the middle of everything, and forgets its history. What was known stays known.
pub(crate) fn interruptions(count: usize) -> Result<()> {
    let _controllers = (Stopped::new("kube-controller-manager")?, Stopped::new("kube-scheduler")?);
    let pods = Pods::new(Api::start()?)?;
    let fake = fake_pods(&Api::start()?, count)?;

    let cut = Bed::start(false, false)?;
    sleep(Duration::from_millis(300));
    Process::of_cluster("kube-apiserver")?.kill()?;
    sleep(Duration::from_secs(1));
    start_again()?;
    let took = cut.until_right(&fake, Duration::from_secs(60))?;
    eprintln!(
        "the first list was interrupted: everything is known {:.1} s after the server is back",
        took.as_secs_f64()
    );
    ensure!(cut.collector.stop()? == Some(0), "the collector did not end well");

    let bed = Bed::start(true, false)?;
    let before = bed.memory()?.0;
    let stopped = Stopped::new("kube-apiserver")?;
    for _ in 0..10 {
        bed.check(&fake)?;
        sleep(Duration::from_secs(1));
    }
    drop(stopped);
    pods.replace_first(10)?;
    let took = bed.until_right(&pods.current(), Duration::from_secs(60))?;
    eprintln!("the server stood still: changes are known {:.1} s later", took.as_secs_f64());

    Process::of_cluster("kube-apiserver")?.kill()?;
    for _ in 0..5 {
        bed.check(&fake)?;
        sleep(Duration::from_secs(1));
    }
    start_again()?;
    pods.replace_first(10)?;
    let took = bed.until_right(&pods.current(), Duration::from_secs(90))?;
    bed.check(&fake)?;
    eprintln!("the server ended and came back: changes are known {:.1} s later", took.as_secs_f64());

    bed.collector.signal("STOP")?;
    pods.replace_first(500)?;
    Process::of_cluster("kube-apiserver")?.kill()?;
    let forgotten = compact();
    start_again()?;
    bed.collector.signal("CONT")?;
    let forgotten = forgotten?;
    bed.check(&fake)?;
    let took = bed.until_right(&pods.current(), Duration::from_secs(90))?;
    bed.check(&fake)?;
    eprintln!(
        "history before revision {forgotten} was forgotten: changes are known {:.1} s later",
        took.as_secs_f64()
    );
    sleep(GRACE + Duration::from_secs(40));
    nobody(&bed, &pods.gone())?;
    let after = bed.memory()?;
    eprintln!("memory {before:.1} MiB before, {:.1} MiB after, at most {:.1} MiB", after.0, after.1);
    ensure!(after.0 <= before * 1.1 + 4.0, "memory is not back to {before:.1} MiB");
    eprintln!("what the collector told:\n{}", bed.collector.log());
    pods.remove()?;
    ensure!(bed.collector.stop()? == Some(0), "the collector did not end well");
    Ok(())
}

/// Starts what is missing of the cluster: more than once if the port of what ended is not free yet.
fn start_again() -> Result<()> {
    let command = std::env::var("TESTBED_UP").context("TESTBED_UP")?;
    for attempt in 1.. {
        let output = Command::new("sh").args(["-c", &command]).output()?;
        if output.status.success() {
            break;
        }
        if attempt == 10 {
            bail!("{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Has etcd forget all but the newest versions; the newest revision.
fn compact() -> Result<String> {
    let etcd = "127.0.0.1:2379".parse()?;
    let call = |path: &str, body: &str| {
        let answer =
            e2e::request(etcd, "POST", path, &[("content-type", "application/json")], body.as_bytes())?;
        ensure!(answer.status == 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        anyhow::Ok(serde_json::from_slice::<Value>(&answer.body)?)
    };
    let revision = text(&call("/v3/kv/range", r#"{"key":"AA=="}"#)?["header"]["revision"]).to_owned();
    call("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}"}}"#))?;
    Ok(revision)
}
