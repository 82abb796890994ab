//! Which EC2 instance this machine is.

use std::sync::Arc;
use std::time::Duration;

use aws::imds::Imds;
use component::{BoxError, Search, async_trait};
use k8s::ApiServer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ec2::Questions;

/// The longest pause between two attempts. Outside EC2 none ever succeeds.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);

/// An EC2 instance, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: Option<String>,
    /// The instance type, such as `m6i.large`.
    pub(crate) kind: Option<String>,
    pub(crate) availability_zone: Option<String>,
    /// The region, where it was said; see [`Instance::region`].
    pub(crate) region: Option<String>,
    /// The primary address.
    pub(crate) private_ip: Option<String>,
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

    /// Asks for what is missing from `known`. An answer may be incomplete.
    async fn ask(&self, known: &Instance) -> Result<Instance, BoxError>;
}

/// The Node object of the Kubernetes API server.
pub(crate) struct NodeObject {
    /// The object's name.
    pub(crate) node: String,
    /// Makes the client, which lives only while it is asked.
    pub(crate) connect: Box<dyn Fn() -> Result<ApiServer, k8s::Error> + Send + Sync>,
}

/// EC2's instance metadata service.
pub(crate) struct InstanceMetadata(pub(crate) Imds);

/// EC2 itself, once the instance's id is known.
pub(crate) struct Described(pub(crate) Arc<dyn Questions>);

/// What is asked for, and who is told.
pub(crate) struct LookUp {
    /// In the order in which they are asked.
    pub(crate) sources: Vec<Box<dyn InstanceSource>>,
    /// Whether the private address is looked for too.
    pub(crate) with_address: bool,
    /// Between the first attempts.
    pub(crate) pause: Duration,
    pub(crate) found: watch::Sender<Instance>,
    /// Cancelled when all sources were asked once.
    pub(crate) asked: CancellationToken,
    /// Ends at the same time.
    pub(crate) search: Option<Search>,
}

impl Instance {
    /// Nothing is missing that records use.
    fn is_complete(&self, with_address: bool) -> bool {
        self.id.is_some()
            && self.kind.is_some()
            && self.availability_zone.is_some()
            && (self.private_ip.is_some() || !with_address)
    }

    fn fill_from(&mut self, other: Self) {
        let Self { id, kind, availability_zone, region, private_ip } = other;
        self.id = self.id.take().or(id);
        self.kind = self.kind.take().or(kind);
        self.availability_zone = self.availability_zone.take().or(availability_zone);
        self.region = self.region.take().or(region);
        self.private_ip = self.private_ip.take().or(private_ip);
    }

    /// The region: that of the zone where nobody said it.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref().or_else(|| region_of_zone(self.availability_zone.as_deref()?))
    }
}

/// The region of a zone, which may be a local one: `us-west-2` of `us-west-2a` and of `us-west-2-lax-1a`.
fn region_of_zone(zone: &str) -> Option<&str> {
    let mut end = 0;
    for part in zone.split('-') {
        let letters = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        end += part.len();
        if letters.len() < part.len() {
            return zone.get(..end - letters.len());
        }
        end += 1;
    }
    None
}

/// A text that says something.
fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[async_trait]
impl InstanceSource for NodeObject {
    fn name(&self) -> &'static str {
        "the Kubernetes API server"
    }

    async fn ask(&self, _known: &Instance) -> Result<Instance, BoxError> {
        let node = (self.connect)()?.node(&self.node).await?;
        Ok(Instance {
            id: node.instance_id,
            kind: node.instance_type,
            availability_zone: node.availability_zone,
            region: node.region,
            private_ip: node.private_ip,
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

    async fn ask(&self, _known: &Instance) -> Result<Instance, BoxError> {
        let identity = self.0.identity().await?;
        Ok(Instance {
            id: said(identity.instance_id),
            kind: said(identity.instance_type),
            availability_zone: said(identity.availability_zone),
            region: said(identity.region),
            private_ip: said(identity.private_ip),
        })
    }
}

#[async_trait]
impl InstanceSource for Described {
    fn name(&self) -> &'static str {
        "EC2"
    }

    /// Without an id there is nothing to ask for.
    async fn ask(&self, known: &Instance) -> Result<Instance, BoxError> {
        if known.id.is_none() {
            return Ok(Instance::default());
        }
        let Some(found) = self.0.instance(known).await? else { return Ok(Instance::default()) };
        Ok(Instance {
            id: None,
            kind: said(found.instance_type),
            availability_zone: said(found.availability_zone),
            region: None,
            private_ip: said(found.private_ip),
        })
    }
}

/// Asks the sources in order until the instance is completely known, first now, then at growing pauses. Each failure is
/// told once; what is found is told and sent.
pub(crate) async fn look_up(what: LookUp) {
    let LookUp { sources, with_address, mut pause, found, asked, mut search } = what;
    let mut told = vec![false; sources.len()];
    while !sources.is_empty() {
        let mut instance = found.borrow().clone();
        for (source, told) in sources.iter().zip(&mut told) {
            if instance.is_complete(with_address) {
                break;
            }
            match source.ask(&instance).await {
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
        if news || !asked.is_cancelled() {
            tell(&instance);
        }
        if let Some(search) = search.take() {
            end(search, &instance);
        }
        asked.cancel();
        if instance.is_complete(with_address) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
    }
    asked.cancel();
}

fn tell_failure(source: &dyn InstanceSource, error: &(dyn std::error::Error + 'static)) {
    let (source, optional, error) = (source.name(), source.is_optional(), component::causes(error));
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

        async fn ask(&self, _known: &Instance) -> Result<Instance, BoxError> {
            let mut state = self.0.lock().unwrap();
            state.asked.push(Instant::now());
            state.answers.pop_front().flatten().ok_or_else(|| "no".into())
        }
    }

    fn instance(id: Option<&str>, kind: Option<&str>, zone: Option<&str>) -> Instance {
        let [id, kind, availability_zone] = [id, kind, zone].map(|text| text.map(str::to_owned));
        Instance { id, kind, availability_zone, ..Instance::default() }
    }

    /// Runs a look-up for at most `limit` and gives what was found and when, in seconds, each source was asked.
    async fn run(scripts: [Vec<Option<Instance>>; 2], limit: Duration) -> (Instance, [Vec<u64>; 2]) {
        let start = Instant::now();
        let states =
            scripts.map(|script| Arc::new(Mutex::new(Script { answers: script.into(), asked: Vec::new() })));
        let sources = states.iter().map(|state| Box::new(Scripted(Arc::clone(state))) as Box<_>).collect();
        let (sender, receiver) = watch::channel(Instance::default());
        let what = LookUp {
            sources,
            with_address: false,
            pause: Duration::from_secs(60),
            found: sender,
            asked: CancellationToken::new(),
            search: None,
        };
        let _ = tokio::time::timeout(limit, look_up(what)).await;
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

    #[test]
    fn regions_of_zones() {
        fn check(zone: &str, expected: Option<&str>) {
            assert_eq!(region_of_zone(zone), expected, "{zone}");
        }
        check("us-west-2a", Some("us-west-2"));
        check("us-gov-west-1b", Some("us-gov-west-1"));
        check("us-west-2-lax-1a", Some("us-west-2"));
        check("us-east-1-wl1-bos-wlz-1", Some("us-east-1"));
        check("ap-southeast-12c", Some("ap-southeast-12"));
        check("", None);
        check("zone", None);
        check("a--", None);
        let said = Instance { region: Some("r".into()), ..instance(None, None, Some("us-west-2a")) };
        assert_eq!(said.region(), Some("r"));
        assert_eq!(instance(None, None, Some("us-west-2a")).region(), Some("us-west-2"));
    }

    /// Knows an instance.
    struct Ec2(Option<aws::ec2::Instance>);

    #[async_trait]
    impl Questions for Ec2 {
        async fn tags(&self, _: &Instance) -> Result<Vec<aws::ec2::Tag>, BoxError> {
            Err("not asked here".into())
        }

        async fn volumes(&self, _: &Instance) -> Result<Vec<aws::ec2::Volume>, BoxError> {
            Err("not asked here".into())
        }

        async fn instance(&self, instance: &Instance) -> Result<Option<aws::ec2::Instance>, BoxError> {
            assert_eq!(instance.id.as_deref(), Some("i-1"));
            Ok(self.0.clone())
        }
    }

    #[tokio::test]
    async fn ec2_says_what_is_missing() {
        let described = aws::ec2::Instance {
            id: "i-1".into(),
            instance_type: "m5.large".into(),
            availability_zone: "us-west-2a".into(),
            ..aws::ec2::Instance::default()
        };
        let source = Described(Arc::new(Ec2(Some(described))));
        assert_eq!(source.ask(&Instance::default()).await.unwrap(), Instance::default(), "nobody to ask for");
        let known = instance(Some("i-1"), None, None);
        let found = source.ask(&known).await.unwrap();
        assert_eq!(found, instance(None, Some("m5.large"), Some("us-west-2a")));
        let source = Described(Arc::new(Ec2(None)));
        assert_eq!(source.ask(&known).await.unwrap(), Instance::default());
    }
}
