//! The collector's own logs and metrics: `service::telemetry`.

mod config;
mod logs;
mod metrics;
mod process;
mod sampler;

pub use config::{Level, LogsConfig, MetricsConfig, TelemetryConfig};
pub use logs::Logs;
pub use metrics::{MetricsError, SelfMetrics};
