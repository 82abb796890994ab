//! An EC2 that answers by a script, on a paused clock.

use std::collections::VecDeque;
use std::sync::Mutex;

use aws::ec2::Volume;
use component::{BoxError, async_trait};
use testkit::LogCapture;
use tokio::time::Instant;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// What is answered to each question in turn, the last one for ever; and when, in minutes, it was asked.
#[derive(Default)]
struct Script<T> {
    answers: Mutex<VecDeque<Result<Vec<T>, &'static str>>>,
    asked: Mutex<Vec<u64>>,
}

struct Scripted {
    start: Instant,
    tags: Script<Tag>,
    volumes: Script<Volume>,
}

impl<T: Clone> Script<T> {
    fn of(answers: Vec<Result<Vec<T>, &'static str>>) -> Self {
        Self { answers: Mutex::new(answers.into()), asked: Mutex::default() }
    }

    fn answer(&self, start: Instant) -> Result<Vec<T>, BoxError> {
        self.asked.lock().unwrap().push(start.elapsed().as_secs() / 60);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(answer.unwrap_or(Ok(Vec::new()))?)
    }
}

#[async_trait]
impl Questions for Scripted {
    async fn tags(&self, instance: &Instance) -> Result<Vec<Tag>, BoxError> {
        assert_eq!(instance.id.as_deref(), Some("i-1"));
        self.tags.answer(self.start)
    }

    async fn volumes(&self, instance: &Instance) -> Result<Vec<Volume>, BoxError> {
        assert_eq!(instance.id.as_deref(), Some("i-1"));
        self.volumes.answer(self.start)
    }

    async fn instance(&self, _instance: &Instance) -> Result<Option<aws::ec2::Instance>, BoxError> {
        Err("not asked here".into())
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}

fn both() -> Vec<Tag> {
    vec![tag("eks:cluster-name", "demo"), tag(GROUP_TAG, "group")]
}

/// What a machine with these disks has learned after some time.
struct Learned {
    cluster_name: Option<String>,
    group: Option<String>,
    of_xvda: Option<String>,
    asked_for_tags: Vec<u64>,
    asked_for_volumes: Vec<u64>,
    /// What was logged at the level of warnings.
    warnings: Vec<String>,
    /// All texts that were logged.
    log: String,
}

struct Case {
    tags: Vec<Result<Vec<Tag>, &'static str>>,
    volumes: Vec<Result<Vec<Volume>, &'static str>>,
    disks: &'static [&'static str],
    needs_cluster_name: bool,
    is_instance: bool,
    minutes: u32,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            tags: vec![],
            volumes: vec![],
            disks: &[],
            needs_cluster_name: true,
            is_instance: true,
            minutes: 30,
        }
    }
}

impl Case {
    async fn run(self) -> Learned {
        let capture = LogCapture::begin();
        let root = tempfile::tempdir().unwrap();
        let paths = crate::host::golden_tests::paths_below(root.path());
        for disk in self.disks {
            std::fs::create_dir_all(paths.sys.join("block").join(disk)).unwrap();
        }
        let questions = Arc::new(Scripted {
            start: Instant::now(),
            tags: Script::of(self.tags),
            volumes: Script::of(self.volumes),
        });
        let id = self.is_instance.then(|| "i-1".to_owned());
        let (_known, instance) = watch::channel(Instance { id, ..Instance::default() });
        let (facts, learned) = watch::channel(Facts::default());
        let asked = CancellationToken::new();
        asked.cancel();
        let watching = Watching {
            questions: Arc::clone(&questions) as Arc<dyn Questions>,
            instance,
            asked,
            needs_cluster_name: self.needs_cluster_name,
            interval: MINUTE,
            paths,
            host: "a-host".to_owned(),
            facts,
        };
        let time = MINUTE * self.minutes + Duration::from_secs(10);
        tokio::time::timeout(time, watching.run()).await.unwrap_err();
        let Facts { cluster_name, auto_scaling_group, volumes } = learned.borrow().clone();
        let lines = capture.lines();
        let warnings = lines.iter().filter(|line| line.level == tracing::Level::WARN);
        Learned {
            cluster_name,
            group: auto_scaling_group,
            of_xvda: volumes.of("/dev/xvda1").map(str::to_owned),
            asked_for_tags: questions.tags.asked.lock().unwrap().clone(),
            asked_for_volumes: questions.volumes.asked.lock().unwrap().clone(),
            warnings: warnings.map(|line| format!("{line:?}")).collect(),
            log: format!("{lines:?}"),
        }
    }
}

#[test]
fn names_of_clusters() {
    fn check(tags: &[(&str, &str)], expected: Option<&str>) {
        let tags: Vec<_> = tags.iter().map(|(key, value)| tag(key, value)).collect();
        assert_eq!(cluster_name(&tags).as_deref(), expected, "{tags:?}");
    }
    check(&[], None);
    check(&[("kubernetes.io/cluster/a", "owned")], Some("a"));
    check(&[("kubernetes.io/cluster/a", "shared")], None);
    check(&[("kubernetes.io/cluster/", "owned")], None);
    check(&[("kubernetes.io/cluster/a", "owned"), ("kubernetes.io/cluster/b", "owned")], Some("b"));
    check(&[("kubernetes.io/cluster/a", "owned"), ("eks:cluster-name", "b")], Some("b"));
    check(&[("eks:cluster-name", "b"), ("aws:eks:cluster-name", "c")], Some("c"));
    check(&[("eks:cluster-name", "b"), ("aws:eks:cluster-name", "")], Some("b"));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_asked_for_again() {
    let learned = Case { tags: vec![Ok(both())], ..Case::default() }.run().await;
    assert_eq!((learned.cluster_name.as_deref(), learned.group.as_deref()), (Some("demo"), Some("group")));
    assert_eq!(learned.asked_for_tags, [0]);
    assert_eq!(learned.warnings, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_jitter_comes_first() {
    let learned = Case { tags: vec![Ok(both())], minutes: 0, ..Case::default() }.run().await;
    assert_eq!(learned.group.as_deref(), Some("group"), "ten seconds are enough");
    assert!(jitter("a-host") > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_asked_for_at_growing_pauses() {
    let late = vec![Ok(vec![]), Ok(vec![tag("eks:cluster-name", "demo")]), Ok(vec![]), Ok(both())];
    let learned = Case { tags: late, ..Case::default() }.run().await;
    assert_eq!(learned.asked_for_tags, [0, 1, 3, 7]);
    assert_eq!((learned.cluster_name.as_deref(), learned.group.as_deref()), (Some("demo"), Some("group")));
    let [warning] = &learned.warnings[..] else { panic!("{:?}", learned.warnings) };
    assert!(
        warning.contains("no tag of this instance names the cluster") && warning.contains("CLUSTER_NAME")
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_without_a_group_ask_rarely() {
    let tags = vec![Ok(vec![tag("eks:cluster-name", "demo")])];
    let learned = Case { tags, minutes: 24 * 60, ..Case::default() }.run().await;
    assert!(learned.asked_for_tags.len() < 55, "{:?}", learned.asked_for_tags);
    assert_eq!(learned.warnings, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_and_nothing_is_forgotten() {
    let denied = "not allowed to ask EC2: allow the role ec2:DescribeTags (no)";
    let tags = vec![Ok(vec![tag("eks:cluster-name", "demo")]), Err(denied), Err(denied), Ok(both())];
    let learned = Case { tags, ..Case::default() }.run().await;
    assert_eq!((learned.cluster_name.as_deref(), learned.group.as_deref()), (Some("demo"), Some("group")));
    let [warning] = &learned.warnings[..] else { panic!("{:?}", learned.warnings) };
    assert!(warning.contains("ec2:DescribeTags") && warning.contains("no AutoScalingGroupName"), "{warning}");
    assert!(!warning.contains("ClusterName"), "{warning}");
    assert!(learned.log.contains("can be read again"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_one_warning_with_the_remedy() {
    let denied = "not allowed to ask EC2: allow the role ec2:DescribeTags (no)";
    let learned = Case { tags: vec![Err(denied)], minutes: 600, ..Case::default() }.run().await;
    assert_eq!((learned.cluster_name, learned.group), (None, None));
    let [warning] = &learned.warnings[..] else { panic!("{:?}", learned.warnings) };
    assert!(
        warning.contains("ec2:DescribeTags") && warning.contains("set the key cluster_name"),
        "{warning}"
    );
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_no_instances_ask_nothing() {
    let learned = Case { is_instance: false, disks: &["xvda"], ..Case::default() }.run().await;
    assert_eq!((learned.asked_for_tags, learned.asked_for_volumes), (vec![], vec![]));
    let [warning] = &learned.warnings[..] else { panic!("{:?}", learned.warnings) };
    assert!(warning.contains("the cluster's name is not known"), "{warning}");
    let learned = Case { is_instance: false, needs_cluster_name: false, ..Case::default() }.run().await;
    assert_eq!(learned.warnings, [""; 0]);
}

fn volume(id: &str) -> Vec<Volume> {
    vec![Volume { id: id.to_owned(), device: "/dev/xvda".to_owned(), availability_zone: "z".to_owned() }]
}

#[tokio::test(start_paused = true)]
async fn volumes_are_asked_for_every_five_intervals() {
    let volumes = vec![Ok(volume("vol-1")), Err("denied"), Err("denied"), Ok(volume("vol-2"))];
    let case = Case { tags: vec![Ok(both())], volumes, disks: &["xvda"], ..Case::default() };
    let learned = case.run().await;
    assert_eq!(learned.asked_for_volumes, [0, 5, 10, 15, 20, 25, 30]);
    assert_eq!(learned.of_xvda.as_deref(), Some("aws://z/vol-2"));
    assert_eq!(learned.warnings.len(), 1);
    assert!(learned.warnings[0].contains("no EBSVolumeId"), "{:?}", learned.warnings);

    let volumes = vec![Ok(volume("vol-1")), Err("throttled")];
    let case = Case { tags: vec![Ok(both())], volumes, disks: &["xvda"], ..Case::default() };
    assert_eq!(case.run().await.of_xvda.as_deref(), Some("aws://z/vol-1"), "the last answer is kept");
}

#[tokio::test(start_paused = true)]
async fn disks_that_name_their_volume_need_no_question() {
    let case = Case { tags: vec![Ok(both())], disks: &["dm-0", "loop0"], ..Case::default() };
    assert_eq!(case.run().await.asked_for_volumes, [0_u64; 0]);
}
