//! What a component is: traits, factories, errors, the registry and the handles to self-telemetry.
//!
//! A pipeline is a chain of [`Consumer`]s. A receiver awaits the whole chain up to the first queue, so
//! back-pressure and acknowledgement are one thing: the `Result` of [`Consumer::consume`].
//!
//! A component is declared by a factory value ([`ReceiverFactory`], [`ProcessorFactory`], [`ExporterFactory`],
//! [`ExtensionFactory`]) which names its type, its aliases, its typed configuration and how it is built. The
//! distribution lists its factories in a [`Registry`]; the service looks them up and never names a component.

mod causes;
mod consumer;
mod factory;
mod gates;
mod host;
mod id;
mod intake;
pub mod memory;
mod registry;
pub mod telemetry;

pub use causes::causes;
pub use consumer::{Code, ConsumeError, Consumer, MAX_RETRY_AFTER};
pub use factory::{
    AnyConfig, BoxError, BuildInfo, Component, Config, Exporter, ExporterFactory, Extension,
    ExtensionFactory, Meta, Outputs, Processor, ProcessorFactory, ReceiverFactory, Settings, Stability,
    StorageArea,
};
pub use gates::Gates;
pub use host::{Host, Notice, Search, TaskSet};
pub use id::{ComponentId, IdError, Kind, PipelineId};
pub use intake::{IntakeBudget, IntakePermit};
pub use registry::Registry;

pub use async_trait::async_trait;
