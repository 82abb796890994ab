//! The collector's own metrics: the meter of all components, served for Prometheus.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use component::{BuildInfo, Host, Notice};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use net::{App, HttpRequest, HttpServerConfig, HttpServerDefaults, HttpService, Listener, RequestError};
use net::{ServeOptions, Server, Transport, WholeBody, respond};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
use tokio::time::Instant;

use super::config::{Prometheus, TelemetryConfig};
use super::{intake, process};

/// Why the metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address is taken, or not ours.
    #[error("binding address {address} for Prometheus exporter: {source}")]
    Bind {
        /// The configured address.
        address: String,
        /// The reason.
        #[source]
        source: net::ListenError,
    },
    /// The exporter cannot be made.
    #[error("Prometheus exporter: {0}")]
    Exporter(String),
}

/// Connections of a metrics server: scrapers are few.
const MAX_CONNECTIONS: usize = 64;
/// Time limit of a scrape that is under way when the servers stop.
const SCRAPE_GRACE: Duration = Duration::from_millis(200);

/// The meter provider and its servers.
pub struct SelfMetrics {
    provider: SdkMeterProvider,
    servers: Mutex<Vec<Server>>,
}

/// Answers scrapes.
struct Scrapes {
    registry: Registry,
    errors: IntCounterVec,
}

/// The defaults of upstream's HTTP servers; the endpoint comes from the readers' configuration.
struct Defaults;

impl HttpServerDefaults for Defaults {
    const ENDPOINT: &'static str = "";
}

impl SelfMetrics {
    /// Metrics that nobody reads.
    pub fn none() -> Self {
        Self { provider: SdkMeterProvider::builder().build(), servers: Mutex::default() }
    }

    /// Binds the configured servers and begins to measure.
    pub(crate) async fn start(
        config: &TelemetryConfig,
        build: &BuildInfo,
        host: &Host,
    ) -> Result<Self, MetricsError> {
        let mut listeners = Vec::new();
        for server in config.metrics.servers() {
            listeners.push((bind(&server).await?, server));
        }
        let mut builder = SdkMeterProvider::builder().with_resource(resource(config, build));
        let mut registries = Vec::new();
        for (listener, server) in listeners {
            let registry = Registry::new();
            builder = builder.with_reader(exporter(&registry, &server)?);
            registries.push((listener, registry));
        }
        let metrics = Self { provider: builder.build(), servers: Mutex::default() };
        process::observe(&metrics.meter());
        intake::observe(&metrics.meter(), host.intake());
        for (listener, registry) in registries {
            metrics.serve(listener, registry, host)?;
        }
        Ok(metrics)
    }

    /// The meter of all components.
    pub fn meter(&self) -> Meter {
        self.provider.meter("otelcol-insights")
    }

    fn serve(&self, listener: Listener, registry: Registry, host: &Host) -> Result<(), MetricsError> {
        let errors = IntCounterVec::new(
            Opts::new(
                "promhttp_metric_handler_errors_total",
                "Total number of internal errors encountered by the promhttp metric handler.",
            ),
            &["cause"],
        )
        .map_err(|error| MetricsError::Exporter(error.to_string()))?;
        // Both causes are visible from the start, as upstream's handler shows them.
        ["encoding", "gathering"].into_iter().for_each(|cause| errors.with_label_values(&[cause]).inc_by(0));
        registry
            .register(Box::new(errors.clone()))
            .map_err(|error| MetricsError::Exporter(error.to_string()))?;
        let address = listener.local_address().to_string();
        host.notice(Notice::Listening { what: "the collector's own metrics, /metrics".into(), address });
        let config = HttpServerConfig::<Defaults>::default();
        let options = ServeOptions {
            max_connections: MAX_CONNECTIONS,
            own_intake: true,
            ..net::http_serve_options(&config)
        };
        let service = HttpService::new(&config, Scrapes { registry, errors });
        let server = Server::start(host, "telemetry: metrics server", listener, None, options, service);
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        Ok(())
    }

    /// Closes the servers. A scrape under way is not waited for.
    pub(crate) async fn shutdown(&self) {
        let servers: Vec<_> =
            std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        for server in servers {
            server.shutdown(Instant::now() + SCRAPE_GRACE).await;
        }
    }
}

async fn bind(server: &Prometheus) -> Result<Listener, MetricsError> {
    let host = server.host.as_str();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{host}:{}", server.port.unwrap_or_default());
    Listener::bind(Transport::Tcp, &address).await.map_err(|source| MetricsError::Bind { address, source })
}

fn exporter(
    registry: &Registry,
    server: &Prometheus,
) -> Result<opentelemetry_prometheus::PrometheusExporter, MetricsError> {
    let mut builder = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    if server.without_units {
        builder = builder.without_units();
    }
    if server.without_type_suffix {
        builder = builder.without_counter_suffixes();
    }
    builder
        .scope_info_enabled(!server.without_scope_info)
        .build()
        .map_err(|error| MetricsError::Exporter(error.to_string()))
}

fn resource(config: &TelemetryConfig, build: &BuildInfo) -> Resource {
    let mut attributes = std::collections::BTreeMap::from([
        ("service.name".to_owned(), Some(build.command.clone())),
        ("service.version".to_owned(), Some(build.version.clone())),
        ("service.instance.id".to_owned(), Some(uuid::Uuid::new_v4().to_string())),
    ]);
    attributes.extend(config.resource());
    let attributes = attributes.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?)));
    Resource::builder_empty().with_attributes(attributes).build()
}

impl App for Scrapes {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        const TEXT: &str = "text/plain; charset=utf-8";
        if request.parts.uri.path() != "/metrics" {
            return respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n");
        }
        if !matches!(request.parts.method, Method::GET | Method::HEAD) {
            return respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Method Not Allowed\n");
        }
        let mut body = Vec::new();
        let encoder = TextEncoder::new();
        match encoder.encode(&self.registry.gather(), &mut body) {
            Ok(()) => {
                let mut response = respond(StatusCode::OK, TEXT, body);
                if let Ok(format) = HeaderValue::try_from(encoder.format_type()) {
                    response.headers_mut().insert(header::CONTENT_TYPE, format);
                }
                response
            }
            Err(error) => {
                self.errors.with_label_values(&["encoding"]).inc();
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string())
            }
        }
    }

    fn refuse(&self, _request: &Parts, error: &RequestError) -> Response<WholeBody> {
        respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", format!("{error}\n"))
    }
}
