//! What users write under `receivers: otlp:`.

use std::time::Duration;

use confmap::{Optional, Problems};
use net::{GrpcServerConfig, HttpServerConfig, HttpServerDefaults};
use serde::Deserialize;

/// The receiver's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What it speaks.
    pub protocols: Protocols,
}

/// A protocol is on when its key is there, even without a value, and not `enabled: false`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Optional<GrpcServerConfig>,
    /// OTLP/HTTP.
    pub http: Optional<HttpConfig>,
}

/// OTLP/HTTP: the server and its paths.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(UrlPaths, HttpServerConfig<OtlpHttpDefaults>)")]
pub struct HttpConfig {
    /// The server.
    pub server: HttpServerConfig<OtlpHttpDefaults>,
    /// Where each signal is received.
    pub paths: UrlPaths,
}

/// Where each signal is received. Every path starts with a slash.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct UrlPaths {
    /// Traces.
    pub traces_url_path: UrlPath,
    /// Metrics.
    pub metrics_url_path: UrlPath,
    /// Logs.
    pub logs_url_path: UrlPath,
}

/// A path with a slash in front.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct UrlPath(String);

/// The defaults of the receiver's HTTP server: no timeouts.
#[derive(Debug, Clone, Copy)]
pub struct OtlpHttpDefaults;

impl HttpServerDefaults for OtlpHttpDefaults {
    const ENDPOINT: &'static str = "localhost:4318";
    const READ_HEADER_TIMEOUT: Duration = Duration::ZERO;
    const WRITE_TIMEOUT: Duration = Duration::ZERO;
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.protocols.grpc.is_none() && self.protocols.http.is_none() {
            problems.report("must specify at least one protocol when using the OTLP receiver");
        }
        problems.at("protocols", |problems| {
            if let Some(grpc) = self.protocols.grpc.as_ref() {
                problems.at("grpc", |problems| grpc.validate(problems));
            }
            if let Some(http) = self.protocols.http.as_ref() {
                problems.at("http", |problems| http.server.validate(problems));
            }
        });
    }
}

impl UrlPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for UrlPath {
    fn from(path: String) -> Self {
        if path.starts_with('/') { Self(path) } else { Self(format!("/{path}")) }
    }
}

impl Default for UrlPaths {
    fn default() -> Self {
        let path = |path: &str| UrlPath(path.to_owned());
        Self {
            traces_url_path: path("/v1/traces"),
            metrics_url_path: path("/v1/metrics"),
            logs_url_path: path("/v1/logs"),
        }
    }
}

impl From<(UrlPaths, HttpServerConfig<OtlpHttpDefaults>)> for HttpConfig {
    fn from((paths, server): (UrlPaths, HttpServerConfig<OtlpHttpDefaults>)) -> Self {
        Self { server, paths }
    }
}
