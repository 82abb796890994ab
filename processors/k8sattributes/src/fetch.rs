//! Objects asked for one by one: the owners of one node's pods are few, and a watch of all of a cluster for each node is what
//! brings API servers down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use component::Host;
use foldhash::HashMap;
use k8s::row::{Meta, Owner, Resource, Row, Uid, kind};
use k8s::{ApiServer, Error, Interner, Name, Projection};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Questions per second, and questions at once, unless the configuration says otherwise: those of Go's client.
const DEFAULT_RATE: (f64, u32) = (5.0, 10);

/// How long after a failure the question is asked again; what a role does not allow is asked for seldom.
const RETRY: Duration = Duration::from_secs(10);
const RETRY_DENIED: Duration = Duration::from_secs(60);

/// The most objects that are kept. A node has fewer pods; what refers to more is no node.
const MOST: usize = 8192;

/// A kind of object that pods or their owners refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

/// An object that somebody refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) namespace: Name,
    pub(crate) name: Name,
    pub(crate) uid: Uid,
}

/// What became of a question.
pub(crate) struct Answer {
    pub(crate) reference: Reference,
    /// The object; none if there is none of that name and uid.
    result: Result<Option<Meta>, Error>,
}

/// What is known of the objects that are referred to.
pub(crate) struct Fetched {
    all: HashMap<Uid, Known>,
    /// What is kept of each kind that is asked for.
    projections: HashMap<Kind, Projection>,
    /// After which time objects are asked for again; never if it is zero.
    period: Duration,
    questions: mpsc::UnboundedSender<(Reference, Projection)>,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// What is asked again, by time.
    again: VecDeque<(Instant, Uid)>,
    /// What was last warned of: the same trouble is told once.
    told: Option<String>,
    task: AbortHandle,
}

struct Known {
    reference: Reference,
    /// Whether there is an answer, and it was no failure.
    answered: bool,
    object: Option<Meta>,
}

/// The task that asks.
struct Asking {
    api: ApiServer,
    interner: Arc<Interner>,
    questions: mpsc::UnboundedReceiver<(Reference, Projection)>,
    answers: mpsc::UnboundedSender<Answer>,
    bucket: Bucket,
}

/// Tokens for questions: so many per second, so many at most.
struct Bucket {
    per_second: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Kind {
    /// The kind of an owner reference.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ReplicaSet" => Self::ReplicaSet,
            "Deployment" => Self::Deployment,
            "StatefulSet" => Self::StatefulSet,
            "DaemonSet" => Self::DaemonSet,
            "Job" => Self::Job,
            _ => return None,
        })
    }

    fn resource(self) -> Resource {
        match self {
            Self::ReplicaSet => <kind::ReplicaSet as kind::Kind>::RESOURCE,
            Self::Deployment => <kind::Deployment as kind::Kind>::RESOURCE,
            Self::StatefulSet => <kind::StatefulSet as kind::Kind>::RESOURCE,
            Self::DaemonSet => <kind::DaemonSet as kind::Kind>::RESOURCE,
            Self::Job => <kind::Job as kind::Kind>::RESOURCE,
        }
    }
}

impl Reference {
    pub(crate) fn of(owner: &Owner, namespace: &Name) -> Option<Self> {
        Some(Self {
            kind: Kind::parse(&owner.kind)?,
            namespace: Arc::clone(namespace),
            name: Arc::clone(&owner.name),
            uid: owner.uid.clone(),
        })
    }

    /// Where the API server has it. Whoever makes a pod chooses the names of its owners: they are not trusted.
    fn path(&self) -> String {
        let Resource { group, version, plural, .. } = self.kind.resource();
        let (namespace, name) = (encoded(&self.namespace), encoded(&self.name));
        format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")
    }
}

/// A segment of a path.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        // A dot alone, or two, would not be a name.
        if byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'.' && !matches!(text, "." | "..")) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Fetched {
    /// Begins with nothing. `rate` is questions per second and at once, zero for what Go's client has.
    pub(crate) fn start(
        api: ApiServer,
        interner: Arc<Interner>,
        projections: HashMap<Kind, Projection>,
        period: Duration,
        rate: (f64, i64),
        host: &Host,
    ) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let bucket = Bucket::new(rate);
        let asking = Asking { api, interner, questions: asked, answers: answered, bucket };
        let task = host.spawn("k8s_attributes: owners", asking.run()).abort_handle();
        Self {
            all: HashMap::default(),
            projections,
            period,
            questions,
            answers,
            again: VecDeque::new(),
            told: None,
            task,
        }
    }

    /// The object with this uid, if it is known.
    pub(crate) fn get(&self, uid: &Uid) -> Option<&Meta> {
        self.all.get(uid)?.object.as_ref()
    }

    /// Asks for an object, unless it is known or asked for, or not of a kind that is wanted.
    pub(crate) fn want(&mut self, reference: Reference) {
        let is_new = self.all.len() < MOST && !self.all.contains_key(&reference.uid);
        if is_new && self.projections.contains_key(&reference.kind) {
            self.ask(&reference);
            let uid = reference.uid.clone();
            self.all.insert(uid, Known { reference, answered: false, object: None });
        }
    }

    /// What came of questions; waits for something. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        let again = self.again.front().map(|(when, _)| *when);
        tokio::select! {
            answer = self.answers.recv() => answer,
            () = at(again) => {
                self.ask_again(Instant::now());
                None
            }
        }
    }

    /// Takes in what came. The object as it was before and as it is now, if that is something else.
    pub(crate) fn take(&mut self, answer: Answer) -> Option<(Option<Meta>, Option<Meta>)> {
        let Answer { reference, result } = answer;
        let known = self.all.get_mut(&reference.uid)?;
        let wait = match &result {
            Ok(_) => self.period,
            Err(Error::Denied { .. }) => RETRY_DENIED,
            Err(_) => RETRY,
        };
        if !wait.is_zero() {
            let when = Instant::now() + wait;
            let place = self.again.partition_point(|(other, _)| *other <= when);
            self.again.insert(place, (when, reference.uid.clone()));
        }
        match result {
            Ok(object) => {
                known.answered = true;
                self.told = None;
                let before = std::mem::replace(&mut known.object, object.clone());
                (before != object).then_some((before, object))
            }
            Err(error) => {
                self.warn(&reference, &error);
                None
            }
        }
    }

    /// Forgets what nobody refers to any more.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&Uid) -> bool) -> Vec<Uid> {
        self.all.extract_if(|uid, _| !is_wanted(uid)).map(|(uid, _)| uid).collect()
    }

    /// How many objects there is no answer for.
    pub(crate) fn waiting(&self) -> usize {
        self.all.values().filter(|known| !known.answered).count()
    }

    /// How many objects are kept, those that do not exist included.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Why there is no answer.
    pub(crate) fn trouble(&self) -> &str {
        self.told.as_deref().unwrap_or("no answer yet")
    }

    fn ask_again(&mut self, now: Instant) {
        while let Some((_, uid)) = self.again.pop_front_if(|(when, _)| *when <= now) {
            if let Some(reference) = self.all.get(&uid).map(|known| known.reference.clone()) {
                self.ask(&reference);
            }
        }
    }

    fn ask(&self, reference: &Reference) {
        if let Some(projection) = self.projections.get(&reference.kind) {
            // The task ends with this.
            let _ = self.questions.send((reference.clone(), projection.clone()));
        }
    }

    fn warn(&mut self, reference: &Reference, error: &Error) {
        let resource = reference.kind.resource().plural;
        let words = match error {
            // It names the path, which is another one for each object.
            Error::Denied { status, message, .. } => {
                format!("the service account lacks `get` on `{resource}` ({status}): {message}")
            }
            error => format!("{resource}: {error}"),
        };
        if self.told.as_ref() != Some(&words) {
            tracing::warn!(error = words, "cannot read the owners of pods; asking again later");
            self.told = Some(words);
        }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

impl Asking {
    /// Runs until nobody asks.
    async fn run(mut self) {
        while let Some((reference, projection)) = self.questions.recv().await {
            tokio::time::sleep(self.bucket.take(Instant::now())).await;
            let result = self.get(&reference, &projection).await;
            if self.answers.send(Answer { reference, result }).is_err() {
                return;
            }
        }
    }

    async fn get(&self, reference: &Reference, projection: &Projection) -> Result<Option<Meta>, Error> {
        let json = match self.api.get(&reference.path()).await {
            Ok(json) => json,
            Err(Error::Status { status: 404, .. } | Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // All that is read of these kinds is their metadata.
        let decoded = k8s::row::Deployment::from_json(&json, projection, &self.interner);
        let meta = decoded.map_err(Error::Malformed)?.row.meta;
        // One of the same name that came later is another one.
        Ok(Some(meta).filter(|meta| meta.uid == reference.uid))
    }
}

impl Bucket {
    fn new((per_second, most): (f64, i64)) -> Self {
        let per_second = if per_second > 0.0 { per_second } else { DEFAULT_RATE.0 };
        let most = u32::try_from(most).ok().filter(|most| *most > 0).unwrap_or(DEFAULT_RATE.1);
        Self { per_second, most: most.into(), left: most.into(), at: Instant::now() }
    }

    /// Takes a token; how long to wait before it may be used.
    fn take(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.most) - 1.0;
        self.at = now;
        Duration::try_from_secs_f64((-self.left / self.per_second).max(0.0)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_one_object() {
        fn check(kind: Kind, name: &str, expected: &str) {
            let reference =
                Reference { kind, namespace: "shop".into(), name: name.into(), uid: Uid::new("u") };
            assert_eq!(reference.path(), expected);
        }
        check(Kind::ReplicaSet, "web-7b9f", "/apis/apps/v1/namespaces/shop/replicasets/web-7b9f");
        check(Kind::Job, "a.b", "/apis/batch/v1/namespaces/shop/jobs/a.b");
        let hostile = "../../../api/v1/secrets?x#";
        let harmless = "/apis/apps/v1/namespaces/shop/deployments/..%2F..%2F..%2Fapi%2Fv1%2Fsecrets%3Fx%23";
        check(Kind::Deployment, hostile, harmless);
        check(Kind::StatefulSet, "..", "/apis/apps/v1/namespaces/shop/statefulsets/%2E%2E");
    }

    #[tokio::test(start_paused = true)]
    async fn questions_are_limited() {
        let mut bucket = Bucket::new((2.0, 3));
        let now = Instant::now();
        let waits: Vec<u128> = (0..5).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000]);
        assert_eq!(bucket.take(now + Duration::from_secs(60)).as_millis(), 0);
        assert_eq!(Bucket::new((0.0, 0)).most, 10.0);
    }
}
