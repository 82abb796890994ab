//! Which EC2 instance this machine is.

use std::time::Duration;

use component::{BoxError, Search, async_trait};
use k8s::ApiServer;
use tokio::sync::watch;

use crate::health::chain;

/// The longest pause between two attempts. Outside EC2 none ever succeeds.
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);

/// An EC2 instance, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: Option<String>,
    /// The instance type, such as `m6i.large`.
    pub(crate) kind: Option<String>,
    pub(crate) availability_zone: Option<String>,
}

/// Somebody who may know the instance.
#[async_trait]
pub(crate) trait InstanceSource: Send + Sync {
    /// For logs.
    fn name(&self) -> &'static str;

    /// Whether it is usual that there is no such source.
    fn is_optional(&self) -> bool {
        false
    }

    /// Asks. An answer may be incomplete.
    async fn ask(&self) -> Result<Instance, BoxError>;
}

/// The Node object of the Kubernetes API server.
pub(crate) struct NodeObject {
    /// The object's name.
    pub(crate) node: String,
    /// Makes the client, which lives only while it is asked.
    pub(crate) connect: Box<dyn Fn() -> Result<ApiServer, k8s::Error> + Send + Sync>,
}

/// EC2's instance metadata service.
pub(crate) struct InstanceMetadata {
    /// How often an attempt is repeated at once.
    pub(crate) retries: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer: outside EC2, or the instance's metadata hop limit is too low for containers")]
struct NoMetadata;

impl Instance {
    /// Nothing is missing that records use.
    pub(crate) fn is_complete(&self) -> bool {
        self.id.is_some() && self.kind.is_some() && self.availability_zone.is_some()
    }

    fn fill_from(&mut self, other: Self) {
        let Self { id, kind, availability_zone } = other;
        self.id = self.id.take().or(id);
        self.kind = self.kind.take().or(kind);
        self.availability_zone = self.availability_zone.take().or(availability_zone);
    }
}

#[async_trait]
impl InstanceSource for NodeObject {
    fn name(&self) -> &'static str {
        "the Kubernetes API server"
    }

    async fn ask(&self) -> Result<Instance, BoxError> {
        let node = (self.connect)()?.node(&self.node).await?;
        Ok(Instance {
            id: node.instance_id,
            kind: node.instance_type,
            availability_zone: node.availability_zone,
        })
    }
}

#[async_trait]
impl InstanceSource for InstanceMetadata {
    fn name(&self) -> &'static str {
        "instance metadata"
    }

    fn is_optional(&self) -> bool {
        true
    }

    async fn ask(&self) -> Result<Instance, BoxError> {
        let identity = aws::imds::identity(self.retries).await.ok_or(NoMetadata)?;
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Instance {
            id: said(identity.instance_id),
            kind: said(identity.instance_type),
            availability_zone: said(identity.availability_zone),
        })
    }
}

/// Asks the sources in order until the instance is completely known, first now, then at growing pauses from `pause`
/// on. Each failure is told once; what is found is told and sent. The first round ends `search`.
pub(crate) async fn look_up(
    sources: Vec<Box<dyn InstanceSource>>,
    mut pause: Duration,
    found: watch::Sender<Instance>,
    mut search: Option<Search>,
) {
    let mut told = vec![false; sources.len()];
    let mut first = true;
    while !sources.is_empty() {
        let mut instance = found.borrow().clone();
        for (source, told) in sources.iter().zip(&mut told) {
            if instance.is_complete() {
                break;
            }
            match source.ask().await {
                Ok(answer) => instance.fill_from(answer),
                Err(error) if !*told => {
                    *told = true;
                    tell_failure(source.as_ref(), &*error);
                }
                Err(_) => {}
            }
        }
        let news = found.send_if_modified(|known| {
            let news = *known != instance;
            known.clone_from(&instance);
            news
        });
        if news || first {
            tell(&instance);
        }
        if let Some(search) = search.take() {
            end(search, &instance);
        }
        if instance.is_complete() {
            return;
        }
        first = false;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
    }
}

fn tell_failure(source: &dyn InstanceSource, error: &(dyn std::error::Error + 'static)) {
    let (source, optional, error) = (source.name(), source.is_optional(), chain(error));
    if optional {
        tracing::info!(source, error, "does not tell which EC2 instance this is");
    } else {
        tracing::warn!(source, error, "does not tell which EC2 instance this is");
    }
}

fn end(search: Search, instance: &Instance) {
    match &instance.id {
        Some(id) => search.found(format!("{id}, {}", text(&instance.kind))),
        None => search.not_found(
            "neither the Node object nor instance metadata name it: no InstanceId, no InstanceType",
        ),
    }
}

fn text(field: &Option<String>) -> String {
    field.clone().unwrap_or_else(|| "not known".to_owned())
}

fn tell(instance: &Instance) {
    tracing::info!(
        instance_id = text(&instance.id),
        instance_type = text(&instance.kind),
        availability_zone = text(&instance.availability_zone),
        "EC2 instance"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    /// Answers by a script, then fails; keeps when it was asked.
    struct Scripted(Arc<Mutex<Script>>);

    struct Script {
        answers: VecDeque<Option<Instance>>,
        asked: Vec<Instant>,
    }

    #[async_trait]
    impl InstanceSource for Scripted {
        fn name(&self) -> &'static str {
            "a script"
        }

        async fn ask(&self) -> Result<Instance, BoxError> {
            let mut state = self.0.lock().unwrap();
            state.asked.push(Instant::now());
            state.answers.pop_front().flatten().ok_or_else(|| "no".into())
        }
    }

    fn instance(id: Option<&str>, kind: Option<&str>, zone: Option<&str>) -> Instance {
        let [id, kind, availability_zone] = [id, kind, zone].map(|text| text.map(str::to_owned));
        Instance { id, kind, availability_zone }
    }

    /// Runs a look-up for at most `limit` and gives what was found and when, in seconds, each source was asked.
    async fn run(scripts: [Vec<Option<Instance>>; 2], limit: Duration) -> (Instance, [Vec<u64>; 2]) {
        let start = Instant::now();
        let states =
            scripts.map(|script| Arc::new(Mutex::new(Script { answers: script.into(), asked: Vec::new() })));
        let sources = states.iter().map(|state| Box::new(Scripted(Arc::clone(state))) as Box<_>).collect();
        let (sender, receiver) = watch::channel(Instance::default());
        let _ = tokio::time::timeout(limit, look_up(sources, Duration::from_secs(60), sender, None)).await;
        let asked = states.map(|state| {
            let state = state.lock().unwrap();
            state.asked.iter().map(|at| at.duration_since(start).as_secs()).collect()
        });
        (receiver.borrow().clone(), asked)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn what_the_first_source_knows_the_second_is_not_asked() {
        let whole = instance(Some("i-1"), Some("m5.large"), Some("eu-west-1a"));
        let (found, asked) = run([vec![Some(whole.clone())], vec![]], HOUR).await;
        assert_eq!((found, asked), (whole, [vec![0], vec![]]));
    }

    #[tokio::test(start_paused = true)]
    async fn sources_complete_each_other_and_the_first_one_wins() {
        let first = instance(Some("i-1"), None, None);
        let second = instance(Some("i-2"), Some("m5.large"), Some("eu-west-1a"));
        let (found, asked) = run([vec![Some(first)], vec![Some(second)]], HOUR).await;
        let expected = instance(Some("i-1"), Some("m5.large"), Some("eu-west-1a"));
        assert_eq!((found, asked), (expected, [vec![0], vec![0]]));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_become_rare() {
        let (found, [first, _]) = run([vec![], vec![]], 3 * HOUR).await;
        assert_eq!(found, Instance::default());
        assert_eq!(first, [0, 60, 180, 420, 900, 1860, 3660, 5460, 7260, 9060]);
    }

    #[tokio::test(start_paused = true)]
    async fn part_of_an_answer_is_used_at_once() {
        let part = instance(None, Some("m5.large"), None);
        let (found, asked) = run([vec![Some(part.clone())], vec![]], Duration::from_secs(1)).await;
        assert_eq!((found, asked), (part, [vec![0], vec![0]]));
    }
}
