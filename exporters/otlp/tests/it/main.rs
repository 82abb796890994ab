//! The exporter over real sockets.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod connection;
mod contract;
mod odd_servers;
mod peer;
mod sending;
