//! Control groups of tasks, version 1 and 2, made of files.

use std::path::Path;

use super::*;

const DOCKER: &str = "9581a69a761a557fbfce1d0f6745e4af5b9dbfb86b6b2c5c4df156f1a5932ff1";

fn task(id: &str, known_status: &str, docker_ids: &[&str]) -> AgentTask {
    AgentTask {
        arn: format!("arn:aws:ecs:us-east-1:111122223333:task/demo/{id}"),
        known_status: known_status.to_owned(),
        docker_ids: docker_ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn lay_out(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{content}\n")).unwrap();
    }
}

const V1: &[(&str, &str)] =
    &[("cpu/cpu.shares", "1024"), ("memory/memory.usage_in_bytes", "1"), ("cpuacct/x", "")];
const V2: &[(&str, &str)] = &[("cgroup.controllers", "cpu memory")];

fn check(
    version: &[(&str, &str)],
    files: &[(&str, &str)],
    tasks: &[AgentTask],
    expected: (u64, Option<(u64, u64)>),
) {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path(), version);
    lay_out(root.path(), files);
    let cgroups = Cgroups::detect(root.path()).unwrap();
    let Reserved { running_tasks, resources } =
        Reserved::read(tasks, "demo", Some(&cgroups), &mut Buffer::new());
    let resources = resources.map(|resources| (resources.cpu, resources.memory));
    assert_eq!((running_tasks, resources), expected, "{files:?} {tasks:?}");
}

#[test]
fn version_1() {
    let unlimited = "9223372036854771712";
    let one = |files: &[(&str, &str)], expected| {
        check(V1, files, &[task("1f", "RUNNING", &[DOCKER])], (1, Some(expected)));
    };
    // A quota counts, rounded up; without one the shares do.
    one(
        &[
            ("cpu/ecs/1f/cpu.cfs_quota_us", "33333"),
            ("cpu/ecs/1f/cpu.cfs_period_us", "100000"),
            ("cpu/ecs/1f/cpu.shares", "512"),
            ("memory/ecs/1f/memory.limit_in_bytes", "268435456"),
        ],
        (342, 268_435_456),
    );
    one(
        &[
            ("cpu/ecs/1f/cpu.cfs_quota_us", "-1"),
            ("cpu/ecs/1f/cpu.cfs_period_us", "100000"),
            ("cpu/ecs/1f/cpu.shares", "512"),
            ("memory/ecs/1f/memory.limit_in_bytes", unlimited),
        ],
        (512, 0),
    );
    // Two shares are nobody's wish.
    one(&[("cpu/ecs/1f/cpu.shares", "2"), ("memory/ecs/1f/x", "")], (0, 0));
    // Where the task has no limit its containers may have, the soft one first.
    let container = |limit: &str, soft: &str, expected| {
        let files = [
            ("memory/ecs/1f/memory.limit_in_bytes", unlimited),
            (&format!("memory/ecs/1f/{DOCKER}/memory.limit_in_bytes") as &str, limit),
            (&format!("memory/ecs/1f/{DOCKER}/memory.soft_limit_in_bytes"), soft),
        ];
        one(&files, (0, expected));
    };
    container("4096", "1024", 1024);
    container("4096", unlimited, 4096);
    container(unlimited, unlimited, 0);
    // Old agents have the cluster in the path, each controller for itself.
    one(
        &[("cpu/ecs/demo/1f/cpu.shares", "100"), ("memory/ecs/1f/memory.limit_in_bytes", "4096")],
        (100, 4096),
    );
}

#[test]
fn version_2() {
    let slice = "ecstasks.slice/ecstasks-1f.slice";
    let one = |files: &[(&str, &str)], expected| {
        let files: Vec<_> =
            files.iter().map(|(name, content)| (format!("{slice}/{name}"), *content)).collect();
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        check(V2, &files, &[task("1f", "RUNNING", &[DOCKER])], (1, Some(expected)));
    };
    one(&[("cpu.max", "33333 100000"), ("cpu.weight", "100"), ("memory.max", "4096")], (342, 4096));
    one(&[("cpu.max", "max 100000"), ("cpu.weight", "39"), ("memory.max", "max")], (998, 0));
    one(&[("cpu.max", "max 100000"), ("cpu.weight", "1")], (0, 0));
    let scope = format!("docker-{DOCKER}.scope");
    one(
        &[
            ("memory.max", "max"),
            (&format!("{scope}/memory.low"), "1024"),
            (&format!("{scope}/memory.max"), "4096"),
        ],
        (0, 1024),
    );
    one(
        &[
            ("memory.max", "max"),
            (&format!("{scope}/memory.low"), "0"),
            (&format!("{scope}/memory.max"), "4096"),
        ],
        (0, 4096),
    );
    check(
        V2,
        &[("ecs/demo/1f/cpu.max", "50000 100000"), ("ecs/demo/1f/memory.max", "7")],
        &[task("1f", "RUNNING", &[])],
        (1, Some((512, 7))),
    );
}

#[test]
fn several_tasks() {
    let files = [
        ("ecstasks.slice/ecstasks-1.slice/cpu.max", "100000 100000"),
        ("ecstasks.slice/ecstasks-1.slice/memory.max", "1000"),
        ("ecstasks.slice/ecstasks-2.slice/cpu.max", "100000 100000"),
        ("ecstasks.slice/ecstasks-2.slice/memory.max", "500"),
    ];
    let tasks = |statuses: [&str; 3]| {
        ["1", "2", "3"].into_iter().zip(statuses).map(|(id, s)| task(id, s, &[])).collect::<Vec<_>>()
    };
    check(V2, &files, &tasks(["RUNNING", "RUNNING", "STOPPED"]), (2, Some((2048, 1500))));
    // A task that starts or ends has its reservation as long as it has a control group.
    check(V2, &files, &tasks(["RUNNING", "CREATED", "PENDING"]), (1, Some((2048, 1500))));
    check(V2, &[], &tasks(["STOPPED", "STOPPED", "STOPPED"]), (0, Some((0, 0))));
    // Tasks run, and none of them is seen.
    check(V2, &[], &tasks(["RUNNING", "STOPPED", "STOPPED"]), (1, None));
    assert_eq!(
        Reserved::read(&tasks(["RUNNING"; 3]), "demo", None, &mut Buffer::new()),
        Reserved { running_tasks: 3, resources: None }
    );
}

#[test]
fn numbers_without_sense_do_no_harm() {
    let most = u64::MAX.to_string();
    let (quota, files) = (format!("{most} 1"), "ecstasks.slice/ecstasks-1f.slice");
    check(
        V2,
        &[(&format!("{files}/cpu.max"), &quota), (&format!("{files}/memory.max"), &most)],
        &[task("1f", "RUNNING", &[]), task("1f", "RUNNING", &[])],
        (2, Some((u64::MAX, u64::MAX))),
    );
    check(
        V2,
        &[(&format!("{files}/cpu.max"), "0 0"), (&format!("{files}/memory.max"), "-5")],
        &[task("1f", "RUNNING", &[])],
        (1, Some((0, 0))),
    );
}

#[test]
fn names_cannot_lead_elsewhere() {
    for id in ["..", ".", "a.b", "a b", ""] {
        assert!(!is_name(id), "{id}");
    }
    let files = [("cpu.max", "100000 100000"), ("memory.max", "9")];
    check(V2, &files, &[task("..", "RUNNING", &[".."])], (1, None));
}
