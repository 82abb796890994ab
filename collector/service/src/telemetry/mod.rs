//! The collector's own logs and metrics: `service::telemetry`.

mod config;
mod intake;
mod logs;
mod metrics;
mod panics;
mod process;
mod sampler;
mod writer;

pub use config::{Level, LogsConfig, MetricsConfig, TelemetryConfig};
pub use logs::Logs;
pub use metrics::{MetricsError, SelfMetrics};
pub use panics::log_panics;
