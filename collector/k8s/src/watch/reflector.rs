//! The loop that keeps a store equal to what the API server has.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Plan, Step};
use super::scope::{Scope, push};
use crate::client::{Access, ApiStream};
use crate::random::Random;
use crate::row::{Decoded, Row};
use crate::store::Store;
use crate::wire::{Event, EventReader, ListMeta, ListReader};
use crate::{ApiServer, Error, Projection};

/// Objects in a page of a list.
const PAGE: &str = "500";

/// How long the head of an answer may take.
const HEAD: Duration = Duration::from_secs(60);

/// How long a list may send nothing.
const QUIET_LIST: Duration = Duration::from_secs(60);

/// How long a watch may send nothing if its server sends bookmarks, which come about every minute.
const QUIET_WATCH: Duration = Duration::from_secs(180);

/// How much longer than was asked for a watch may last.
const OVERTIME: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Keeps a store equal to what the API server has.
pub(super) struct Reflector<R> {
    api: ApiServer,
    /// The path of the list, ready for parameters.
    path: String,
    /// The resource as roles name it.
    resource: String,
    metadata_only: bool,
    projection: Projection,
    store: Arc<Store<R>>,
    plan: Plan,
    /// What was last warned of: the same trouble is told once.
    told: Option<String>,
}

impl<R: Row> Reflector<R> {
    pub(super) fn new(api: ApiServer, scope: &Scope, projection: Projection, store: Arc<Store<R>>) -> Self {
        let resource = R::RESOURCE;
        Self {
            api,
            path: scope.path(&resource),
            resource: if resource.group.is_empty() {
                resource.plural.to_owned()
            } else {
                format!("{}.{}", resource.plural, resource.group)
            },
            metadata_only: resource.metadata_only && !projection.status,
            projection,
            store,
            plan: Plan::new(Random::new()),
            told: None,
        }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        loop {
            let step = self.plan.next();
            let began = Instant::now();
            let wait = match self.take(&step).await {
                Ok(()) => self.plan.ended(&step, began.elapsed()),
                Err(error) => {
                    let wait = self.plan.failed(&step, &error, began.elapsed());
                    self.report(&error, wait);
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::StreamList => self.watch(None).await,
            Step::Watch { version } => self.watch(Some(version)).await,
            Step::PageList { any_version } => self.list(*any_version).await,
        }
    }

    /// Takes events in until the server ends the watch; without a version all objects come first.
    async fn watch(&mut self, version: Option<&str>) -> Result<(), Error> {
        let seconds = self.plan.watch_seconds();
        let mut path = self.path.clone();
        push(&mut path, "watch", "true");
        push(&mut path, "allowWatchBookmarks", "true");
        push(&mut path, "timeoutSeconds", &seconds.to_string());
        match version {
            Some(version) => push(&mut path, "resourceVersion", version),
            None => {
                push(&mut path, "sendInitialEvents", "true");
                push(&mut path, "resourceVersionMatch", "NotOlderThan");
                push(&mut path, "resourceVersion", "");
            }
        }
        let accept = if self.metadata_only { METADATA } else { JSON };
        let mut body = self.open("watch", &path, accept).await?;
        let mut stream = Stream { listing: version.is_none(), bookmarks: false, version: String::new() };
        if stream.listing {
            self.store.begin_list();
        }
        let end = Instant::now() + Duration::from_secs(seconds) + OVERTIME;
        let mut events = EventReader::default();
        loop {
            let patience = stream.patience(end);
            let Some(chunk) = chunk(&mut body, patience).await? else { return stream.finish() };
            events.feed(&chunk, &self.projection, self.store.interner(), |event| {
                take_event(event, &mut stream, &self.store, &self.resource);
            })?;
            if !stream.listing && !stream.version.is_empty() {
                self.plan.reached(std::mem::take(&mut stream.version));
                self.works();
            }
        }
    }

    /// Takes all pages of a list in.
    async fn list(&mut self, any_version: bool) -> Result<(), Error> {
        self.store.begin_list();
        let mut next = String::new();
        loop {
            let mut path = self.path.clone();
            push(&mut path, "limit", PAGE);
            if !next.is_empty() {
                push(&mut path, "continue", &next);
            } else if any_version {
                push(&mut path, "resourceVersion", "0");
            }
            let meta = self.page(&path).await?;
            if meta.next.is_empty() {
                self.store.end_list();
                self.plan.reached(meta.resource_version);
                self.works();
                return Ok(());
            }
            next = meta.next;
        }
    }

    async fn page(&mut self, path: &str) -> Result<ListMeta, Error> {
        let accept = if self.metadata_only { METADATA_LIST } else { JSON };
        let mut body = self.open("list", path, accept).await?;
        let mut list = ListReader::default();
        let Self { projection, store, resource, .. } = self;
        while let Some(chunk) = chunk(&mut body, QUIET_LIST).await? {
            list.feed(&chunk, projection, store.interner(), |row| {
                match row {
                    Ok(row) => store.apply(row),
                    Err(error) => left_out(store, resource, &error),
                }
                Ok(())
            })?;
        }
        list.finish()
    }

    async fn open(&self, verb: &'static str, path: &str, accept: &str) -> Result<ApiStream, Error> {
        self.api.open(path, accept, Access { verb, resource: &self.resource }, HEAD).await
    }

    fn report(&mut self, error: &Error, wait: Duration) {
        // Both are part of how the API server works.
        if matches!(error, Error::Gone) {
            tracing::debug!(resource = self.resource, "the version known is too old: listing anew");
            return;
        }
        let words = component::causes(error);
        self.store.failed(words.clone());
        if wait.is_zero() {
            tracing::debug!(resource = self.resource, error = words, "lists come in pages");
        } else if self.told.as_ref() != Some(&words) {
            tracing::warn!(
                resource = self.resource,
                error = words,
                retry_in = ?wait,
                "cannot watch the API server's objects"
            );
            self.told = Some(words);
        }
    }

    fn works(&mut self) {
        if self.store.works() && self.told.take().is_some() {
            tracing::info!(resource = self.resource, "watching the API server's objects again");
        }
    }
}

/// What is known of a watch's answer so far.
struct Stream {
    /// The objects that a streamed list begins with are not complete yet.
    listing: bool,
    /// The server sends bookmarks.
    bookmarks: bool,
    /// The newest version seen; empty if the plan knows it.
    version: String,
}

impl Stream {
    fn patience(&self, end: Instant) -> Duration {
        let left = end.saturating_duration_since(Instant::now());
        match (self.listing, self.bookmarks) {
            (true, _) => left.min(QUIET_LIST),
            (false, true) => left.min(QUIET_WATCH),
            (false, false) => left,
        }
    }

    fn finish(&self) -> Result<(), Error> {
        if self.listing { Err(Error::CutOff { offset: 0 }) } else { Ok(()) }
    }
}

fn take_event<R: Row>(event: Event<R>, stream: &mut Stream, store: &Store<R>, resource: &str) {
    stream.version = match event {
        Event::Applied(Decoded { row, version }) => {
            store.apply(row);
            version
        }
        Event::Undecodable { version, error } => {
            left_out(store, resource, &error);
            version
        }
        Event::Deleted { namespace, name, uid, version } => {
            store.delete(&namespace, &name, &uid);
            version
        }
        Event::Bookmark { version, initial_events_end } => {
            stream.bookmarks = true;
            if initial_events_end && stream.listing {
                stream.listing = false;
                store.end_list();
            }
            version
        }
    };
}

fn left_out<R: Row>(store: &Store<R>, resource: &str, error: &serde_json::Error) {
    if store.undecodable() {
        tracing::warn!(resource, %error, "left out an object that cannot be understood; others like it are counted");
    }
}

/// What arrives next; nothing at the end of the answer.
async fn chunk(body: &mut ApiStream, patience: Duration) -> Result<Option<bytes::Bytes>, Error> {
    tokio::time::timeout(patience, body.chunk()).await.unwrap_or(Err(Error::Silent(patience)))
}
