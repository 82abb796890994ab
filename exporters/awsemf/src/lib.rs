//! The awsemf exporter: metrics as CloudWatch embedded metric format.
//!
//! A [`Translator`] walks a batch once, in place: every point joins the group of its labels, time, type and
//! destination, and every group becomes an event. What events of the same shape have in common (field names, directives,
//! dimension sets) is worked out once and kept as a text with gaps, so that a pod costs little more than its values.
//! The exporter hands the events to a pusher by log stream, or writes them to standard output or a file.

mod config;
mod declaration;
mod delta;
mod directive;
mod emit;
mod export;
mod file;
mod group;
mod json;
mod labels;
mod lines;
mod metric;
mod names;
mod profile;
mod resource;
mod rules;
mod series;
mod telemetry;
mod template;
mod text;
mod translate;
mod units;
mod value;
mod walk;

pub use config::{
    Config, ConversionConfig, EmfConfig, LabelMatcherConfig, MetricDeclaration, MetricDescriptor,
    OutputFileConfig,
};
pub use declaration::DeclarationError;
pub use export::factory;
pub use translate::{Dropped, EventSink, Translator};
