//! The `otlp` receiver: OTLP over gRPC and HTTP.
//!
//! One instance serves all signals. A request's body is checked once and stays encoded; the answer waits for the
//! pipelines, so that what is answered with success was taken.

mod config;
mod grpc;
mod http;
mod intake;

pub use config::{Config, HttpConfig, OtlpHttpDefaults, Protocols};

use std::sync::{Arc, Mutex, PoisonError};

use component::{
    BoxError, Component, Host, Meta, Notice, Outputs, ReceiverFactory, Settings, Stability, async_trait,
};
use net::{GrpcService, HttpService, Listener, LocalAddress, ServeOptions, Server, ServerTls};
use tokio::time::Instant;

use crate::grpc::Methods;
use crate::http::Paths;
use crate::intake::Intake;

/// Makes `otlp` receivers.
pub fn factory() -> ReceiverFactory {
    ReceiverFactory::new::<Config>(
        Meta {
            kind: "otlp",
            aliases: &[],
            deprecated_aliases: &[],
            signals: Stability::Stable.for_all_signals(),
        },
        |settings, config, outputs| Ok(Arc::new(OtlpReceiver::new(settings, config, outputs))),
    )
}

/// The receiver: up to one gRPC and one HTTP server.
pub struct OtlpReceiver {
    settings: Settings,
    config: Arc<Config>,
    outputs: Outputs,
    servers: Mutex<Servers>,
}

#[derive(Default, Clone)]
struct Servers {
    grpc: Option<Arc<Server>>,
    http: Option<Arc<Server>>,
}

impl OtlpReceiver {
    /// A receiver that sends to `outputs`; it listens from its start on.
    pub fn new(settings: Settings, config: Arc<Config>, outputs: Outputs) -> Self {
        Self { settings, config, outputs, servers: Mutex::default() }
    }

    /// Where gRPC listens, once started.
    pub fn grpc_address(&self) -> Option<LocalAddress> {
        self.servers().grpc.map(|server| server.local_address().clone())
    }

    /// Where HTTP listens, once started.
    pub fn http_address(&self) -> Option<LocalAddress> {
        self.servers().http.map(|server| server.local_address().clone())
    }

    fn servers(&self) -> Servers {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn start_grpc(&self, host: &Host, config: &net::GrpcServerConfig) -> Result<Server, net::Error> {
        net::check_extensions(config.auth.as_ref(), &config.middlewares)?;
        let tls = match &config.tls {
            Some(tls) => Some(ServerTls::load(tls, &["h2"]).await?),
            None => None,
        };
        let listener = Listener::bind(config.transport, &config.endpoint).await?;
        announce(host, "OTLP/gRPC", "Starting GRPC server", &listener);
        let intake = Intake::new(&self.settings, "grpc", &self.outputs, config.include_metadata);
        let service = GrpcService::new(Methods::new(intake), config.max_message_size());
        let options = net::grpc_serve_options(config);
        Ok(self.serve(host, "grpc", listener, tls, options, service))
    }

    async fn start_http(&self, host: &Host, config: &HttpConfig) -> Result<Server, net::Error> {
        let server = &config.server;
        net::check_extensions(server.auth.as_ref(), &server.middlewares)?;
        let tls = match &server.tls {
            Some(tls) => Some(ServerTls::load(tls, &["h2", "http/1.1"]).await?),
            None => None,
        };
        let listener = Listener::bind(server.transport, &server.endpoint).await?;
        announce(host, "OTLP/HTTP", "Starting HTTP server", &listener);
        let intake = Intake::new(&self.settings, "http", &self.outputs, server.include_metadata);
        let service = HttpService::new(server, Paths::new(config, intake));
        Ok(self.serve(host, "http", listener, tls, net::http_serve_options(server), service))
    }

    fn serve(
        &self,
        host: &Host,
        protocol: &str,
        listener: Listener,
        tls: Option<ServerTls>,
        options: ServeOptions,
        handler: impl net::Handler,
    ) -> Server {
        let name = format!("{}: {protocol} server", self.settings.id);
        Server::start(host, name, listener, tls, options, handler)
    }
}

fn announce(host: &Host, what: &str, message: &str, listener: &Listener) {
    let endpoint = listener.local_address().to_string();
    tracing::info!(endpoint, "{message}");
    host.notice(Notice::Listening { what: what.to_owned(), address: endpoint });
}

#[async_trait]
impl Component for OtlpReceiver {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        if let Some(config) = self.config.protocols.grpc.as_ref() {
            let server = Arc::new(self.start_grpc(host, config).await?);
            self.servers.lock().unwrap_or_else(PoisonError::into_inner).grpc = Some(server);
        }
        if let Some(config) = self.config.protocols.http.as_ref() {
            let server = Arc::new(self.start_http(host, config).await?);
            self.servers.lock().unwrap_or_else(PoisonError::into_inner).http = Some(server);
        }
        Ok(())
    }

    async fn shutdown(&self, deadline: Instant) -> Result<(), BoxError> {
        let Servers { grpc, http } = self.servers();
        let stop = async |server: Option<Arc<Server>>| {
            if let Some(server) = server {
                server.shutdown(deadline).await;
            }
        };
        tokio::join!(stop(grpc), stop(http));
        Ok(())
    }
}
