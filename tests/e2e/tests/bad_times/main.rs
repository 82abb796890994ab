//! The CloudWatch exporters in bad times, through the binary: nothing accepted is lost, nothing comes twice but what
//! nobody heard of, and the counters add up.

#![allow(clippy::print_stderr, reason = "a test program: a test that cannot run says why")]

mod weather;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{CredentialsEndpoint, LOGS, METRICS, QUEUED_METRICS, Scene, Variant};
use libtest_mimic::{Arguments, Trial};
use testkit::cwlogs::{Effect, Rule};
use weather::{WEATHERS, Weather};

/// Clients that send at the same time, each to a stream of its own.
const CLIENTS: usize = 4;
/// Requests of each client.
const REQUESTS: usize = 8;
/// Items of a request.
const ITEMS: u64 = 20;
/// All items of a run.
const TOTAL: usize = CLIENTS * REQUESTS * ITEMS as usize;
/// Tests at the same time.
const THREADS: usize = 6;
/// The most memory that a collector takes whose destination takes nothing, in bytes.
const MEMORY: u64 = 200 << 20;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(THREADS);
    let mut trials = Vec::new();
    for weather in &WEATHERS {
        for variant in [METRICS, QUEUED_METRICS, LOGS] {
            trials.push(trial(weather.name, variant, move |variant| endure(variant, weather)));
        }
    }
    for variant in [METRICS, QUEUED_METRICS, LOGS] {
        trials.push(trial("accepted_before", variant, accepted_before));
        trials.push(trial("one_stream_fails", variant, one_stream_fails));
        trials.push(trial("credentials_expire", variant, credentials_expire));
        trials.push(trial("a_wrong_request_is_dropped", variant, a_wrong_request_is_dropped));
        trials.push(trial("memory_stays_bounded", variant, memory_stays_bounded));
    }
    for variant in [METRICS, LOGS] {
        trials.push(trial("a_full_queue_refuses", variant, a_full_queue_refuses));
    }
    let no_mounts = can_mount().err();
    if let Some(reason) = no_mounts.as_ref().filter(|_| !arguments.list) {
        eprintln!("tests of a full disk are left out: {reason}");
    }
    for variant in [QUEUED_METRICS, LOGS] {
        trials.push(trial("killed_in_the_middle_of_a_push", variant, killed));
        trials.push(trial("killed_again_and_again", variant, killed_again_and_again));
        trials.push(trial("what_is_not_sent_stays_on_disk", variant, stays_on_disk));
        trials.push(trial("full_disk", variant, full_disk).with_ignored_flag(no_mounts.is_some()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, variant: Variant, test: impl FnOnce(Variant) -> Result<()> + Send + 'static) -> Trial {
    Trial::test(format!("{name}::{}", variant.name), move || {
        test(variant).map_err(|error| format!("{error:#}").into())
    })
}

/// Several clients send through a weather; everything arrives, and is counted once.
fn endure(variant: Variant, weather: &Weather) -> Result<()> {
    let scene = Scene::new(variant)?;
    let keys = if variant.keys.contains("retry_on_failure") {
        // A key may be written once only.
        weather
            .keys
            .lines()
            .filter(|line| !line.starts_with("retry_on_failure"))
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        weather.keys.to_owned()
    };
    let collector = scene.collector(&keys)?;
    let mut total = TOTAL;
    if weather.late {
        scene.send_from(CLIENTS, 1, 1)?;
        scene.settle(&collector)?;
        total += CLIENTS;
    }
    (weather.rules)().into_iter().for_each(|rule| scene.service.rule(rule));
    scene.send_from(CLIENTS, REQUESTS, ITEMS)?;
    let balance = scene.settle(&collector)?;
    ensure!(scene.service.inspect(|recorded| recorded.faults) > 0, "no request met a fault");
    ensure!(balance.arrived == total, "{} of {total} items arrived", balance.arrived);
    scene.all_sent(total)?;
    let unheard = ["lost_answers", "no_answers"].contains(&weather.name);
    ensure!(!unheard || !balance.repeated.is_empty(), "what nobody answered has not come again");
    if weather.name == "throttling_storm" {
        let requests = format!("otelcol_exporter_{}_requests", variant.exporter);
        let throttled = scene.counters()?.sum(&requests, "outcome=\"throttled\"");
        ensure!(throttled > 0.0, "throttled requests are not counted");
    }
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// The answer to a request is lost; the next attempt hears that it was accepted.
fn accepted_before(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let collector = scene.collector("")?;
    // Group and stream are there when it counts.
    scene.send("s", 1, 10)?;
    scene.settle(&collector)?;
    scene.service.rule(Rule::put(Effect::ResetAfter).times(1));
    scene.service.rule(Rule::put(Effect::ALREADY_ACCEPTED));
    scene.send("s", ITEMS, 10)?;
    let balance = scene.settle(&collector)?;
    ensure!(balance.repeated.is_empty(), "sent again: {:?}", balance.repeated);
    scene.all_sent(1 + ITEMS as usize)
}

/// A stream that is refused for long waits alone.
fn one_stream_fails(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let collector = scene.collector("")?;
    scene.service.rule(Rule::put(Effect::THROTTLED).stream("bad"));
    std::thread::scope(|scope| -> Result<()> {
        let bad = scope.spawn(|| scene.send("bad", ITEMS, 10));
        scene.until("the bad stream has failed", |scene| {
            Ok(scene.service.inspect(|recorded| recorded.faults) > 0)
        })?;
        scene.send_from(CLIENTS, REQUESTS, ITEMS)?;
        scene.until("the other streams have arrived", |scene| Ok(scene.balance().arrived == TOTAL))?;
        scene.service.recover();
        bad.join().map_err(|_| anyhow::anyhow!("the sender failed"))?
    })?;
    scene.settle(&collector)?;
    scene.all_sent(TOTAL + ITEMS as usize)
}

/// Credentials that hold for long by their own word, but that the service calls expired.
fn credentials_expire(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    scene.service.expire("token-1");
    let credentials = CredentialsEndpoint::start()?;
    let environment = [
        ("AWS_ACCESS_KEY_ID", None),
        ("AWS_SECRET_ACCESS_KEY", None),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Some(credentials.url())),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    let collector = scene.collector_with("", &environment)?;
    scene.send_from(1, 2, ITEMS)?;
    scene.settle(&collector)?;
    ensure!(credentials.handed_out() == 2, "{} credentials were fetched", credentials.handed_out());
    scene.all_sent(2 * ITEMS as usize)?;
    let log = collector.log();
    ensure!(!log.contains("token-") && !log.contains("secret"), "a credential is in the log:\n{log}");
    Ok(())
}

/// No retry would mend it: it is dropped, counted, and what follows is sent.
fn a_wrong_request_is_dropped(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let collector = scene.collector("")?;
    scene.service.rule(Rule::put(Effect::INVALID).times(1));
    let status = scene.send_once("s", ITEMS)?;
    let waits = variant.name == METRICS.name;
    ensure!(status == if waits { 500 } else { 200 }, "answered with {status}");
    scene.until("the drop is counted", |scene| {
        Ok(scene.counter("dropped_events")? == ITEMS as f64 && scene.counter("queued_events")? == 0.0)
    })?;
    let name = format!("otelcol_exporter_{}_dropped_events", variant.exporter);
    let dropped = scene.counters()?.sum(&name, "reason=\"permanent_error\"");
    ensure!(dropped == ITEMS as f64, "{dropped} permanent errors");
    scene.send("s", ITEMS, 10)?;
    scene.until("what follows is sent", |scene| Ok(scene.counter("sent_events")? == ITEMS as f64))?;
    ensure!(scene.counter("received_events")? == 2.0 * ITEMS as f64);
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// 64 MiB for a service that takes nothing.
fn memory_stays_bounded(variant: Variant) -> Result<()> {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 8;
    let scene = Scene::new(variant)?;
    let collector = scene.collector("request_timeout_seconds: 2\n")?;
    scene.service.rule(Rule::put(Effect::Silence));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let scene = &scene;
            scope.spawn(move || {
                for _ in 0..REQUESTS {
                    // About 1 MiB, from clients that do not wait long.
                    scene.offer(&format!("s{client}"), 256, 4_000, Duration::from_secs(1));
                }
            });
        }
    });
    let peak = collector.peak_memory()?;
    ensure!(peak < MEMORY, "{} MiB", peak >> 20);
    scene.service.recover();
    let waits = variant.name == METRICS.name;
    ensure!(waits || scene.accepted() > 0, "nothing was accepted");
    if scene.accepted() > 0 {
        scene.settle(&collector)?;
        let peak = collector.peak_memory()?;
        ensure!(peak < MEMORY, "{} MiB while it was sent", peak >> 20);
    }
    Ok(())
}

/// Killed while some requests are unanswered and others wait.
fn killed(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let folder = tempfile::tempdir()?;
    let mut collector = scene.collector_on_disk(folder.path(), "")?;
    scene.send_from(CLIENTS, 2, ITEMS)?;
    scene.settle(&collector)?;

    scene.service.rule(Rule::put(Effect::NoAnswer).times(2));
    scene.service.rule(Rule::put(Effect::Silence));
    scene.send_from(CLIENTS, REQUESTS, ITEMS)?;
    scene.until("two requests are in the middle", |scene| {
        Ok(scene.service.inspect(|recorded| recorded.puts.iter().filter(|put| !put.answered).count() >= 2))
    })?;
    collector.signal("KILL")?;
    collector.wait()?;

    scene.service.recover();
    collector = scene.collector_on_disk(folder.path(), "")?;
    let balance = scene.settle(&collector)?;
    ensure!(!balance.repeated.is_empty(), "what was unanswered has not come again");
    ensure!(balance.arrived == TOTAL + CLIENTS * 2 * ITEMS as usize);
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// Killed at any moment while clients send: only the one request at the time may come again.
fn killed_again_and_again(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let folder = tempfile::tempdir()?;
    let keys = "num_workers: 1\n";
    scene.service.rule(Rule::put(Effect::Slow(Duration::from_millis(20))));
    for kill in 0..5 {
        let collector = scene.collector_on_disk(folder.path(), keys)?;
        let wanted = scene.service.inspect(|recorded| recorded.puts.len()) + 2 + kill;
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (scene, stream) = (&scene, format!("s{client}"));
                // Until the collector is gone.
                scope.spawn(
                    move || while scene.send_once(&stream, ITEMS).is_ok_and(|status| status == 200) {},
                );
            }
            let killed = scene
                .until("some have arrived", |scene| {
                    Ok(scene.service.inspect(|recorded| recorded.puts.len() >= wanted))
                })
                .and(collector.signal("KILL"));
            collector.wait()?;
            killed
        })?;
        scene.service.client_died();
    }
    scene.service.recover();
    let collector = scene.collector_on_disk(folder.path(), keys)?;
    scene.settle(&collector)?;
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// A queue without room refuses so that the client sends again; what was refused is not counted as lost.
fn a_full_queue_refuses(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let collector = scene.collector("sending_queue: {queue_size: 3}\n")?;
    scene.service.rule(Rule::all(Effect::UNAVAILABLE));
    for expected in [200, 200, 200, 503] {
        let status = scene.send_once("s", ITEMS)?;
        ensure!(status == expected, "answered with {status}, not {expected}");
    }
    let enqueue_failed = if variant.signal == "metrics" { "metric_points" } else { "log_records" };
    let refused = scene.counters()?.sum(&format!("otelcol_exporter_enqueue_failed_{enqueue_failed}"), "");
    ensure!(refused == ITEMS as f64, "{refused} refused items are counted");
    scene.service.recover();
    scene.send("s", ITEMS, 10)?;
    scene.settle(&collector)?;
    scene.all_sent(4 * ITEMS as usize)
}

/// An orderly end while the service refuses everything.
fn stays_on_disk(variant: Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    let folder = tempfile::tempdir()?;
    let collector = scene.collector_on_disk(folder.path(), "")?;
    scene.service.rule(Rule::all(Effect::UNAVAILABLE));
    scene.send_from(CLIENTS, REQUESTS, ITEMS)?;
    ensure!(collector.stop()? == Some(0));
    scene.service.recover();
    let collector = scene.collector_on_disk(folder.path(), "")?;
    let balance = scene.settle(&collector)?;
    ensure!(balance.arrived == TOTAL && balance.repeated.is_empty(), "{balance:?}");
    Ok(())
}

/// With a disk without space nothing is accepted before it is sent; what was taken is kept, and all goes on when there
/// is space again.
fn full_disk(variant: Variant) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let _disk = SmallDisk::mount(folder.path())?;
    let scene = Scene::new(variant)?;
    let collector = scene.collector_on_disk(folder.path(), "")?;
    scene.service.rule(Rule::all(Effect::UNAVAILABLE));
    let patience = Duration::from_secs(2);
    let refused = (0..64).position(|_| !scene.offer("s", 200, 200, patience));
    ensure!(refused.is_some(), "a disk of 1 MiB took everything");
    ensure!(refused != Some(0), "an empty disk takes nothing\n{}", collector.log());
    scene.service.recover();
    scene.settle(&collector)?;
    scene.send("s", ITEMS, 10)?;
    scene.settle(&collector)?;
    ensure!(collector.stop()? == Some(0));
    Ok(())
}

/// A disk of 1 MiB; gone when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder);
        let output = mount.output().context("mount")?;
        ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, as the collector of a failed test may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

/// Only root in a namespace of its own or on the machine can mount.
fn can_mount() -> Result<()> {
    let folder = tempfile::tempdir()?;
    SmallDisk::mount(folder.path()).map(drop)
}
