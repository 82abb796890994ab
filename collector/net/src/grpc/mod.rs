//! Unary gRPC over HTTP/2 with messages as bytes (grpc/grpc `doc/PROTOCOL-HTTP2.md`).
//!
//! OTLP needs nothing but unary calls, and its messages stay encoded from end to end. Framing them here rather than
//! behind a codec saves the copies between codec and transport, allows all of upstream's compressions, and gives the
//! limits upstream's status codes.

mod channel;
mod connections;
mod frame;
mod server;

pub use channel::GrpcClient;
pub use server::{Call, GrpcService, Method, UnaryReply, Unknown, grpc_serve_options};

use component::Code;
use http::{HeaderMap, HeaderValue};

use crate::Status;

const CONTENT_TYPE: &str = "application/grpc";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_DETAILS: &str = "grpc-status-details-bin";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The trailers of a call that went well.
fn ok_trailers() -> HeaderMap {
    HeaderMap::from_iter([
        (http::HeaderName::from_static(GRPC_STATUS), HeaderValue::from_static("0")),
        (http::HeaderName::from_static(GRPC_MESSAGE), HeaderValue::from_static("")),
    ])
}

/// Writes a status into trailers.
fn put_status(status: &Status, headers: &mut HeaderMap) {
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code as u16));
    // Percent-encoding leaves only printable ASCII, of which a header value can always be made.
    if let Ok(message) = HeaderValue::try_from(percent_encoded(&status.message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if status.retry_after.is_some() {
        use base64::Engine as _;
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status.to_protobuf());
        if let Ok(details) = HeaderValue::try_from(details) {
            headers.insert(GRPC_DETAILS, details);
        }
    }
}

/// Reads a status from trailers: `None` if there is none, `Some(Ok)` if it is OK.
fn read_status(headers: &HeaderMap) -> Option<Result<(), Status>> {
    let number = headers.get(GRPC_STATUS)?.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let Some(code) = Code::from_number(number) else { return Some(Ok(())) };
    let message =
        headers.get(GRPC_MESSAGE).map(|value| percent_decoded(value.as_bytes())).unwrap_or_default();
    let retry_after = headers.get(GRPC_DETAILS).and_then(|value| {
        use base64::Engine as _;
        let text = value.to_str().ok()?.trim_end_matches('=');
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).ok()?;
        Status::from_protobuf(&details)?.retry_after
    });
    Some(Err(Status { code, message, retry_after }))
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Lenient: what is not an escape stays as it is.
pub(crate) fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statuses_travel_in_headers() {
        for (message, retry_after) in
            [("", None), ("50 % full\nümlaut", None), ("later", Some(Duration::from_secs(7)))]
        {
            let status = Status { retry_after, ..Status::new(Code::Unavailable, message) };
            let mut headers = HeaderMap::new();
            put_status(&status, &mut headers);
            assert_eq!(read_status(&headers), Some(Err(status)));
        }
        assert_eq!(read_status(&ok_trailers()), Some(Ok(())));
        assert_eq!(read_status(&HeaderMap::new()), None);
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(percent_decoded(b"50% %zz %2"), "50% %zz %2");
        assert_eq!(percent_decoded(b"%41%25"), "A%");
    }
}
