//! CloudWatch Logs: events into batches, batches into requests.
//!
//! [`Events`] collects the events of a push by log group and stream and splits them to the limits of the service;
//! [`Pusher`] sends one [`EventBatch`] at a time, making streams and groups that are missing.

mod client;
mod event;
mod limits;
mod pusher;

pub use client::{LogsError, Rejected};
pub use event::{EventBatch, Events, Refused};
pub use limits::{GroupConfigError, check_retention, check_tags};
pub use pusher::{GroupConfig, Pusher, PusherConfig};
