//! The exporter over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

mod contract;
mod peer;
mod sending;
