//! What the service answers: who is to blame for a failure, and what to do about it.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::{LogsError, RejectedInfo};
use crate::codes::{DENIED, PASSING, THROTTLING, UNAUTHORIZED, cut, hushed};

/// The longest wait that is believed.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PutAnswer {
    rejected_log_events_info: Option<RejectedEvents>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RejectedEvents {
    too_old_log_event_end_index: Option<i64>,
    too_new_log_event_start_index: Option<i64>,
    expired_log_event_end_index: Option<i64>,
}

/// Whether the answer to a request signed with these credentials means success.
///
/// # Errors
/// What it means otherwise.
pub(super) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    credentials: &Credentials,
) -> Result<(), LogsError> {
    if status.is_success() {
        return if is_json_or_empty(body) { Ok(()) } else { Err(foreign(status)) };
    }
    let json: Option<Value> = serde_json::from_str(&String::from_utf8_lossy(body)).ok();
    let code = code(headers, json.as_ref());
    let text = match (message(json.as_ref(), credentials), &*hushed(&code, credentials)) {
        (Some(message), "") => format!("{status}: {message}"),
        (Some(message), code) => format!("{code}: {message}"),
        (None, "") => format!("the service answers with status {status}"),
        (None, code) => code.to_owned(),
    };
    Err(classify(status, code, text, wait(headers)))
}

fn classify(status: StatusCode, code: String, text: String, after: Option<Duration>) -> LogsError {
    match (code.as_str(), status.as_u16()) {
        ("ResourceNotFoundException", _) => LogsError::NotFound(text),
        ("ResourceAlreadyExistsException", _) => LogsError::AlreadyExists(text),
        ("DataAlreadyAcceptedException", _) => LogsError::AlreadyAccepted(text),
        (code, _) if THROTTLING.contains(&code) => LogsError::Throttled { reason: text, after },
        (code, _) if UNAUTHORIZED.contains(&code) => LogsError::Unauthorized(text),
        (code, _) if DENIED.contains(&code) => LogsError::Denied(text),
        (code, _) if PASSING.contains(&code) => LogsError::Unavailable(text),
        (_, 429) => LogsError::Throttled { reason: text, after },
        // A service that says for how long it is away is treated like one that is asked too often.
        (_, 503) if after.is_some() => LogsError::Throttled { reason: text, after },
        // Of proxies: a login that is missing, a request that took too long, a connection for another host.
        (_, 407 | 408 | 421 | 500..) => LogsError::Unavailable(text),
        ("", 401 | 403) => LogsError::Denied(text),
        // Where somebody sits in between; the service redirects nobody.
        ("", 100..=399) => foreign(status),
        _ => LogsError::Permanent { code, reason: text },
    }
}

/// An answer that is not the service's: of a captive portal, say.
fn foreign(status: StatusCode) -> LogsError {
    LogsError::Unavailable(format!(
        "an answer with status {status} that is not of CloudWatch Logs: check the proxy and endpoint"
    ))
}

/// What an accepted `PutLogEvents` request leaves out.
///
/// # Errors
/// The answer is not one to this request.
pub(super) fn rejected(body: &[u8]) -> Result<RejectedInfo, LogsError> {
    if body.trim_ascii().is_empty() {
        return Ok(RejectedInfo::default());
    }
    let answer: PutAnswer = serde_json::from_slice(body).map_err(|error| {
        LogsError::Unavailable(format!("the answer to PutLogEvents is malformed: {error}"))
    })?;
    let info = answer.rejected_log_events_info.unwrap_or_default();
    let index = |index: Option<i64>| index.and_then(|index| u64::try_from(index).ok());
    Ok(RejectedInfo {
        too_old_end: index(info.too_old_log_event_end_index),
        too_new_start: index(info.too_new_log_event_start_index),
        expired_end: index(info.expired_log_event_end_index),
    })
}

/// The time at the service.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    SystemTime::try_from(DateTime::from_str(text, Format::HttpDate).ok()?).ok()
}

fn is_json_or_empty(body: &[u8]) -> bool {
    body.trim_ascii_start().first().is_none_or(|&first| first == b'{')
}

/// The code of a failure, of its header or else its body, without namespace and link: `namespace#Code:http://…`.
fn code(headers: &HeaderMap, json: Option<&Value>) -> String {
    let of_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let of_body = || ["__type", "code", "Code"].into_iter().find_map(|key| json?.get(key)?.as_str());
    let full = of_header.filter(|code| !code.is_empty()).or_else(of_body).unwrap_or_default();
    let code = full.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().trim();
    cut(code)
}

fn message(json: Option<&Value>, credentials: &Credentials) -> Option<String> {
    let text = ["message", "Message", "errorMessage"].into_iter().find_map(|key| json?.get(key)?.as_str())?;
    Some(cut(&hushed(text, credentials))).filter(|text| !text.is_empty())
}

/// How long the service wants to be left alone: `Retry-After` in seconds or as a date, or AWS' own in milliseconds.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = || text("x-amz-retry-after")?.parse().ok().map(Duration::from_millis);
    let seconds = || text("retry-after")?.parse().ok().map(Duration::from_secs);
    let until = || {
        let until = DateTime::from_str(text("retry-after")?, Format::HttpDate).ok()?;
        let now = date(headers).unwrap_or_else(SystemTime::now);
        Some(SystemTime::try_from(until).ok()?.duration_since(now).unwrap_or_default())
    };
    millis().or_else(seconds).or_else(until).map(|wait| wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::codes::MAX_MESSAGE;

    use super::*;

    /// Credentials of which nothing is in an answer.
    fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), LogsError> {
        super::judge(status, headers, body, &Credentials::new("", "", None, None, "test"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).try_into().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_was_signed_is_not_repeated_and_codes_are_known() {
        // Short ones, as are made up for emulators: they are parts of words.
        let credentials = Credentials::new("a", "dy", Some("t".to_owned()), None, "test");
        let body = br#"{"__type":"ResourceAlreadyExistsException","message":"dy signed"}"#;
        let error = super::judge(StatusCode::BAD_REQUEST, &HeaderMap::new(), body, &credentials).unwrap_err();
        assert!(
            matches!(&error, LogsError::AlreadyExists(text) if text.ends_with(": [REDACTED] signed")),
            "{error:?}"
        );
    }

    #[test]
    fn failures() {
        let check = |status: u16, pairs: &[(&'static str, &str)], body: &str, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let got = judge(status, &headers(pairs), body.as_bytes());
            assert_eq!(format!("{got:?}"), expected, "{status} {pairs:?} {body}");
        };
        let of = |code: &str| format!(r#"{{"__type":"{code}","message":"m"}}"#);
        check(200, &[], "", "Ok(())");
        check(200, &[], " {}", "Ok(())");
        let foreign = r#"Err(Unavailable("an answer with status 200 OK that is not of CloudWatch Logs: check the proxy and endpoint"))"#;
        check(200, &[], "<html>log in</html>", foreign);
        check(302, &[], "", &foreign.replace("200 OK", "302 Found"));
        check(400, &[], &of("ResourceNotFoundException"), r#"Err(NotFound("ResourceNotFoundException: m"))"#);
        check(
            400,
            &[],
            &of("com.amazonaws.logs#ResourceAlreadyExistsException"),
            r#"Err(AlreadyExists("ResourceAlreadyExistsException: m"))"#,
        );
        check(
            400,
            &[("x-amzn-errortype", "DataAlreadyAcceptedException:http://internal.amazon.com/coral/")],
            r#"{"Message":"was there"}"#,
            r#"Err(AlreadyAccepted("DataAlreadyAcceptedException: was there"))"#,
        );
        check(
            400,
            &[("retry-after", "7")],
            &of("ThrottlingException"),
            r#"Err(Throttled { reason: "ThrottlingException: m", after: Some(7s) })"#,
        );
        check(
            429,
            &[],
            "",
            r#"Err(Throttled { reason: "the service answers with status 429 Too Many Requests", after: None })"#,
        );
        check(
            503,
            &[("retry-after", "99999999999999")],
            "",
            r#"Err(Throttled { reason: "the service answers with status 503 Service Unavailable", after: Some(900s) })"#,
        );
        check(
            503,
            &[],
            &of("ServiceUnavailableException"),
            r#"Err(Unavailable("ServiceUnavailableException: m"))"#,
        );
        check(502, &[], "<html>", r#"Err(Unavailable("the service answers with status 502 Bad Gateway"))"#);
        check(
            400,
            &[],
            &of("OperationAbortedException"),
            r#"Err(Unavailable("OperationAbortedException: m"))"#,
        );
        check(
            400,
            &[],
            &of("InvalidSequenceTokenException"),
            r#"Err(Unavailable("InvalidSequenceTokenException: m"))"#,
        );
        check(400, &[], &of("ExpiredTokenException"), r#"Err(Unauthorized("ExpiredTokenException: m"))"#);
        check(
            400,
            &[],
            &of("UnrecognizedClientException"),
            r#"Err(Unauthorized("UnrecognizedClientException: m"))"#,
        );
        check(
            403,
            &[],
            &of("InvalidSignatureException"),
            r#"Err(Unauthorized("InvalidSignatureException: m"))"#,
        );
        check(400, &[], &of("AccessDeniedException"), r#"Err(Denied("AccessDeniedException: m"))"#);
        check(403, &[], "Forbidden", r#"Err(Denied("the service answers with status 403 Forbidden"))"#);
        check(
            400,
            &[],
            &of("InvalidParameterException"),
            r#"Err(Permanent { code: "InvalidParameterException", reason: "InvalidParameterException: m" })"#,
        );
        check(
            413,
            &[],
            r#"{"message":"two\nlines"}"#,
            r#"Err(Permanent { code: "", reason: "413 Payload Too Large: two lines" })"#,
        );
        check(
            400,
            &[],
            r#"{"__type":5,"message":[]}"#,
            r#"Err(Permanent { code: "", reason: "the service answers with status 400 Bad Request" })"#,
        );
    }

    #[test]
    fn what_passes() {
        let check = |status: u16, body: &str, expected: bool| {
            let judged = judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            assert_eq!(judged.unwrap_err().is_passing(), expected, "{status} {body}");
        };
        check(500, "", true);
        check(429, "", true);
        check(407, "", true);
        check(400, r#"{"__type":"ExpiredTokenException"}"#, true);
        check(400, "", false);
        check(403, "", false);
        check(400, r#"{"__type":"ResourceNotFoundException"}"#, false);
    }

    #[test]
    fn what_was_not_kept() {
        let check = |body: &str, expected: [Option<u64>; 3]| {
            let [too_old_end, too_new_start, expired_end] = expected;
            assert_eq!(
                rejected(body.as_bytes()),
                Ok(RejectedInfo { too_old_end, too_new_start, expired_end }),
                "{body}"
            );
        };
        check("", [None; 3]);
        check(r#"{"nextSequenceToken":"1"}"#, [None; 3]);
        check(r#"{"rejectedLogEventsInfo":null,"rejectedEntityInfo":{"errorType":"x"}}"#, [None; 3]);
        check(
            r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":2,"tooNewLogEventStartIndex":-1,"expiredLogEventEndIndex":0}}"#,
            [Some(2), None, Some(0)],
        );
        assert!(rejected(br#"{"rejectedLogEventsInfo":"#).unwrap_err().is_passing());
    }

    #[test]
    fn waits() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<u64>| {
            assert_eq!(wait(&headers(pairs)), expected.map(Duration::from_millis), "{pairs:?}");
        };
        let now = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        check(&[], None);
        check(&[("retry-after", "3")], Some(3000));
        check(&[("x-amz-retry-after", "1500"), ("retry-after", "3")], Some(1500));
        check(&[now, ("retry-after", "Wed, 21 Oct 2015 07:28:09 GMT")], Some(9000));
        check(&[now, ("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT")], Some(0));
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "soon")], None);
    }

    proptest! {
        /// Whatever comes back, there is a verdict with few words.
        #[test]
        fn no_answer_is_too_strange(
            status in 100u16..1000,
            kind in "\\PC{0,30}",
            wait in "\\PC{0,30}",
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                ("\\PC{0,9}", "[a-zA-Z:#]{0,30}", "(é|\\PC){0,2000}").prop_map(|(key, code, message)| {
                    serde_json::json!({"__type": code, "message": message, key: 1}).to_string().into_bytes()
                }),
            ],
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [("x-amzn-errortype", kind), ("retry-after", wait)] {
                if let Ok(value) = http::HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
            if let Err(error) = judge(StatusCode::from_u16(status).unwrap(), &headers, &body) {
                let text = error.to_string();
                prop_assert!(!text.is_empty() && text.len() < 3 * MAX_MESSAGE);
                prop_assert!(!text.contains('\n'));
            }
            let _ = rejected(&body);
        }
    }
}
