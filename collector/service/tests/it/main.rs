//! The service with components that write down what happens to them.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod fakes;
mod plan;
mod service;
