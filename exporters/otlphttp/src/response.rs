//! What an answer means.

use std::time::Duration;

use component::{Code, ConsumeError};
use http::{HeaderMap, Uri, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use net::otlp::PartialSuccess;
use net::{HttpAnswer, Status};
use pdata::Signal;

/// The outcome of an answer: partial success if there is one, or why the request failed. `now` is what dates are
/// compared with.
pub(crate) fn outcome(
    url: &Uri,
    signal: Signal,
    answer: &HttpAnswer,
    now: Timestamp,
) -> Result<Option<PartialSuccess>, ConsumeError> {
    if answer.status.is_success() {
        return success(signal, answer);
    }
    let number = answer.status.as_u16();
    let mut message =
        format!("error exporting items, request to {url} responded with HTTP Status Code {number}");
    if let Some(status) = Status::from_protobuf(&answer.body).filter(|_| number >= 400) {
        message.push_str(&format!(", Message={}", status.message));
    }
    let code = code(number);
    let reason = Status::new(code, message).to_string();
    Err(match number {
        429 | 503 => {
            let after = retry_after(&answer.headers, now);
            ConsumeError::Retryable { reason, code: Some(code), after }
        }
        502 | 504 => ConsumeError::Retryable { reason, code: Some(code), after: None },
        _ => ConsumeError::Permanent { reason, code: Some(code) },
    })
}

/// By the answer's content type; other types say nothing of partial success.
fn success(signal: Signal, answer: &HttpAnswer) -> Result<Option<PartialSuccess>, ConsumeError> {
    if answer.body.is_empty() {
        return Ok(None);
    }
    let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let partial = match media_type {
        "application/x-protobuf" => {
            PartialSuccess::from_protobuf(&answer.body, signal).map_err(|error| error.to_string())
        }
        "application/json" => PartialSuccess::from_json(&answer.body, signal),
        _ => Ok(None),
    };
    partial.map_err(|error| ConsumeError::permanent(format!("error parsing {media_type} response: {error}")))
}

/// The status that is told to those who sent the data.
fn code(http: u16) -> Code {
    match http {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 => Code::ResourceExhausted,
        502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> HttpAnswer {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        HttpAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: body.into(),
        }
    }

    fn outcome_of(answer: &HttpAnswer) -> Result<Option<PartialSuccess>, ConsumeError> {
        let url = "http://h/v1/traces".parse().unwrap();
        outcome(&url, Signal::Traces, answer, "1994-11-06T08:49:00Z".parse().unwrap())
    }

    #[test]
    fn failures() {
        let check = |status: u16, headers: &[(&'static str, &str)], expected: (bool, Code, Option<u64>)| {
            let error = outcome_of(&answer(status, headers, "")).unwrap_err();
            let got = (error.is_permanent(), error.code(), error.retry_after().map(|after| after.as_secs()));
            assert_eq!(got, expected, "{status} {headers:?}");
        };
        check(400, &[], (true, Code::InvalidArgument, None));
        check(401, &[], (true, Code::Unauthenticated, None));
        check(403, &[], (true, Code::PermissionDenied, None));
        check(404, &[], (true, Code::Unimplemented, None));
        check(413, &[], (true, Code::Unknown, None));
        check(500, &[], (true, Code::Unknown, None));
        check(301, &[("location", "http://else")], (true, Code::Unknown, None));
        check(429, &[], (false, Code::ResourceExhausted, None));
        check(502, &[("retry-after", "3")], (false, Code::Unavailable, None));
        check(503, &[], (false, Code::Unavailable, None));
        check(504, &[], (false, Code::Unavailable, None));
        check(429, &[("retry-after", "3")], (false, Code::ResourceExhausted, Some(3)));
        check(503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], (false, Code::Unavailable, Some(37)));
        check(503, &[("retry-after", "Sun, 06 Nov 1994 08:48:00 GMT")], (false, Code::Unavailable, None));
        check(503, &[("retry-after", "soon")], (false, Code::Unavailable, None));
    }

    #[test]
    fn the_server_is_quoted() {
        let body = Status::new(Code::InvalidArgument, "bad id").to_protobuf();
        assert_eq!(
            outcome_of(&answer(400, &[], body)).unwrap_err().to_string(),
            "rpc error: code = InvalidArgument desc = error exporting items, request to http://h/v1/traces \
             responded with HTTP Status Code 400, Message=bad id"
        );
    }

    #[test]
    fn successes() {
        let proto = [("content-type", "application/x-protobuf")];
        let json = [("content-type", "application/json; charset=utf-8")];
        let partial =
            |rejected, message: &str| Ok(Some(PartialSuccess { rejected, message: message.to_owned() }));
        assert_eq!(outcome_of(&answer(200, &proto, "")), Ok(None));
        assert_eq!(outcome_of(&answer(202, &proto, &b"\x0a\x00"[..])), Ok(None));
        assert_eq!(outcome_of(&answer(200, &proto, &b"\x0a\x05\x08\x02\x12\x01x"[..])), partial(2, "x"));
        assert_eq!(
            outcome_of(&answer(200, &json, r#"{"partialSuccess":{"rejectedSpans":"2"}}"#)),
            partial(2, "")
        );
        assert_eq!(outcome_of(&answer(200, &[("content-type", "text/html")], "<p>hello")), Ok(None));
        assert!(outcome_of(&answer(200, &proto, &b"\xff"[..])).unwrap_err().is_permanent());
        assert!(outcome_of(&answer(200, &json, "<p>")).unwrap_err().is_permanent());
    }
}
