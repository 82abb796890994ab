//! OTLP/JSON in and out, both driven by the schema and without a tree in between.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
