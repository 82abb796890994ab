//! gRPC and HTTP servers and clients, TLS and capped (de)compression.
//!
//! | | |
//! |---|---|
//! | configure | the blocks [`GrpcServerConfig`], [`HttpServerConfig`], [`GrpcClientConfig`], [`HttpClientConfig`], [`TlsServerConfig`], [`TlsClientConfig`] |
//! | listen | [`Listener::bind`], then [`Server::start`] with a [`GrpcService`] or an [`HttpService`] |
//! | send | [`GrpcClient`], [`HttpClient`], [`HttpOnce`] |
//! | compress | [`Encoding`] |
//!
//! Everything that comes from outside is bounded: bodies and messages by the configured sizes, on the wire and after
//! decompression. All tasks belong to the tracked set of [`component::Host`].

mod body;
mod client_info;
mod compression;
mod config;
mod connector;
mod dial;
pub mod dns;
mod error;
mod grpc;
mod http_client;
mod http_once;
mod http_server;
mod listen;
pub mod otlp;
mod proxy;
mod random;
mod serve;
mod server_body;
mod status;
mod tls;

/// A future in a box: what it does is then compiled here once, not in every crate that awaits it.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub use body::{BodyError, PiecesBody, WholeBody, read_body};
pub use client_info::client_info;
pub use compression::{DecompressError, Encoding};
pub use config::{
    AuthConfig, BalancerName, Compression, CompressionParams, CookiesConfig, CorsConfig, DialerConfig,
    GrpcClientConfig, GrpcServerConfig, GrpcTarget, HttpClientConfig, HttpServerConfig, HttpServerDefaults,
    KeepaliveClientConfig, KeepaliveEnforcementPolicy, KeepaliveServerConfig, KeepaliveServerParameters,
    MiddlewareConfig, Place, TlsClientConfig, TlsConfig, TlsServerConfig, TlsVersion, TpmConfig,
    check_extensions,
};
pub use error::{Error, TlsError};
pub use grpc::{Call, GrpcClient, GrpcService, Method, UnaryReply, Unknown, grpc_serve_options};
pub use http_client::{HttpAnswer, HttpClient, HttpFailure};
pub use http_once::HttpOnce;
pub use http_server::{App, HttpRequest, HttpService, RequestError, clean_path, http_serve_options, respond};
pub use listen::{ListenError, Listener, LocalAddress, SocketFile, Transport, split_host_port};
pub use proxy::check_proxy_url;
pub use serve::{DEFAULT_MAX_CONCURRENT_STREAMS, Handler, OVERLOAD_RETRY_AFTER, ServeOptions, Server};
pub use server_body::ServerBody;
pub use status::Status;
pub use tls::{ClientTls, ServerTls};
