//! Two collections, a minute apart, of machines made of files: their records must be the expected ones.
//!
//! After a wanted change: `INSTA_UPDATE=always cargo test -p awscontainerinsightreceiver golden`, and read the diff.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use node::{Filesystem, FilesystemUsage, HostPaths};
use pdata::Batch;
use pdata::metrics::{Data, Number, resources};

use super::{Extra, HostSource};
use crate::collector::Moment;
use crate::health::Health;
use crate::identity::Identity;
use crate::instance::Instance;
use crate::record::Records;
use crate::surroundings::{Orchestrator, Surroundings};

/// The first collection: Unix time in nanoseconds.
pub(crate) const TIME: u64 = 1_767_225_660_123_000_000;

struct Case {
    name: &'static str,
    /// The files: `testdata/<tree>-first.tree` and `…-second.tree`.
    tree: &'static str,
    orchestrator: Orchestrator,
    enhanced: bool,
    /// Whether cluster and instance are known.
    known: bool,
}

#[tokio::test]
async fn golden_records() {
    let case =
        Case { name: "eks-v2", tree: "v2", orchestrator: Orchestrator::Eks, enhanced: false, known: true };
    let cases = [
        Case { name: "eks-v1-enhanced", tree: "v1", enhanced: true, ..case },
        Case { name: "eks-unknown", tree: "v2", known: false, ..case },
        Case { name: "ecs-v2", orchestrator: Orchestrator::Ecs, ..case },
        Case {
            name: "plain-without-cgroups",
            tree: "none",
            orchestrator: Orchestrator::None,
            known: false,
            ..case
        },
        case,
    ];
    for case in cases {
        let text = collect_twice(&case).await;
        insta::with_settings!({ snapshot_path => "../../testdata", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(case.name, text);
        });
    }
}

/// What two collections of the machine `tree` are as text. On a thread with a clock of its own, as sizes of filesystems are
/// asked for on one that cannot be paused.
pub(crate) fn collected(tree: &'static str, enhanced: bool) -> String {
    let case = Case { name: tree, tree, orchestrator: Orchestrator::Eks, enhanced, known: true };
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(collect_twice(&case))
    });
    thread.join().unwrap()
}

async fn collect_twice(case: &Case) -> String {
    let root = tempfile::tempdir().unwrap();
    let paths = paths_below(root.path());
    lay_out(root.path(), &format!("{}-first", case.tree));

    let known = |text: &str| case.known.then(|| text.to_owned());
    let surroundings = Surroundings {
        orchestrator: case.orchestrator,
        orchestrator_from: "",
        node_name: Some("ip-10-0-1-20.ec2.internal".to_owned()),
        node_name_from: "",
        cluster_name: known("demo"),
        cluster_name_from: "",
        kubelet: None,
        namespace: None,
        address: None,
    };
    let mut identity = Identity::new(&surroundings, paths.sys.clone());
    identity.set_instance(&Instance {
        id: known("i-0aa11bb22cc33dd44"),
        kind: known("m6i.large"),
        availability_zone: known("us-east-1b"),
        ..Instance::default()
    });
    let mut host = HostSource::new(paths, case.orchestrator, case.enhanced);
    host.set_sizes(size);
    let mut health = Health::default();
    host.open(&mut health);

    let mut text = String::new();
    let mut records = Records::default();
    for (minute, stage) in ["first", "second"].into_iter().enumerate() {
        lay_out(root.path(), &format!("{}-{stage}", case.tree));
        let passed = Duration::from_secs(60 * minute as u64);
        let at = Moment { unix_nano: TIME + passed.as_nanos() as u64, monotonic: passed };
        host.collect(at, Extra::default(), &identity, &mut health, &mut records).await;
        assert_eq!(health.take_failures(), 0, "{} {stage}", case.name);
        let batch = records.take();
        let _ = writeln!(text, "# {stage}: {} points", batch.items());
        text.push_str(&lines(&batch));
    }
    text
}

/// The size of a filesystem that is not there.
pub(crate) fn size(filesystem: &Filesystem) -> Result<FilesystemUsage, node::Error> {
    Ok(match &*filesystem.device {
        "/dev/nvme0n1p1" => FilesystemUsage {
            capacity: 80_000_000_000,
            usage: 20_000_000_000,
            available: 60_000_000_000,
            inodes: 39_062_500,
            inodes_free: 38_900_000,
        },
        // A filesystem without a size and without inodes of a fixed number.
        "/dev/nvme1n1" => FilesystemUsage::default(),
        _ => FilesystemUsage {
            capacity: 4_096_000_000,
            available: 4_096_000_000,
            ..FilesystemUsage::default()
        },
    })
}

/// A machine whose files are below `root`.
pub(crate) fn paths_below(root: &Path) -> HostPaths {
    HostPaths {
        proc: root.join("proc"),
        sys: root.join("sys"),
        cgroup: root.join("sys/fs/cgroup"),
        root: root.to_path_buf(),
    }
}

/// Writes the files of a tree: `==== <path>` before the content of each.
pub(crate) fn lay_out(root: &Path, tree: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(tree).with_extension("tree");
    let text = std::fs::read_to_string(path).unwrap();
    for file in text.split("==== ").skip(1) {
        let (name, content) = file.split_once('\n').unwrap();
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A record per paragraph: its attributes, then its metrics with unit and time.
pub(crate) fn lines(batch: &Batch) -> String {
    let mut text = String::new();
    for resource in resources(batch) {
        for attribute in resource.resource().attributes() {
            let _ = writeln!(text, "{} = {}", attribute.key, attribute.value.as_str().unwrap());
        }
        let scopes: Vec<_> = resource.scopes().collect();
        assert!(scopes.len() == 1, "all metrics are in one scope");
        for metric in scopes[0].metrics() {
            let Data::Gauge(points) = metric.data else { panic!("{} is no gauge", metric.name) };
            let [point] = points.numbers().collect::<Vec<_>>().try_into().unwrap();
            let value = match point.value.unwrap() {
                Number::Int(value) => format!("int {value}"),
                Number::Double(value) => format!("double {value}"),
            };
            let _ = writeln!(text, "  {}: {value} {:?} @{}", metric.name, metric.unit, point.time_unix_nano);
        }
    }
    text
}
