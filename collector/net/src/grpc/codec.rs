//! Messages as bytes: OTLP is not decoded on its way through.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What is allocated for a message before its size is known. Most answers are a few bytes.
const BUFFER_SIZE: usize = 1 << 10;
/// Of no consequence to calls with a single message.
const YIELD_THRESHOLD: usize = 32 << 10;

/// Takes and gives messages as they are. Good for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawCodec;

#[derive(Debug)]
pub(super) struct RawEncoder;

#[derive(Debug, Default)]
pub(super) struct RawDecoder {
    decoded: bool,
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawEncoder;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> RawDecoder {
        RawDecoder::default()
    }
}

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.len());
        buffer.put_slice(&message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_SIZE, YIELD_THRESHOLD)
    }
}

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    /// Does not copy: the message is split off the buffer. A second message is refused, for it would be dropped.
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        if std::mem::replace(&mut self.decoded, true) {
            return Err(Status::internal(
                "cardinality violation: received more than one message in a unary call",
            ));
        }
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_SIZE, YIELD_THRESHOLD)
    }
}
