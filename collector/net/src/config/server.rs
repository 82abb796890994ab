//! What servers are configured with (upstream `config/configgrpc`, `config/confighttp`, `config/confignet`).

use std::marker::PhantomData;
use std::time::Duration as StdDuration;

use confmap::{Duration, Headers, Optional, Problems};
use serde::Deserialize;

use super::{AuthConfig, MiddlewareConfig, TlsServerConfig};
use crate::listen::Transport;

/// The largest gRPC message unless configured otherwise: grpc-go's 4 MiB, after decompression.
const DEFAULT_MAX_RECV_MSG_SIZE: usize = 4 << 20;
/// The largest HTTP body unless configured otherwise: 20 MiB, on the wire and after decompression.
const DEFAULT_MAX_REQUEST_BODY_SIZE: usize = 20 << 20;
/// What `max_recv_msg_size_mib` can say at most: gRPC counts the bytes of a message in 32 bits.
const MAX_RECV_MSG_SIZE_MIB: i64 = 4095;

/// Options of a dialer; servers accept and ignore them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DialerConfig {
    /// The longest that connecting takes; 0 for any.
    pub timeout: Duration,
}

/// A gRPC server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct GrpcServerConfig {
    /// `host:port`, or a path with `transport: unix`. The default is OTLP's.
    pub endpoint: String,
    /// The kind of socket.
    pub transport: Transport,
    /// No effect in a server.
    pub dialer: DialerConfig,
    /// Plaintext if absent.
    pub tls: Option<TlsServerConfig>,
    /// The largest decompressed message in MiB; 0 for 4.
    pub max_recv_msg_size_mib: i64,
    /// The most requests at once on one connection; 0 for 256.
    pub max_concurrent_streams: u32,
    /// No effect: the transport sizes its buffers by itself.
    pub read_buffer_size: i64,
    /// No effect: the transport sizes its buffers by itself.
    pub write_buffer_size: i64,
    /// How long connections live.
    pub keepalive: Option<KeepaliveServerConfig>,
    /// Who may send.
    pub auth: Option<AuthConfig>,
    /// Whether request headers go with the data.
    pub include_metadata: bool,
    /// Extensions that see requests first.
    pub middlewares: Vec<MiddlewareConfig>,
}

/// `keepalive` of a gRPC server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KeepaliveServerConfig {
    /// How long connections live.
    pub server_parameters: Option<KeepaliveServerParameters>,
    /// What is asked of clients.
    pub enforcement_policy: Option<KeepaliveEnforcementPolicy>,
}

/// How long connections live; 0 is the default of each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KeepaliveServerParameters {
    /// A connection without requests is closed after this; infinite by default.
    pub max_connection_idle: Duration,
    /// A connection is closed after this, give or take 10 %; infinite by default.
    pub max_connection_age: Duration,
    /// How long requests may still run when a connection has reached its age; infinite by default.
    pub max_connection_age_grace: Duration,
    /// A silent client is pinged after this; 2 hours by default.
    pub time: Duration,
    /// A client that does not answer a ping in this time is disconnected; 20 seconds by default.
    pub timeout: Duration,
}

/// How often clients may ping. The transport has its own protection against floods and does not count pings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct KeepaliveEnforcementPolicy {
    /// No effect.
    pub min_time: Duration,
    /// No effect.
    pub permit_without_stream: bool,
}

/// What differs between the HTTP servers of components.
pub trait HttpServerDefaults: Send + Sync + 'static {
    /// `endpoint`
    const ENDPOINT: &'static str;
    /// `read_header_timeout`
    const READ_HEADER_TIMEOUT: StdDuration = StdDuration::from_secs(60);
    /// `write_timeout`
    const WRITE_TIMEOUT: StdDuration = StdDuration::from_secs(30);
    /// `idle_timeout`
    const IDLE_TIMEOUT: StdDuration = StdDuration::from_secs(60);
}

/// An HTTP server with the defaults `D`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, bound(deserialize = "D: HttpServerDefaults"))]
pub struct HttpServerConfig<D> {
    /// `host:port`, or a path with `transport: unix`.
    pub endpoint: String,
    /// The kind of socket.
    pub transport: Transport,
    /// No effect in a server.
    pub dialer: DialerConfig,
    /// Plaintext if absent.
    pub tls: Option<TlsServerConfig>,
    /// Which web pages may send.
    pub cors: Optional<CorsConfig>,
    /// Who may send.
    pub auth: Option<AuthConfig>,
    /// The largest body in bytes, on the wire and again decompressed; 0 or less for 20 MiB.
    pub max_request_body_size: i64,
    /// Whether request headers go with the data.
    pub include_metadata: bool,
    /// Added to every response.
    pub response_headers: Headers,
    /// The accepted values of `Content-Encoding`; the empty one is no compression.
    pub compression_algorithms: Vec<String>,
    /// The longest that a whole request may take to arrive; 0 for any.
    pub read_timeout: Duration,
    /// The longest that the head of a request may take to arrive; 0 for any.
    pub read_header_timeout: Duration,
    /// The longest that answering may take; 0 for any.
    pub write_timeout: Duration,
    /// The longest that a connection may wait for its next request; 0 for any.
    pub idle_timeout: Duration,
    /// Whether a connection serves more than one request.
    pub keep_alives_enabled: bool,
    /// Extensions that see requests first.
    pub middlewares: Vec<MiddlewareConfig>,
    #[serde(skip)]
    defaults: PhantomData<D>,
}

/// Cross-origin resource sharing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CorsConfig {
    /// Origins whose pages may send; `*` stands for any text. Empty turns CORS off.
    pub allowed_origins: Vec<String>,
    /// Headers that requests may have beside the safe ones; `*` for all.
    pub allowed_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub exposed_headers: Vec<String>,
    /// How long browsers may keep the answer to a preflight request, in seconds; 0 leaves it to them.
    pub max_age: i64,
}

impl Default for GrpcServerConfig {
    fn default() -> Self {
        Self {
            endpoint: "localhost:4317".into(),
            transport: Transport::Tcp,
            dialer: DialerConfig::default(),
            tls: None,
            max_recv_msg_size_mib: 0,
            max_concurrent_streams: 0,
            read_buffer_size: 512 * 1024,
            write_buffer_size: 0,
            keepalive: None,
            auth: None,
            include_metadata: false,
            middlewares: Vec::new(),
        }
    }
}

impl GrpcServerConfig {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        if !(0..=MAX_RECV_MSG_SIZE_MIB).contains(&self.max_recv_msg_size_mib) {
            problems.report(format!(
                "invalid max_recv_msg_size_mib value, must be between 1 and {MAX_RECV_MSG_SIZE_MIB}: {}",
                self.max_recv_msg_size_mib
            ));
        }
        if self.read_buffer_size < 0 {
            problems.report(format!("invalid read_buffer_size value: {}", self.read_buffer_size));
        }
        if self.write_buffer_size < 0 {
            problems.report(format!("invalid write_buffer_size value: {}", self.write_buffer_size));
        }
        if let Some(tls) = &self.tls {
            problems.at("tls", |problems| tls.validate(problems));
        }
    }

    /// The largest decompressed message in bytes.
    pub fn max_message_size(&self) -> usize {
        match usize::try_from(self.max_recv_msg_size_mib) {
            Ok(mib @ 1..) => mib.saturating_mul(1 << 20),
            _ => DEFAULT_MAX_RECV_MSG_SIZE,
        }
    }
}

impl<D: HttpServerDefaults> Default for HttpServerConfig<D> {
    fn default() -> Self {
        Self {
            endpoint: D::ENDPOINT.into(),
            transport: Transport::Tcp,
            dialer: DialerConfig::default(),
            tls: None,
            cors: Optional::none(),
            auth: None,
            max_request_body_size: DEFAULT_MAX_REQUEST_BODY_SIZE as i64,
            include_metadata: false,
            response_headers: Headers::default(),
            compression_algorithms: [
                "",
                "gzip",
                "zstd",
                "zlib",
                "snappy",
                "deflate",
                "lz4",
                "x-snappy-framed",
            ]
            .map(str::to_owned)
            .to_vec(),
            read_timeout: Duration::ZERO,
            read_header_timeout: D::READ_HEADER_TIMEOUT.into(),
            write_timeout: D::WRITE_TIMEOUT.into(),
            idle_timeout: D::IDLE_TIMEOUT.into(),
            keep_alives_enabled: true,
            middlewares: Vec::new(),
            defaults: PhantomData,
        }
    }
}

impl<D> HttpServerConfig<D> {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        if let Some(tls) = &self.tls {
            problems.at("tls", |problems| tls.validate(problems));
        }
        problems.at("response_headers", |problems| super::validate_headers(&self.response_headers, problems));
        problems.at("compression_algorithms", |problems| {
            for (i, name) in self.compression_algorithms.iter().enumerate() {
                if !name.is_empty() && crate::Encoding::parse(name).is_none() {
                    problems.index(i, |p| p.report(format!("unsupported compression type {name:?}")));
                }
            }
        });
    }

    /// The largest body in bytes.
    pub fn max_body_size(&self) -> usize {
        match usize::try_from(self.max_request_body_size) {
            Ok(size @ 1..) => size,
            _ => DEFAULT_MAX_REQUEST_BODY_SIZE,
        }
    }
}
