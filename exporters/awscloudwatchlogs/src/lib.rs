//! The awscloudwatchlogs exporter: log records as events of CloudWatch Logs.
//!
//! A record becomes a JSON object, or with `raw_log` its body as it is. The names of log group and stream come from the
//! configuration, with placeholders for attributes; a raw body in embedded metric format may name its own.

mod config;
mod convert;
mod emf;
mod export;
mod names;
mod record;

pub use config::{Config, LogsConfig};
pub use export::factory;
