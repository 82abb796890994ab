//! The awsemf exporter: metrics as CloudWatch embedded metric format.

mod config;
mod declaration;
mod delta;
mod directive;
mod group;
mod json;
mod labels;
mod metric;
mod names;
mod resource;
mod rules;
mod template;
mod text;
mod translate;
mod units;
mod value;

pub use config::{
    Config, ConversionConfig, EmfConfig, LabelMatcherConfig, MetricDeclaration, MetricDescriptor,
};
pub use declaration::DeclarationError;
pub use translate::{Dropped, Event, Translator};
