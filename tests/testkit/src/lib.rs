//! Fakes for the faults that real counterparts cannot make, recording sinks, the component contract suite.

mod sample;
mod sink;
mod telemetry;

pub use sample::{gauges, logs, spans};
pub use sink::RecordingSink;
pub use telemetry::TestTelemetry;
