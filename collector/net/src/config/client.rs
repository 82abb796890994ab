//! What clients are configured with (upstream `config/configgrpc`, `config/confighttp`, `config/configcompression`).

use std::fmt;
use std::path::PathBuf;

use confmap::{Duration, Headers, Optional, Problems, Secret};
use serde::Deserialize;

use super::{AuthConfig, MiddlewareConfig, TlsClientConfig, validate_headers};
use crate::Encoding;

/// How a client compresses what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Compression(
    /// `None` for `none` and the empty text.
    pub Option<Encoding>,
);

/// Fine tuning of a compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct CompressionParams {
    /// The algorithm's level; 0 for its default.
    pub level: i32,
}

/// Which of a server's addresses a gRPC client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum BalancerName {
    /// All of them in turn.
    #[default]
    RoundRobin,
    /// The first that answers.
    PickFirst,
}

/// A gRPC client.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct GrpcClientConfig {
    /// Where to send: see [`GrpcTarget::parse`].
    pub endpoint: String,
    /// How messages are compressed.
    pub compression: Compression,
    /// On unless `insecure`.
    pub tls: TlsClientConfig,
    /// Pings on silent connections; none if absent.
    pub keepalive: Option<KeepaliveClientConfig>,
    /// No effect: the transport sizes its buffers by itself.
    pub read_buffer_size: i64,
    /// No effect: the transport sizes its buffers by itself.
    pub write_buffer_size: i64,
    /// Whether calls wait while the server cannot be reached, instead of failing at once.
    pub wait_for_ready: bool,
    /// Sent with every call.
    pub headers: Headers,
    /// Which of the server's addresses are used.
    pub balancer_name: BalancerName,
    /// Overrides `:authority`.
    pub authority: String,
    /// Overrides `user-agent`.
    pub user_agent: String,
    /// Which extension adds credentials.
    pub auth: Option<AuthConfig>,
    /// Extensions that see calls first.
    pub middlewares: Vec<MiddlewareConfig>,
}

/// `keepalive` of a gRPC client.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct KeepaliveClientConfig {
    /// A silent server is pinged after this.
    pub time: Duration,
    /// A server that does not answer a ping in this time is disconnected.
    pub timeout: Duration,
    /// Whether to ping without calls in flight.
    pub permit_without_stream: bool,
}

/// Where a gRPC client connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcTarget {
    /// The place.
    pub place: Place,
    /// Whether the scheme demands TLS, whatever `insecure` says.
    pub force_tls: bool,
}

/// A host with a port, or a Unix domain socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A name or address, and a port.
    Host(String, u16),
    /// A path.
    Unix(PathBuf),
}

/// An HTTP client. The default is upstream's of the OTLP exporter.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct HttpClientConfig {
    /// The base URL.
    pub endpoint: String,
    /// The proxy's URL; that of the environment if empty.
    pub proxy_url: String,
    /// On for `https` URLs; there is no plaintext behind such.
    pub tls: TlsClientConfig,
    /// No effect: the transport sizes its buffers by itself.
    pub read_buffer_size: i64,
    /// No effect: the transport sizes its buffers by itself.
    pub write_buffer_size: i64,
    /// The longest that a whole exchange takes; 0 for any.
    pub timeout: Duration,
    /// Sent with every request; `Host` replaces the URL's.
    pub headers: Headers,
    /// Which extension adds credentials.
    pub auth: Option<AuthConfig>,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Fine tuning of the compression.
    pub compression_params: CompressionParams,
    /// The most idle connections in all; 0 for any number.
    pub max_idle_conns: i64,
    /// The most idle connections to one host; 0 for the library's default.
    pub max_idle_conns_per_host: i64,
    /// The most connections to one host; 0 for any number.
    pub max_conns_per_host: i64,
    /// How long an idle connection is kept; 0 for ever.
    pub idle_conn_timeout: Duration,
    /// Whether every request has a connection of its own.
    pub disable_keep_alives: bool,
    /// A silent HTTP/2 server is pinged after this; 0 for never.
    pub http2_read_idle_timeout: Duration,
    /// A server that does not answer a ping in this time is disconnected; 0 for 15 s.
    pub http2_ping_timeout: Duration,
    /// Whether HTTP/2 is offered to TLS servers.
    pub force_attempt_http2: bool,
    /// Cookies of the server are sent back.
    pub cookies: Optional<CookiesConfig>,
    /// Extensions that see requests first.
    pub middlewares: Vec<MiddlewareConfig>,
}

/// `cookies`: its presence is all that matters.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct CookiesConfig {}

impl Compression {
    /// gzip, the default of both clients.
    pub const GZIP: Self = Self(Some(Encoding::Gzip));
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "" | "none" => Ok(Self(None)),
            _ => Encoding::parse(&name)
                .map(|encoding| Self(Some(encoding)))
                .ok_or_else(|| format!("unsupported compression type {name:?}")),
        }
    }
}

impl TryFrom<String> for BalancerName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "" | "round_robin" => Ok(Self::RoundRobin),
            "pick_first" => Ok(Self::PickFirst),
            _ => Err(format!("invalid balancer_name: {name}")),
        }
    }
}

impl CompressionParams {
    fn validate(self, compression: Compression, problems: &mut Problems) {
        let fits = match compression.0 {
            Some(Encoding::Gzip | Encoding::Zlib | Encoding::Deflate) => (-2..=9).contains(&self.level),
            Some(Encoding::Zstd) => true,
            _ => self.level == 0,
        };
        if !fits {
            let name = compression.0.map_or("", Encoding::as_str);
            problems.report(format!(
                "unsupported parameters {{Level:{}}} for compression type {name:?}",
                self.level
            ));
        }
    }

    /// The level, if one is set.
    pub fn level(self) -> Option<i32> {
        Some(self.level).filter(|level| *level != 0)
    }
}

impl Default for GrpcClientConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            compression: Compression::GZIP,
            tls: TlsClientConfig::default(),
            keepalive: None,
            read_buffer_size: 0,
            write_buffer_size: 512 * 1024,
            wait_for_ready: false,
            headers: Headers::default(),
            balancer_name: BalancerName::RoundRobin,
            authority: String::new(),
            user_agent: String::new(),
            auth: None,
            middlewares: Vec::new(),
        }
    }
}

impl Default for KeepaliveClientConfig {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), timeout: Duration::from_secs(10), permit_without_stream: false }
    }
}

impl GrpcClientConfig {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        if let Err(message) = GrpcTarget::parse(&self.endpoint) {
            problems.at("endpoint", |p| p.report(message));
        }
        problems.at("tls", |problems| self.tls.validate(problems));
        problems.at("headers", |problems| validate_headers(&self.headers, problems));
        if !self.user_agent.is_empty() && http::HeaderValue::try_from(&self.user_agent).is_err() {
            problems.at("user_agent", |p| p.report("is not a valid header value"));
        }
        if !self.authority.is_empty() && http::uri::Authority::try_from(self.authority.as_str()).is_err() {
            problems.at("authority", |p| p.report("is not a valid authority"));
        }
    }
}

impl GrpcTarget {
    /// Reads an endpoint: `host:port`, the same behind `http://` (no effect), `https://` (always TLS), `dns:///` or
    /// `passthrough:///`, or a path behind `unix:` or `unix://`.
    ///
    /// # Errors
    /// What is wrong, in upstream's words.
    pub fn parse(endpoint: &str) -> Result<Self, String> {
        if let Some(path) = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")) {
            return Ok(Self { place: Place::Unix(path.into()), force_tls: false });
        }
        let (address, force_tls) = match endpoint.strip_prefix("https://") {
            Some(address) => (address, true),
            None => (strip_scheme(endpoint), false),
        };
        if address.is_empty() {
            return Err(r#"requires a non-empty "endpoint""#.into());
        }
        let (host, port) = match crate::listen::split_host_port(address) {
            Err(reason) if reason == "invalid port" => {
                let port = address.rsplit_once(':').map_or("", |(_, port)| port);
                return Err(format!("invalid port {port:?}"));
            }
            Err(reason) => return Err(format!("address {address}: {reason}")),
            Ok((_, 0)) => return Err(r#"invalid port """#.into()),
            Ok(parts) => parts,
        };
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Self { place: Place::Host(host.to_owned(), port), force_tls })
    }
}

fn strip_scheme(endpoint: &str) -> &str {
    ["http://", "dns:///", "dns:", "passthrough:///"]
        .into_iter()
        .find_map(|scheme| endpoint.strip_prefix(scheme))
        .unwrap_or(endpoint)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            proxy_url: String::new(),
            tls: TlsClientConfig::default(),
            read_buffer_size: 0,
            write_buffer_size: 512 * 1024,
            timeout: Duration::from_secs(30),
            headers: Headers::default(),
            auth: None,
            compression: Compression::GZIP,
            compression_params: CompressionParams::default(),
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
            max_conns_per_host: 0,
            idle_conn_timeout: Duration::from_secs(90),
            disable_keep_alives: false,
            http2_read_idle_timeout: Duration::ZERO,
            http2_ping_timeout: Duration::ZERO,
            force_attempt_http2: true,
            cookies: Optional::none(),
            middlewares: Vec::new(),
        }
    }
}

impl HttpClientConfig {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        problems.at("tls", |problems| self.tls.validate(problems));
        problems.at("headers", |problems| validate_headers(&self.headers, problems));
        problems.at("compression_params", |problems| {
            self.compression_params.validate(self.compression, problems);
        });
        if !self.proxy_url.is_empty()
            && let Err(error) = crate::proxy::ProxyUrl::parse(&Secret::new(self.proxy_url.clone()))
        {
            problems.at("proxy_url", |p| p.report(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_endpoints() {
        let host =
            |host: &str, force_tls| Ok(GrpcTarget { place: Place::Host(host.into(), 4317), force_tls });
        let unix = |path: &str| Ok(GrpcTarget { place: Place::Unix(path.into()), force_tls: false });
        let check = |endpoint: &str, expected: Result<GrpcTarget, &str>| {
            assert_eq!(GrpcTarget::parse(endpoint), expected.map_err(str::to_owned), "{endpoint:?}");
        };
        check("h:4317", host("h", false));
        check("http://h:4317", host("h", false));
        check("https://h:4317", host("h", true));
        check("dns:///h:4317", host("h", false));
        check("passthrough:///h:4317", host("h", false));
        check("[::1]:4317", host("::1", false));
        check(":4317", host("localhost", false));
        check("unix:///p", unix("/p"));
        check("unix:p", unix("p"));
        check("", Err(r#"requires a non-empty "endpoint""#));
        check("http://", Err(r#"requires a non-empty "endpoint""#));
        check("h", Err("address h: missing port in address"));
        check("h:x", Err(r#"invalid port "x""#));
        check("h:", Err(r#"invalid port """#));
    }

    #[test]
    fn compressions() {
        let check = |yaml: &str, expected: Result<Option<Encoding>, &str>| {
            let got = confmap::from_yaml::<HttpClientConfig>(&format!("compression: {yaml}"));
            match expected {
                Ok(expected) => assert_eq!(got.unwrap().compression.0, expected, "{yaml}"),
                Err(expected) => assert!(got.unwrap_err().to_string().contains(expected), "{yaml}"),
            }
        };
        check("zstd", Ok(Some(Encoding::Zstd)));
        check("none", Ok(None));
        check("''", Ok(None));
        check("", Ok(None));
        check("zlibx", Err(r#"unsupported compression type "zlibx""#));
        assert_eq!(HttpClientConfig::default().compression, Compression::GZIP);
    }

    #[test]
    fn compression_levels() {
        let check = |yaml: &str, expected: &str| {
            let config: HttpClientConfig = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.to_string(), expected, "{yaml}");
        };
        check("{compression_params: {level: 9}}", "");
        check("{compression: zstd, compression_params: {level: 11}}", "");
        check(
            "{compression_params: {level: 10}}",
            r#"compression_params: unsupported parameters {Level:10} for compression type "gzip""#,
        );
        check(
            "{compression: snappy, compression_params: {level: 1}}",
            r#"compression_params: unsupported parameters {Level:1} for compression type "snappy""#,
        );
    }
}
