//! The collector's own metrics: the meter of all components, served for Prometheus.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use component::{BuildInfo, Host, Notice};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::{Prometheus, TelemetryConfig};
use super::process;

/// Why the metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address is taken, or not ours.
    #[error("binding address {address} for Prometheus exporter: listen tcp {address}: bind: {reason}")]
    Bind {
        /// Where it should have listened.
        address: String,
        /// What the kernel said.
        reason: String,
    },
    /// The exporter cannot be made.
    #[error("Prometheus exporter: {0}")]
    Exporter(String),
}

/// The meter provider and its servers.
pub struct SelfMetrics {
    provider: SdkMeterProvider,
    stop: CancellationToken,
    servers: Mutex<Vec<JoinHandle<()>>>,
}

impl SelfMetrics {
    /// Metrics that nobody reads.
    pub fn none() -> Self {
        Self {
            provider: SdkMeterProvider::builder().build(),
            stop: CancellationToken::new(),
            servers: Mutex::default(),
        }
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
        let metrics =
            Self { provider: builder.build(), stop: CancellationToken::new(), servers: Mutex::default() };
        process::observe(&metrics.meter());
        for (listener, registry) in registries {
            metrics.serve(listener, registry, host)?;
        }
        Ok(metrics)
    }

    /// The meter of all components.
    pub fn meter(&self) -> Meter {
        self.provider.meter("otelcol-insights")
    }

    fn serve(&self, listener: TcpListener, registry: Registry, host: &Host) -> Result<(), MetricsError> {
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
        let address =
            listener.local_addr().map_or_else(|_| String::new(), |address: SocketAddr| address.to_string());
        host.notice(Notice::Listening { what: "the collector's own metrics, /metrics".into(), address });
        let router = Router::new().route("/metrics", get(move || async move { answer(&registry, &errors) }));
        let stop = self.stop.clone();
        let server = host.spawn("telemetry: metrics server", async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "the metrics server failed");
            }
        });
        self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(server);
        Ok(())
    }

    /// Closes the servers. A scrape under way is not waited for.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        let servers: Vec<_> =
            std::mem::take(&mut *self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for mut server in servers {
            let grace = std::time::Duration::from_millis(200);
            if tokio::time::timeout(grace, &mut server).await.is_err() {
                server.abort();
                // Only to see it off the list: it was told to stop.
                let _ = server.await;
            }
        }
    }
}

async fn bind(server: &Prometheus) -> Result<TcpListener, MetricsError> {
    let port = server.port.unwrap_or_default();
    TcpListener::bind((server.host.as_str(), port)).await.map_err(|source| MetricsError::Bind {
        address: format!("{}:{port}", server.host),
        reason: match source.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            _ => source.to_string(),
        },
    })
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

fn answer(registry: &Registry, errors: &IntCounterVec) -> Response {
    let mut body = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&registry.gather(), &mut body) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], body).into_response(),
        Err(error) => {
            errors.with_label_values(&["encoding"]).inc();
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
