//! OTLP/JSON in and out.

use crate::{InvalidPayload, Signal};

pub(crate) fn decode(_signal: Signal, _body: &[u8]) -> Result<Vec<u8>, InvalidPayload> {
    Ok(Vec::new())
}

pub(crate) fn encode(_signal: Signal, _body: &[u8]) -> Vec<u8> {
    Vec::new()
}
