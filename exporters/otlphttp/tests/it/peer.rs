//! A server that answers by a script, and an exporter that sends to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use component::{Exporter, Host, Kind};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use net::{
    App, HttpRequest, HttpServerConfig, HttpServerDefaults, HttpService, Listener, RequestError,
    ServeOptions, Server, ServerTls, Transport, WholeBody,
};
use pdata::{Batch, Signal};
use testkit::TestTelemetry;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) struct Defaults;

impl HttpServerDefaults for Defaults {
    const ENDPOINT: &'static str = "127.0.0.1:0";
}

pub(crate) type Answer = (u16, Vec<(&'static str, &'static str)>, &'static [u8]);

/// What the server was sent.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) accepted: bool,
}

/// Answers by a script, then with full success.
#[derive(Default, Clone)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) changed: Arc<Notify>,
}

impl App for Script {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        let (uri, headers) = (request.parts.uri.to_string(), request.parts.headers.clone());
        let body = request.read_body().await.unwrap();
        let answer = self.answers.lock().unwrap().pop_front();
        let (status, answer_headers, answer_body) = answer.unwrap_or((200, vec![], b""));
        self.seen.lock().unwrap().push(Seen { uri, headers, body, accepted: status == 200 });
        self.changed.notify_one();
        let mut response = Response::new(WholeBody::new(answer_body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in answer_headers {
            response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        panic!("{error}")
    }
}

impl Script {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.answer(answers);
        script
    }

    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) async fn serve(&self, host: &Host, tls: Option<ServerTls>) -> Server {
        let listener = Listener::bind(Transport::Tcp, "127.0.0.1:0").await.unwrap();
        let service = HttpService::new(&HttpServerConfig::<Defaults>::default(), self.clone());
        Server::start(host, "peer", listener, tls, ServeOptions::default(), service)
    }
}

pub(crate) struct Running {
    pub(crate) exporter: Arc<dyn Exporter>,
    pub(crate) host: Host,
    pub(crate) telemetry: TestTelemetry,
}

impl Running {
    pub(crate) async fn start(keys: &str, signal: Signal) -> Self {
        let yaml =
            format!("{{sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}, {keys}}}");
        let config: component::AnyConfig =
            Arc::new(confmap::from_yaml::<otlphttpexporter::Config>(&yaml).unwrap());
        let telemetry = TestTelemetry::default();
        let settings = telemetry.settings(Kind::Exporter, "otlp_http");
        let exporter = otlphttpexporter::factory().create(settings, &config, signal).unwrap();
        let host = Host::standalone();
        exporter.start(&host).await.unwrap();
        Self { exporter, host, telemetry }
    }

    pub(crate) async fn send(&self, batch: Batch) -> Result<(), component::ConsumeError> {
        self.exporter.consume(batch).await
    }

    pub(crate) async fn shutdown(&self) {
        self.exporter.shutdown(Instant::now() + Duration::from_secs(10)).await.unwrap();
        assert_eq!(self.host.tasks().names(), Vec::<String>::new());
    }
}
