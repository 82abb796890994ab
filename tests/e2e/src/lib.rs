//! The binary over sockets and files: what the tests of this crate share.

mod collector;
mod http;

pub use collector::{Collector, Finished, binary, free_address, run, wait_for_port};
pub use http::{Response, request};
