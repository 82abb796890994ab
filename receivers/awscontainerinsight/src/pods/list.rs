//! The pods of the node, as the kubelet lists them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use component::{Search, async_trait};
use k8s::row::{Pod, Uid};
use k8s::{Interner, Keys, KnownPods, Kubelet, Projection};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How long a collection waits for the list. A kubelet that is slower is not waited for again until it has answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a list is used at least, as upstream's.
const LIFETIME: Duration = Duration::from_secs(120);

/// The annotation that holds what a static pod's control group is named after.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Somebody who knows the pods of this node.
#[async_trait]
pub(crate) trait PodSource: Send {
    /// All of them, those that have ended included.
    async fn pods(&mut self) -> Result<Vec<Pod>, k8s::Error>;
}

/// Makes a connection to the kubelet.
type Connect = Box<dyn Fn() -> Result<Kubelet, k8s::Error> + Send>;

/// The kubelet of this node. Its answer, megabytes of JSON, is decoded pod by pod as it arrives, so that it holds up
/// nobody.
pub(crate) struct KubeletPods {
    connect: Connect,
    kubelet: Option<Kubelet>,
    projection: Projection,
    interner: Interner,
    known: KnownPods,
}

/// One answer of the kubelet.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) pods: Vec<Pod>,
    /// Where in `pods` the pod with a uid is; static pods also by the hash of their configuration.
    by_uid: HashMap<Uid, usize>,
    at: Instant,
}

type Answer = Result<Arc<Listed>, Arc<k8s::Error>>;

/// Why there is no newer list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Failed(Arc<k8s::Error>),
    #[error("the kubelet has not answered within {PATIENCE:?}")]
    Late,
}

/// The list as collections see it: asked for anew by each of them, in a task of its own.
pub(crate) struct PodList {
    requests: mpsc::Sender<()>,
    answers: watch::Receiver<Option<Answer>>,
    lifetime: Duration,
    latest: Option<Arc<Listed>>,
    /// An answer is under way.
    asked: bool,
}

/// The task's side of a [`PodList`].
pub(crate) struct Answering {
    source: Box<dyn PodSource>,
    requests: mpsc::Receiver<()>,
    answers: watch::Sender<Option<Answer>>,
}

impl KubeletPods {
    /// The kubelet that `connect` reaches, when it is first asked.
    pub(crate) fn new(connect: impl Fn() -> Result<Kubelet, k8s::Error> + Send + 'static) -> Self {
        let projection = Projection {
            labels: Keys::All,
            annotations: Keys::named([CONFIG_HASH]),
            owners: true,
            containers: true,
            status: true,
        };
        Self {
            connect: Box::new(connect),
            kubelet: None,
            projection,
            interner: Interner::default(),
            known: KnownPods::default(),
        }
    }
}

#[async_trait]
impl PodSource for KubeletPods {
    async fn pods(&mut self) -> Result<Vec<Pod>, k8s::Error> {
        let kubelet = match &self.kubelet {
            Some(kubelet) => kubelet,
            None => self.kubelet.insert((self.connect)()?),
        };
        kubelet.pods_since(&mut self.known, &self.projection, &self.interner).await
    }
}

impl Listed {
    fn new(pods: Vec<Pod>) -> Self {
        let mut by_uid = HashMap::with_capacity(pods.len());
        for (index, pod) in pods.iter().enumerate() {
            by_uid.insert(pod.meta.uid.clone(), index);
            if let Some(hash) = pod.meta.annotation(CONFIG_HASH) {
                by_uid.entry(Uid::new(hash)).or_insert(index);
            }
        }
        Self { pods, by_uid, at: Instant::now() }
    }

    /// Where in the list the pod of a control group is.
    pub(crate) fn index(&self, uid: &str) -> Option<usize> {
        self.by_uid.get(&Uid::new(uid)).copied()
    }

    /// The pod with this uid.
    pub(crate) fn get(&self, uid: &Uid) -> Option<&Pod> {
        self.pods.get(*self.by_uid.get(uid)?)
    }
}

impl PodList {
    /// A list for collections at this interval, and what keeps it.
    pub(crate) fn new(source: Box<dyn PodSource>, interval: Duration) -> (Self, Answering) {
        // One request at a time; there is never a second.
        let (requests, asked) = mpsc::channel(1);
        let (answering, answers) = watch::channel(None);
        let lifetime = LIFETIME.max(interval * 2);
        let list = Self { requests, answers, lifetime, latest: None, asked: false };
        (list, Answering { source, requests: asked, answers: answering })
    }

    /// Asks anew and waits for the answer, but not for long: of a slow kubelet the answer before the latest question is
    /// used.
    pub(crate) async fn refresh(&mut self) -> Result<(), ListError> {
        let mut earlier = Err(ListError::Late);
        if self.asked {
            if !self.answers.has_changed().unwrap_or(false) {
                return earlier;
            }
            earlier = self.take();
        }
        self.asked = self.requests.try_send(()).is_ok();
        match tokio::time::timeout(PATIENCE, self.answers.changed()).await {
            Ok(Ok(())) => self.take(),
            Ok(Err(_)) | Err(_) => earlier,
        }
    }

    /// The latest list, unless it is too old to be about what runs now.
    pub(crate) fn latest(&self) -> Option<&Arc<Listed>> {
        self.latest.as_ref().filter(|listed| listed.at.elapsed() <= self.lifetime)
    }

    fn take(&mut self) -> Result<(), ListError> {
        self.asked = false;
        match &*self.answers.borrow_and_update() {
            Some(Ok(listed)) => self.latest = Some(Arc::clone(listed)),
            Some(Err(error)) => return Err(ListError::Failed(Arc::clone(error))),
            None => {}
        }
        Ok(())
    }
}

impl Answering {
    /// Asks the kubelet whenever a collection wants it. The first answer ends `search`.
    pub(crate) async fn run(mut self, mut search: Option<Search>) {
        while self.requests.recv().await.is_some() {
            let answer = self.source.pods().await;
            if let Some(search) = search.take() {
                match &answer {
                    Ok(pods) => search.found(format!("{} pods", pods.len())),
                    Err(error) => search
                        .not_found(format!("{}: no pod and container records", component::causes(error))),
                }
            }
            let answer = answer.map(|pods| Arc::new(Listed::new(pods))).map_err(Arc::new);
            self.answers.send_replace(Some(answer));
        }
    }
}
