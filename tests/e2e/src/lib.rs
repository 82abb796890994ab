//! The binary over sockets and files: what the tests of this crate share.

mod cloudwatch;
mod collector;
mod credentials;
mod http;
mod http2;

pub use cloudwatch::{Counters, LOGS, METRICS, QUEUED_METRICS, Scene, Variant};
pub use collector::{Collector, Finished, binary, free_address, run, wait_for_port};
pub use credentials::CredentialsEndpoint;
pub use http::{Response, request, request_within};
pub use http2::{END_STREAM, FrameType, Http2};
