//! Messages in HTTP/2 bodies: a flag, a length, the message.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use component::Code;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;

use super::{GRPC_ENCODING, GRPC_TIMEOUT};
use crate::body::Gathered;
use crate::compression::{DecompressError, Encoding};
use crate::{Compression, Status};

const HEADER: usize = 5;

/// The compressions of gRPC; its snappy is the framed one.
const ENCODINGS: [(&str, Encoding); 3] =
    [("gzip", Encoding::Gzip), ("snappy", Encoding::SnappyFramed), ("zstd", Encoding::Zstd)];

/// `grpc-accept-encoding`: all that can be read.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip,snappy,zstd");

/// The name and the encoding of a configured compression.
pub(super) fn encoding_of(
    compression: Compression,
) -> Result<Option<(&'static str, Encoding)>, &'static str> {
    let Some(wanted) = compression.0 else { return Ok(None) };
    let known = ENCODINGS.into_iter().find(|(name, _)| *name == wanted.as_str());
    known.map(Some).ok_or(wanted.as_str())
}

/// The encoding of the messages in a body.
pub(super) fn message_encoding(headers: &HeaderMap) -> Result<Option<Encoding>, Status> {
    let Some(value) = headers.get(GRPC_ENCODING) else { return Ok(None) };
    let name = String::from_utf8_lossy(value.as_bytes());
    if name == "identity" || name.is_empty() {
        return Ok(None);
    }
    ENCODINGS.into_iter().find(|(known, _)| *known == name).map(|(_, encoding)| Some(encoding)).ok_or_else(
        || {
            Status::new(
                Code::Unimplemented,
                format!("grpc: Decompressor is not installed for grpc-encoding {name:?}"),
            )
        },
    )
}

/// What was read of a body: its message and its trailers.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) message: Option<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
}

/// Reads a body with at most one message of at most `limit` bytes, decompressed.
pub(super) async fn receive<B>(
    mut body: B,
    encoding: Option<Encoding>,
    limit: usize,
) -> Result<Received, Status>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut gathered = Gathered::default();
    let mut received = Received::default();
    let mut expected = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                gathered.push(data, expected.unwrap_or(0));
                if expected.is_none() && gathered.len() >= HEADER {
                    expected = Some(HEADER + announced_len(gathered.chunk(), limit)?);
                }
                if expected.is_some_and(|expected| gathered.len() > expected) {
                    return Err(Status::new(
                        Code::Internal,
                        "cardinality violation: received more than one message in a unary call",
                    ));
                }
            }
            Err(frame) => received.trailers = frame.into_trailers().ok(),
        }
    }
    if gathered.len() > 0 {
        if expected != Some(gathered.len()) {
            return Err(Status::new(Code::Internal, "unexpected EOF"));
        }
        received.message = Some(unwrap_message(gathered, encoding, limit)?);
    }
    Ok(received)
}

/// Puts a message into a frame, compressed if that makes sense.
pub(super) fn frame(message: &[u8], encoding: Option<Encoding>) -> Result<Bytes, Status> {
    let compressed = match encoding {
        // grpc-go leaves empty messages alone too.
        Some(encoding) if !message.is_empty() => Some(encoding.compress(message, None).map_err(|error| {
            Status::new(Code::Internal, format!("grpc: error while compressing: {error}"))
        })?),
        _ => None,
    };
    let payload = compressed.as_deref().unwrap_or(message);
    let len = u32::try_from(payload.len()).map_err(|_| {
        Status::new(Code::ResourceExhausted, format!("grpc: message too large ({} bytes)", payload.len()))
    })?;
    let mut out = BytesMut::with_capacity(HEADER + payload.len());
    out.put_u8(u8::from(compressed.is_some()));
    out.put_u32(len);
    out.put_slice(payload);
    Ok(out.freeze())
}

/// `grpc-timeout`: up to 8 digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(digits).filter(|digits| digits.len() <= 8)?.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The same, in milliseconds; larger ones say the most that can be said.
pub(super) fn timeout_text(timeout: Duration) -> String {
    match timeout.as_millis() {
        milliseconds @ 1..=99_999_999 => format!("{milliseconds}m"),
        0 => "1m".into(),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    }
}

fn announced_len(header: &[u8], limit: usize) -> Result<usize, Status> {
    let &[_, a, b, c, d, ..] = header else { return Ok(0) };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if len > limit {
        let message = format!("grpc: received message larger than max ({len} vs. {limit})");
        return Err(Status::new(Code::ResourceExhausted, message));
    }
    Ok(len)
}

fn unwrap_message(mut gathered: Gathered, encoding: Option<Encoding>, limit: usize) -> Result<Bytes, Status> {
    let flag = gathered.chunk().first().copied().unwrap_or(0);
    gathered.advance(HEADER);
    let message = gathered.into_bytes();
    match (flag, encoding) {
        (0, _) => Ok(message),
        (1, Some(encoding)) => match encoding.decompress(&message, limit) {
            Ok(message) => Ok(message.into()),
            Err(DecompressError::TooLarge { limit }) => Err(Status::new(
                Code::ResourceExhausted,
                format!("grpc: received message after decompression larger than max {limit}"),
            )),
            Err(DecompressError::Corrupt(error)) => Err(Status::new(
                Code::Internal,
                format!("grpc: failed to decompress the received message: {error}"),
            )),
        },
        (1, None) => {
            Err(Status::new(Code::Internal, "grpc: compressed flag set with identity or empty encoding"))
        }
        _ => Err(Status::new(Code::Internal, format!("grpc: received unexpected payload format {flag}"))),
    }
}

/// What a broken HTTP/2 stream means to a call: it may be sent again.
pub(super) fn broken(error: &hyper::Error) -> Status {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Status::new(Code::Unavailable, format!("transport: {error}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let check = |text: &str, expected: Option<Duration>| {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_TIMEOUT), text.parse().unwrap())]);
            assert_eq!(timeout(&headers), expected, "{text}");
        };
        check("5S", Some(Duration::from_secs(5)));
        check("1H", Some(Duration::from_secs(3600)));
        check("99999999m", Some(Duration::from_millis(99_999_999)));
        check("100u", Some(Duration::from_micros(100)));
        check("123456789S", None);
        check("S", None);
        check("", None);
        check("5x", None);
        check("-5S", None);
    }
}
