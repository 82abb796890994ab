//! The Kubernetes attributes processor with a real API server.
//!
//! `equals_the_reference…` compares it, attribute by attribute, with the implementation that it stands in for, in the program
//! of `tests/crosscheck/k8sattributes`. Needed: a test cluster without other load whose processes run on this machine, `KUBECONFIG`
//! (its administrator's, in a folder with `kube-controller-manager.pid` and so on), `TESTBED_API` (the URL of the API
//! server), `kubectl` and `go` on the path, and the Go module proxy or a filled module cache.
//!
//! `scale_…` needs the same but for Go, and `TESTBED_SCALE`: how many pods of Deployments are in the namespace `fake`.
//! `TESTBED_UP` is the command that starts what is missing of the cluster again. Figures go to standard error;
//! with `INSIGHTS_BINARY`, the path of a release build, they are those of a release.
//!
//! Without these the tests are listed as ignored.

#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test program; a missing member of a JSON value is null"
)]

mod api;
mod bed;
mod churn;
mod crosscheck;
mod differences;
mod exchange;
mod scale;

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};

const V1: &str = "processor.k8sattributes.EmitV1K8sConventions";
const NO_V0: &str = "processor.k8sattributes.DontEmitV0K8sConventions";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one cluster.
    arguments.test_threads = Some(1);
    let cluster = ["KUBECONFIG", "TESTBED_API"].iter().find(|name| std::env::var_os(name).is_none());
    let scale = std::env::var("TESTBED_SCALE").ok().and_then(|pods| pods.parse().ok());
    let cannot_compare = match cluster {
        Some(name) => Some(format!("{name} is not set")),
        None if !has_go() => Some("there is no go".to_owned()),
        None => None,
    };
    if let Some(reason) = cannot_compare.as_ref().filter(|_| !arguments.list) {
        eprintln!("skipped: {reason}");
    }
    let compare = |name: &str, gates: &'static [&'static str]| {
        Trial::test(name, move || told(crosscheck::run(gates))).with_ignored_flag(cannot_compare.is_some())
    };
    let at_scale = |name: &str, test: fn(usize) -> Result<()>| {
        let ignored = cluster.is_some() || scale.is_none();
        Trial::test(name, move || told(test(scale.unwrap_or_default()))).with_ignored_flag(ignored)
    };
    let trials = vec![
        compare("equals_the_reference", &[]),
        compare("equals_the_reference_with_newer_names", &[V1]),
        compare("equals_the_reference_with_newer_names_only", &[V1, NO_V0]),
        at_scale("scale_every_pod_is_right", scale::every_pod),
        at_scale("scale_pods_come_and_go", scale::churn),
        at_scale("scale_the_api_server_goes_and_comes", scale::interruptions),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn told(outcome: Result<()>) -> Result<(), libtest_mimic::Failed> {
    outcome.map_err(|error| format!("{error:#}").into())
}

fn has_go() -> bool {
    let version = Command::new("go").arg("version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
