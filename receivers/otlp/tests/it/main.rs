//! The receiver over real sockets.

mod bad_input;
mod grpc;
mod http;
mod lifecycle;
mod peer;
mod tls;
