//! A server that answers by a script, and an exporter that sends to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use component::{Exporter, Host, Kind};
use net::{
    Call, GrpcService, Handler, Listener, Method, ServeOptions, Server, ServerTls, Status, Transport,
    UnaryReply, Unknown,
};
use pdata::{Batch, Signal};
use testkit::TestTelemetry;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the server was sent: service, method, headers, message.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) authority: Option<String>,
    pub(crate) message: Bytes,
    pub(crate) accepted: bool,
}

/// Answers by a script, then with full success.
#[derive(Default, Clone)]
pub(crate) struct Script {
    pub(crate) answers: Arc<Mutex<VecDeque<UnaryReply>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) changed: Arc<Notify>,
}

impl Method for Script {
    type Route = Signal;

    fn route(&self, service: &str, method: &str) -> Result<Signal, Unknown> {
        assert_eq!(method, "Export");
        Signal::ALL
            .into_iter()
            .find(|signal| net::otlp::grpc_path(*signal) == format!("/{service}/Export"))
            .ok_or(Unknown::Service)
    }

    async fn call(&self, signal: Signal, call: Call) -> UnaryReply {
        let Call { message, headers, authority, .. } = call;
        let service = net::otlp::grpc_path(signal).to_owned();
        let authority = authority.map(|authority| authority.to_string());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(Bytes::new()));
        let accepted = answer.is_ok();
        self.seen.lock().unwrap().push(Seen { service, headers, authority, message, accepted });
        self.changed.notify_one();
        answer
    }
}

impl Script {
    pub(crate) fn answering(answers: impl IntoIterator<Item = UnaryReply>) -> Self {
        let script = Self::default();
        script.answer(answers);
        script
    }

    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = UnaryReply>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn failing(status: Status) -> Self {
        Self::answering([Err(status)])
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A server on `endpoint`; with TLS if there is any.
    pub(crate) async fn serve(&self, host: &Host, endpoint: &str, tls: Option<ServerTls>) -> Server {
        serve(host, endpoint, tls, GrpcService::new(self.clone(), 4 << 20)).await
    }
}

/// A server of HTTP/2 on `endpoint`.
pub(crate) async fn serve<H: Handler>(
    host: &Host,
    endpoint: &str,
    tls: Option<ServerTls>,
    handler: H,
) -> Server {
    let listener = Listener::bind(Transport::Tcp, endpoint).await.unwrap();
    let options = ServeOptions { http2_only: true, ..ServeOptions::default() };
    Server::start(host, "peer", listener, tls, options, handler)
}

/// An exporter as the service has it.
pub(crate) struct Running {
    pub(crate) exporter: Arc<dyn Exporter>,
    pub(crate) host: Host,
    pub(crate) telemetry: TestTelemetry,
}

impl Running {
    pub(crate) async fn start(yaml: &str, signal: Signal) -> Self {
        Self::try_start(yaml, signal).await.unwrap()
    }

    pub(crate) async fn try_start(yaml: &str, signal: Signal) -> Result<Self, component::BoxError> {
        let telemetry = TestTelemetry::default();
        let factory = otlpexporter::factory();
        let node = confmap::from_yaml::<otlpexporter::Config>(yaml).unwrap();
        let config: component::AnyConfig = Arc::new(node);
        let settings = telemetry.settings(Kind::Exporter, "otlp_grpc");
        let exporter = factory.create(settings, &config, signal)?;
        let host = Host::standalone();
        exporter.start(&host).await?;
        Ok(Self { exporter, host, telemetry })
    }

    pub(crate) async fn send(&self, batch: Batch) -> Result<(), component::ConsumeError> {
        self.exporter.consume(batch).await
    }

    pub(crate) async fn shutdown(&self) {
        self.exporter.shutdown(Instant::now() + Duration::from_secs(10)).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }
}

/// Sends while the caller waits, without retries and without TLS.
pub(crate) fn direct(endpoint: impl std::fmt::Display, more: &str) -> String {
    format!(
        "{{endpoint: '{endpoint}', sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}, tls: {{insecure: true}}{more}}}"
    )
}
