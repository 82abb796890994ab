//! The `health_check` extension: answers over HTTP whether all pipelines run.

mod config;
mod health;

pub use config::{Config, HealthDefaults};

use std::sync::{Arc, OnceLock};

use component::{
    BoxError, Component, Extension, ExtensionFactory, Host, Meta, Notice, Settings, async_trait,
};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use net::{
    App, HttpRequest, HttpService, Listener, LocalAddress, RequestError, ServeOptions, Server, ServerTls,
    WholeBody, respond,
};
use tokio::time::Instant;

use crate::health::Health;

/// Connections of the server: probes are few.
const MAX_CONNECTIONS: usize = 64;

/// Makes `health_check` extensions.
pub fn factory() -> ExtensionFactory {
    let meta = Meta { kind: "health_check", aliases: &[], deprecated_aliases: &[], signals: &[] };
    ExtensionFactory::new::<Config>(meta, |settings, config, ()| {
        Ok(Arc::new(HealthCheck::new(settings, config)))
    })
}

/// The extension: one HTTP server.
pub struct HealthCheck {
    settings: Settings,
    config: Arc<Config>,
    health: Arc<Health>,
    server: OnceLock<Server>,
}

/// Answers by the health of the moment.
struct Answers {
    config: Arc<Config>,
    health: Arc<Health>,
}

impl HealthCheck {
    /// An extension that listens from its start on, and is not ready until it is told so.
    pub fn new(settings: Settings, config: Arc<Config>) -> Self {
        Self { settings, config, health: Arc::default(), server: OnceLock::new() }
    }

    /// Where it listens, once started.
    pub fn address(&self) -> Option<LocalAddress> {
        self.server.get().map(|server| server.local_address().clone())
    }

    async fn serve(
        settings: Settings,
        config: Arc<Config>,
        health: Arc<Health>,
        host: Host,
    ) -> Result<Server, net::Error> {
        let server = &config.server;
        net::check_extensions(server.auth.as_ref(), &server.middlewares)?;
        let tls = match &server.tls {
            Some(tls) => Some(ServerTls::load(tls, &["h2", "http/1.1"]).await?),
            None => None,
        };
        let listener = Listener::bind(server.transport, &server.endpoint).await?;
        let endpoint = listener.local_address().to_string();
        tracing::info!(endpoint, "Starting health_check extension");
        host.notice(Notice::Listening { what: "health_check".into(), address: endpoint });
        let answers = Answers { config: config.clone(), health };
        let service = HttpService::new(server, answers);
        let name = format!("{}: server", settings.id);
        let options = ServeOptions {
            max_connections: MAX_CONNECTIONS,
            own_intake: true,
            ..net::http_serve_options(server)
        };
        Ok(Server::start(&host, name, listener, tls, options, service))
    }
}

#[async_trait]
impl Component for HealthCheck {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        // Probes are answered whatever the pipelines do.
        let host = host.on_control();
        let (settings, config, health) = (self.settings.clone(), self.config.clone(), self.health.clone());
        let name = format!("{}: start", self.settings.id);
        let server = host.spawn(name, Self::serve(settings, config, health, host.clone())).await??;
        self.server.set(server).map_err(|_| "started twice".into())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        if let Some(server) = self.server.get() {
            server.shutdown(deadline).await;
        }
        Ok(())
    }
}

impl Extension for HealthCheck {
    fn ready(&self) {
        self.health.set_ready(true);
    }

    fn not_ready(&self) {
        self.health.set_ready(false);
    }
}

impl Answers {
    fn answer(&self) -> Response<WholeBody> {
        let ready = self.health.is_ready();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        match &self.config.response_body {
            Some(texts) => {
                let text = if ready { &texts.healthy } else { &texts.unhealthy };
                respond(status, "text/plain; charset=utf-8", text.clone())
            }
            None => respond(status, "application/json", self.health.to_json()),
        }
    }
}

impl App for Answers {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        let path = request.parts.uri.path();
        let mine = self.config.path == "/" || self.config.path == path;
        let mut response = if mine {
            self.answer()
        } else {
            respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
        };
        // Probes come rarely; their connections need not be kept.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        let status = match error {
            RequestError::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        respond(status, "text/plain; charset=utf-8", format!("{error}\n"))
    }
}
