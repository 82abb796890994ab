//! The objects of a fake API server: collections with versions, lists and watches.

#![allow(clippy::indexing_slicing, reason = "of JSON that tests write: a missing member is null")]

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::status_object;

/// The body of an answer, which may go on for long.
pub struct AnswerBody(UnboundedReceiver<io::Result<Bytes>>);

/// All objects, by collection (`/apis/apps/v1/replicasets`), namespace and name.
pub(super) struct Objects {
    collections: BTreeMap<String, BTreeMap<(String, String), Value>>,
    version: u64,
    history: Vec<Happening>,
    /// Versions up to this one are forgotten.
    compacted: u64,
    watches: Vec<Watch>,
    /// Whether lists are streamed to those who ask.
    pub(super) streams: bool,
}

struct Happening {
    version: u64,
    collection: String,
    kind: &'static str,
    object: Value,
}

struct Watch {
    target: Target,
    sender: UnboundedSender<io::Result<Bytes>>,
}

/// What a request is about.
struct Target {
    collection: String,
    namespace: Option<String>,
    name: Option<String>,
    query: BTreeMap<String, String>,
}

type Answer = (StatusCode, AnswerBody);

impl Objects {
    pub(super) fn serve(&mut self, collection: &str) {
        self.collections.entry(collection.to_owned()).or_default();
    }

    pub(super) fn put(&mut self, collection: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let key = key(&object);
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-of-{}-{}", key.0, key.1).into();
        }
        let replaced = self.collections.entry(collection.to_owned()).or_default().insert(key, object.clone());
        self.happened(collection, if replaced.is_some() { "MODIFIED" } else { "ADDED" }, object.clone());
        object
    }

    pub(super) fn remove(&mut self, collection: &str, namespace: &str, name: &str) {
        let objects = self.collections.entry(collection.to_owned()).or_default();
        if let Some(mut object) = objects.remove(&(namespace.to_owned(), name.to_owned())) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.happened(collection, "DELETED", object);
        }
    }

    pub(super) fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        self.collections.get(collection)?.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(super) fn compact(&mut self) {
        // Whoever is at the newest version may go on from there.
        self.version += 1;
        self.compacted = self.version;
        self.history.clear();
    }

    pub(super) fn cut_watches(&mut self) {
        for watch in self.watches.drain(..) {
            // Nobody may listen any more.
            let _ = watch
                .sender
                .send(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"na")));
            let _ = watch.sender.send(Err(io::Error::other("cut")));
        }
    }

    pub(super) fn end_watches(&mut self) {
        self.watches.clear();
    }

    pub(super) fn bookmark(&mut self) {
        let bookmark = json!({"metadata": {"resourceVersion": self.version.to_string()}});
        self.watches.retain(|watch| watch.sender.send(Ok(line("BOOKMARK", &bookmark))).is_ok());
    }

    pub(super) fn watches(&mut self) -> usize {
        self.watches.retain(|watch| !watch.sender.is_closed());
        self.watches.len()
    }

    pub(super) fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        let Some(target) = Target::parse(request) else { return refuse(404, "NotFound", "no such path") };
        let collection = target.collection.as_str();
        let body = || serde_json::from_slice::<Value>(request.body());
        match (request.method(), &target.name, target.query.get("watch")) {
            (&Method::GET, None, Some(_)) => self.watch(target),
            (&Method::GET, None, None) => self.list(&target),
            (&Method::GET, Some(name), _) => {
                match self.get(collection, target.namespace.as_deref().unwrap_or_default(), name) {
                    Some(object) => full(&object),
                    None => refuse(404, "NotFound", "no such object"),
                }
            }
            (&Method::POST, None, _) => match body() {
                Ok(object) if self.has(collection, &object) => {
                    refuse(409, "AlreadyExists", "it exists already")
                }
                Ok(object) => full(&self.put(collection, object)),
                Err(error) => refuse(400, "BadRequest", &error.to_string()),
            },
            (&Method::PUT, Some(_), _) => match body() {
                Ok(object) if !self.has(collection, &object) => refuse(404, "NotFound", "no such object"),
                Ok(object) if self.is_stale(collection, &object) => refuse(409, "Conflict", "it was changed"),
                Ok(object) => full(&self.put(collection, object)),
                Err(error) => refuse(400, "BadRequest", &error.to_string()),
            },
            _ => refuse(405, "MethodNotAllowed", "not allowed"),
        }
    }

    fn list(&self, target: &Target) -> Answer {
        let Some(objects) = self.collections.get(&target.collection) else {
            return refuse(404, "NotFound", "no such collection");
        };
        let from: usize = target.query.get("continue").and_then(|from| from.parse().ok()).unwrap_or(0);
        let limit: usize =
            target.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let all: Vec<&Value> = objects.values().filter(|object| target.selects(object)).collect();
        let page: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
        let next =
            if from + page.len() < all.len() { (from + page.len()).to_string() } else { String::new() };
        let meta = json!({"resourceVersion": self.version.to_string(), "continue": next});
        full(&json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": page}))
    }

    fn watch(&mut self, target: Target) -> Answer {
        if target.query.contains_key("sendInitialEvents") && !self.streams {
            return refuse(422, "Invalid", "sendInitialEvents is forbidden for watch");
        }
        let Some(objects) = self.collections.get(&target.collection) else {
            return refuse(404, "NotFound", "no such collection");
        };
        let (sender, receiver) = unbounded_channel();
        let mut lines = Vec::new();
        let from: u64 = target.query.get("resourceVersion").and_then(|from| from.parse().ok()).unwrap_or(0);
        if target.query.contains_key("sendInitialEvents") {
            lines.extend(objects.values().filter(|o| target.selects(o)).map(|object| line("ADDED", object)));
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            let bookmark = json!({"metadata":
                {"resourceVersion": self.version.to_string(), "annotations": annotations}});
            lines.push(line("BOOKMARK", &bookmark));
        } else if from < self.compacted {
            let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
            lines.push(line("ERROR", &status));
        } else {
            let later = self.history.iter().filter(|h| h.version > from && h.collection == target.collection);
            lines.extend(later.filter(|h| target.selects(&h.object)).map(|h| line(h.kind, &h.object)));
        }
        for line in lines {
            // The receiver is ours.
            let _ = sender.send(Ok(line));
        }
        self.watches.push(Watch { target, sender });
        (StatusCode::OK, AnswerBody(receiver))
    }

    fn happened(&mut self, collection: &str, kind: &'static str, object: Value) {
        self.watches.retain(|watch| {
            watch.target.collection != collection
                || !watch.target.selects(&object)
                || watch.sender.send(Ok(line(kind, &object))).is_ok()
        });
        self.history.push(Happening {
            version: self.version,
            collection: collection.to_owned(),
            kind,
            object,
        });
    }

    fn has(&self, collection: &str, object: &Value) -> bool {
        self.collections.get(collection).is_some_and(|objects| objects.contains_key(&key(object)))
    }

    fn is_stale(&self, collection: &str, object: &Value) -> bool {
        let stored = self.collections.get(collection).and_then(|objects| objects.get(&key(object)));
        let version = &object["metadata"]["resourceVersion"];
        !version.is_null() && stored.is_some_and(|stored| stored["metadata"]["resourceVersion"] != *version)
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            collections: BTreeMap::new(),
            version: 100,
            history: Vec::new(),
            compacted: 0,
            watches: Vec::new(),
            streams: true,
        }
    }
}

impl Target {
    fn parse(request: &Request<Bytes>) -> Option<Self> {
        let segments: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        let root = if *segments.first()? == "api" { 2 } else { 3 };
        let (root, rest) = segments.split_at_checked(root)?;
        let (namespace, plural, name) = match rest {
            ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
            ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
            [plural, name] => (None, *plural, Some(*name)),
            [plural] => (None, *plural, None),
            _ => return None,
        };
        let parameters = request.uri().query().unwrap_or_default().split('&');
        let query = parameters.filter_map(|pair| pair.split_once('='));
        Some(Self {
            collection: format!("/{}/{plural}", root.join("/")),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            query: query.map(|(name, value)| (name.to_owned(), decode(value))).collect(),
        })
    }

    /// Whether an object is in the namespace and has what the selectors of the form `a=b,c=d` want.
    fn selects(&self, object: &Value) -> bool {
        let terms = |name: &str| self.query.get(name).cloned().unwrap_or_default();
        let fields = terms("fieldSelector");
        let labels = terms("labelSelector");
        let pairs = |text: &str| -> Vec<(String, String)> {
            text.split(',')
                .filter_map(|t| t.split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect()
        };
        self.namespace.as_deref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
            && pairs(&fields).iter().all(|(path, want)| {
                object.pointer(&format!("/{}", path.replace('.', "/"))) == Some(&json!(want))
            })
            && pairs(&labels).iter().all(|(key, want)| object["metadata"]["labels"][key] == *want)
    }
}

impl AnswerBody {
    pub(super) fn full(bytes: impl Into<Bytes>) -> Self {
        let (sender, receiver) = unbounded_channel();
        // The receiver is ours.
        let _ = sender.send(Ok(bytes.into()));
        Self(receiver)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({"type": kind, "object": object})).into()
}

fn full(object: &Value) -> Answer {
    (StatusCode::OK, AnswerBody::full(object.to_string()))
}

fn refuse(code: u16, reason: &str, message: &str) -> Answer {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, AnswerBody::full(status_object(code, reason, message)))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
