//! A machine as a test wants it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use aws::ec2::{Instance, Tag};
use aws::ecs::{Container, Task};
use aws::imds::InstanceIdentity;
use bytes::Bytes;
use pdata::Value;

use crate::config::KubernetesConfig;
use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::{Sources, Uname};

/// A machine without anything but what it is given; it keeps what it was asked over the network.
pub(crate) struct Fake {
    pub(crate) variables: HashMap<String, String>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) uname: Uname,
    pub(crate) canonical: HashMap<String, (String, Vec<IpAddr>)>,
    pub(crate) names: HashMap<IpAddr, String>,
    /// Name servers never answer.
    pub(crate) has_no_name_server: bool,
    pub(crate) identity: Option<InstanceIdentity>,
    pub(crate) metadata: HashMap<String, String>,
    /// None: refused for good.
    pub(crate) tags: Option<Vec<Tag>>,
    /// None: throttled.
    pub(crate) instance: Option<Option<Instance>>,
    pub(crate) task: Option<(Task, Container)>,
    /// Status and body by path.
    pub(crate) objects: HashMap<String, (u16, String)>,
    pub(crate) asked: Mutex<Vec<String>>,
}

/// A detector that answers what it is told to, the last answer for ever.
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<usize>,
}

/// What a scripted detector does.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Found(Vec<(&'static str, &'static str)>),
    /// Finds something, and then does the other.
    Then(Vec<(&'static str, &'static str)>, Box<Answer>),
    Transient,
    Permanent,
    Hangs,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            variables: HashMap::new(),
            directory: tempfile::tempdir().unwrap(),
            uname: Uname::default(),
            canonical: HashMap::new(),
            names: HashMap::new(),
            has_no_name_server: false,
            identity: None,
            metadata: HashMap::new(),
            tags: Some(Vec::new()),
            instance: Some(None),
            task: None,
            objects: HashMap::new(),
            asked: Mutex::default(),
        }
    }
}

impl Fake {
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn with_file(self, path: &str, text: &str) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn with_object(mut self, path: &str, status: u16, body: &str) -> Self {
        self.objects.insert(path.to_owned(), (status, body.to_owned()));
        self
    }

    /// What was asked over the network.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn ask(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }
}

fn failure(what: &'static str, is_permanent: bool) -> Error {
    Error::Request { what, is_permanent, source: "on purpose".into() }
}

#[async_trait]
impl Sources for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn uname(&self) -> Uname {
        self.uname.clone()
    }

    async fn canonical(&self, name: &str) -> Option<(String, Vec<IpAddr>)> {
        if self.has_no_name_server {
            std::future::pending::<()>().await;
        }
        self.canonical.get(name).cloned()
    }

    async fn name_of(&self, address: IpAddr) -> Option<String> {
        self.names.get(&address).cloned()
    }

    async fn identity(&self) -> Result<Option<InstanceIdentity>, Error> {
        self.ask("identity");
        Ok(self.identity.clone())
    }

    async fn metadata(&self, path: &str) -> Result<Option<String>, Error> {
        self.ask(path);
        Ok(self.metadata.get(path).cloned())
    }

    async fn tags(&self, region: &str, instance_id: &str) -> Result<Vec<Tag>, Error> {
        self.ask(format!("DescribeTags {region} {instance_id}"));
        self.tags.clone().ok_or_else(|| failure("the instance's tags", true))
    }

    async fn instance(&self, region: &str, instance_id: &str) -> Result<Option<Instance>, Error> {
        self.ask(format!("DescribeInstances {region} {instance_id}"));
        self.instance.clone().ok_or_else(|| failure("the instance", false))
    }

    async fn task(&self, uri: &str) -> Result<(Task, Container), Error> {
        self.ask(uri);
        self.task.clone().ok_or_else(|| failure("the task's metadata", false))
    }

    async fn api_server(&self, _: &KubernetesConfig, path: &str) -> Result<Bytes, Error> {
        self.ask(path);
        match self.objects.get(path) {
            Some((200, body)) => Ok(Bytes::from(body.clone())),
            Some((status, _)) => Err(failure("the API server's answer", *status == 403)),
            None => Err(failure("the API server's answer", false)),
        }
    }
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    fn next(&self) -> Answer {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let answer = answers.pop_front().unwrap();
        if answers.is_empty() {
            answers.push_back(answer.clone());
        }
        answer
    }
}

#[async_trait]
impl Detector for Scripted {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let (pairs, end) = match self.next() {
            Answer::Found(pairs) => (pairs, None),
            Answer::Then(pairs, end) => (pairs, Some(*end)),
            end => (Vec::new(), Some(end)),
        };
        if !pairs.is_empty() {
            found.begin();
            found.attributes =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        }
        match end {
            None | Some(Answer::Found(_) | Answer::Then(..)) => Ok(()),
            Some(Answer::Transient) => Err(failure("it", false)),
            Some(Answer::Permanent) => Err(failure("it", true)),
            Some(Answer::Hangs) => std::future::pending().await,
        }
    }
}

/// What a detector finds when it is asked once.
pub(crate) trait Detect {
    async fn found(&self) -> Result<Findings, Error>;
}

impl<D: Detector> Detect for D {
    async fn found(&self) -> Result<Findings, Error> {
        let mut found = Findings::default();
        self.detect(&mut found).await.map(|()| found)
    }
}

/// Each attribute as `key=value`.
pub(crate) fn shown(found: &Findings) -> Vec<String> {
    found.attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
