//! Snappy, which tonic does not know: put on and taken off around it, a whole message at a time.

use bytes::{BufMut, Bytes, BytesMut};
use component::Code;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{GRPC_ENCODING, broken};
use crate::Status;
use crate::body::{BodyError, WholeBody};
use crate::compression::{DecompressError, Encoding};

/// The name in `grpc-encoding`. What it names is the framed snappy.
pub(super) const NAME: HeaderValue = HeaderValue::from_static("snappy");

/// A flag and a length stand before every message (grpc/grpc `doc/PROTOCOL-HTTP2.md`).
const PREFIX: usize = 5;

pub(super) fn is_used(headers: &HeaderMap) -> bool {
    headers.get(GRPC_ENCODING) == Some(&NAME)
}

/// Compresses the message of a body that tonic made.
pub(super) async fn pack(body: tonic::body::Body) -> Result<WholeBody, Status> {
    let body = body.collect().await.map_err(|status| Status::from(&status))?.to_bytes();
    let packed = Encoding::SnappyFramed
        .compress(body.get(PREFIX..).unwrap_or_default(), None)
        .map_err(|error| Status::new(Code::Internal, format!("grpc: error while compressing: {error}")))?;
    prefixed(1, &packed).map(WholeBody::new)
}

/// Decompresses the message of a body, of at most `limit` bytes on the wire and decompressed. What is no compressed
/// message is left to tonic's judgement.
pub(super) async fn unpack<B>(body: B, limit: usize) -> Result<WholeBody, Status>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let body = Limited::new(body, limit.saturating_add(PREFIX)).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Status::new(Code::ResourceExhausted, format!("grpc: received message larger than max {limit}"))
        } else {
            match error.downcast_ref() {
                Some(BodyError::Broken(error)) => broken(error),
                Some(error) => super::server::body_status(error),
                None => broken(&*error),
            }
        }
    })?;
    let trailers = body.trailers().cloned();
    let mut body = body.to_bytes();
    if let Some(([1, len @ ..], packed)) = body.split_first_chunk::<PREFIX>()
        && u32::from_be_bytes(*len) as usize == packed.len()
    {
        body = prefixed(0, &decompress(packed, limit)?)?;
    }
    let body = WholeBody::new(body);
    Ok(match trailers {
        Some(trailers) => body.with_trailers(trailers),
        None => body,
    })
}

fn decompress(packed: &[u8], limit: usize) -> Result<Vec<u8>, Status> {
    Encoding::SnappyFramed.decompress(packed, limit).map_err(|error| match error {
        DecompressError::TooLarge { limit } => super::status::too_large_decompressed(limit),
        DecompressError::Corrupt(error) => super::status::not_decompressed(error),
    })
}

fn prefixed(flag: u8, message: &[u8]) -> Result<Bytes, Status> {
    let len = u32::try_from(message.len()).map_err(|_| {
        Status::new(Code::ResourceExhausted, format!("grpc: message too large ({} bytes)", message.len()))
    })?;
    let mut out = BytesMut::with_capacity(PREFIX + message.len());
    out.put_u8(flag);
    out.put_u32(len);
    out.put_slice(message);
    Ok(out.freeze())
}
