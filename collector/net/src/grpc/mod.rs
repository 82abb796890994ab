//! Unary gRPC by tonic, with messages as bytes, on connections of our own.
//!
//! OTLP needs nothing but unary calls, and its messages stay encoded from end to end: the codec neither encodes nor
//! decodes. tonic frames, compresses and reads statuses. Around it stand what it does not have: snappy, upstream's
//! words for what is wrong with a message, deadlines on the server's side, and connections whose tasks belong to the
//! tracked set.

mod channel;
mod codec;
mod connections;
mod server;
mod snappy;
mod status;

pub use channel::GrpcClient;
pub use server::{Call, GrpcService, Method, UnaryReply, Unknown, grpc_serve_options};

use std::error::Error;

use component::Code;
use http::HeaderValue;

use crate::Status;

const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// `grpc-accept-encoding`: all that can be read.
const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip,snappy,zstd");

/// What a broken HTTP/2 stream means to a call: it may be sent again.
fn broken(error: &(dyn Error + 'static)) -> Status {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Status::new(Code::Unavailable, format!("transport: {error}{cause}"))
}
