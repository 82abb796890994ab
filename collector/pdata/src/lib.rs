//! OTLP bytes as the payload.
//!
//! What flows through a pipeline is a [`Batch`]: the encoded bodies of OTLP export requests, checked once on arrival
//! and read in place afterwards. Nothing here does IO.
//!
//! | | |
//! |---|---|
//! | arrive | [`Batch::from_protobuf`], [`Batch::from_json`]: one pass that checks everything and counts the items |
//! | read | [`metrics`], [`logs`], [`traces`]: borrowing views, no allocation |
//! | edit | [`Batch::edit_resources`]: a new resource message is put before the untouched rest, no copy of the items |
//! | edit by what is looked up | [`Batch::edit_resources_by`]: the same in groups, so that memory is waited for once |
//! | change or drop anything | [`Batch::rewrite`]: changed messages are written anew in the middle of the untouched bytes |
//! | put under other resources | [`Batch::group_by_attributes`]: items are copied as they are |
//! | split, join | [`Batch::append`], [`Batch::split_off_first`] |
//! | make | [`MetricsBuilder`]: writes OTLP bytes directly |
//! | leave | [`Batch::to_protobuf`], [`Batch::to_json`] |
//!
//! # Canonical bytes
//!
//! Protobuf lets an encoder write the same message in many ways. The check accepts all of them, but those that no OTLP
//! implementation writes and that would make reading slower or wrong for everybody are rewritten, once: a singular field
//! twice, two members of a oneof, a resource behind its items, unpacked or split repeated numbers, and the field of the
//! former instrumentation library. Everything downstream may rely on it.

#[cfg(test)]
extern crate self as pdata;

mod batch;
mod build;
mod canonical;
mod common;
mod fill;
mod json;
pub mod logs;
pub mod metrics;
mod resource;
pub mod rewrite;
mod scan;
mod schema;
mod split;
pub mod traces;
mod validate;
mod value;
mod wire;

pub use batch::{Batch, Chunk, ClientInfo, Deliveries, Signal};
pub use build::{
    HistogramPoint, HistogramsBuilder, MetricsBuilder, NumbersBuilder, PointTimes, ResourceMetricsBuilder,
};
pub use common::{AnyValueView, ArrayView, KeyValueView, KeyValues, ResourceView, ScopeView};
pub use fill::{Attributes, Layer};
pub use resource::{ResourceEdit, ResourceEditor};
pub use scan::{Names, Scan, TextKey};
pub use validate::{InvalidPayload, MAX_DEPTH};
pub use value::{AttributeValue, Value};
