//! Fakes for the faults that real counterparts cannot make, recording sinks, the component contract suite.

mod apiserver;
pub mod contract;
pub mod cwlogs;
pub mod emf;
pub mod fuzz;
pub mod ledger;
mod linear;
mod logs;
mod sample;
mod sink;
mod telemetry;

pub use apiserver::{AnswerBody, ApiRequest, FakeApiServer, Fault};
pub use linear::assert_linear;
pub use logs::{LogCapture, LogLine};
pub use sample::{gauges, logs, spans};
pub use sink::RecordingSink;
pub use telemetry::TestTelemetry;
