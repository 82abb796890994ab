//! An agent that answers by a script.

use std::sync::Mutex;

use testkit::LogCapture;

use super::*;

/// What is answered next, by question; nothing is a failure.
#[derive(Default)]
struct Script {
    instances: Vec<(&'static str, &'static str)>,
    tasks: Vec<usize>,
    asked: usize,
}

thread_local! {
    static SCRIPT: Mutex<Script> = Mutex::default();
}

struct Scripted;

fn failure() -> EcsError {
    EcsError::Status { url: "http://10.0.0.1:51678/v1/tasks".to_owned(), status: 500 }
}

fn scripted<T>(ask: impl FnOnce(&mut Script) -> T) -> T {
    SCRIPT.with(|script| ask(&mut script.lock().unwrap()))
}

#[async_trait]
impl Introspection for Scripted {
    async fn container_instance(&self) -> Result<ContainerInstance, EcsError> {
        let (cluster, id) = scripted(|script| script.instances.pop()).ok_or_else(failure)?;
        Ok(ContainerInstance { cluster: cluster.to_owned(), id: id.to_owned() })
    }

    async fn tasks(&self) -> Result<Vec<AgentTask>, EcsError> {
        scripted(|script| script.asked += 1);
        let count = scripted(|script| script.tasks.pop()).ok_or_else(failure)?;
        let task = AgentTask { known_status: "RUNNING".to_owned(), ..AgentTask::default() };
        Ok(vec![task; count])
    }
}

fn source(instances: &[(&'static str, &'static str)], tasks: &[usize]) -> EcsSource {
    scripted(|script| {
        script.instances = instances.iter().rev().copied().collect();
        script.tasks = tasks.iter().rev().copied().collect();
        script.asked = 0;
    });
    EcsSource::with(|_| Ok(Box::new(Scripted)), None)
}

const AT: Address<'static> = Address::Known("10.0.0.1");

async fn running(source: &mut EcsSource, address: Address<'_>, health: &mut Health) -> Option<u64> {
    Some(source.refresh(address, None, health).await?.running_tasks)
}

#[tokio::test]
async fn the_instance_is_asked_for_until_it_is_known() {
    let mut health = Health::default();
    let mut source = source(&[("demo", ""), ("demo", "1f73")], &[1, 0, 2]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let tasks = running(&mut source, AT, &mut health).await;
        seen.push((tasks, source.instance().id.clone()));
    }
    assert_eq!(seen, [(Some(1), String::new()), (Some(0), "1f73".to_owned()), (Some(2), "1f73".to_owned())]);
    assert_eq!(source.instance().cluster, "demo");
}

#[tokio::test]
async fn an_agent_that_fails_is_told_once_and_so_is_its_recovery() {
    let log = LogCapture::begin();
    let mut health = Health::default();
    let mut source = source(&[("demo", "1f73")], &[3]);
    assert_eq!(running(&mut source, AT, &mut health).await, Some(3));
    for _ in 0..3 {
        assert_eq!(running(&mut source, AT, &mut health).await, None);
        assert_eq!(source.instance().id, "1f73", "what is known is kept");
    }
    scripted(|script| script.tasks.push(5));
    assert_eq!(running(&mut source, AT, &mut health).await, Some(5));
    let lines: Vec<_> = log.lines().iter().map(|line| format!("{line:?}")).collect();
    let told = |text: &str| lines.iter().filter(|line| line.contains(AGENT) && line.contains(text)).count();
    assert_eq!((told("answers with status 500"), told("can read this source again")), (1, 1), "{lines:?}");
}

#[tokio::test]
async fn an_address_that_is_not_known() {
    let log = LogCapture::begin();
    let mut health = Health::default();
    let mut source = source(&[("demo", "1f73")], &[1]);
    assert_eq!(running(&mut source, Address::Sought, &mut health).await, None);
    assert_eq!((health.take_failures(), log.lines().len()), (0, 0), "it may still be found");
    for _ in 0..2 {
        assert_eq!(running(&mut source, Address::Unknown, &mut health).await, None);
    }
    let lines = format!("{:?}", log.lines());
    assert_eq!((log.lines().len(), scripted(|script| script.asked)), (1, 0), "{lines}");
    assert!(lines.contains("HOST_IP") && lines.contains("hop limit 2"), "{lines}");
    assert_eq!(running(&mut source, AT, &mut health).await, Some(1));
}
