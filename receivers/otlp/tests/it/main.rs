//! The receiver over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

mod bad_input;
mod grpc;
mod http;
mod lifecycle;
mod peer;
mod tls;
