//! From a resolved configuration to running pipelines.
//!
//! | step | where |
//! |---|---|
//! | decode every component's configuration, check the references, report all problems at once | [`Plan::new`] |
//! | build exporters, processors, fan-outs, receivers | [`Plan::build`] |
//! | start: extensions, exporters, processors, receivers last | [`Service::start`] |
//! | stop: receivers first, then data drains in graph order under one deadline | [`Service::shutdown`] |
//!
//! The service names no component: it knows factories through the [`Registry`](component::Registry).

mod fanout;
mod graph;
mod plan;
mod report;
mod run;
pub mod telemetry;

pub use graph::{BuildError, Graph};
pub use plan::{PipelinePlan, Plan};
pub use run::{Service, ServiceError};
