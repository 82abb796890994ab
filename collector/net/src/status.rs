//! `google.rpc.Status`: what an error is on the wire, for gRPC and for OTLP/HTTP.

use std::time::Duration;

use component::{Code, ConsumeError};
use prost::Message;

/// The type URL of `google.rpc.RetryInfo` in the details of a status.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", code_name(*.code))]
pub struct Status {
    /// What kind of failure it is.
    pub code: Code,
    /// What failed, for a person.
    pub message: String,
    /// The least time to wait before a retry (`google.rpc.RetryInfo`).
    pub retry_after: Option<Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Status {
    /// A failure without advice on retrying.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// Encoded as `google.rpc.Status`.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let details = self.retry_after.map(|delay| {
            let delay = RetryDelay {
                seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(delay.subsec_nanos()).unwrap_or(0),
            };
            let info = RetryInfo { retry_delay: Some(delay) };
            Any { type_url: RETRY_INFO.into(), value: info.encode_to_vec() }
        });
        let status = RpcStatus {
            code: self.code as i32,
            message: self.message.clone(),
            details: details.into_iter().collect(),
        };
        status.encode_to_vec()
    }

    /// Reads a `google.rpc.Status`; `None` if it is none, or says OK.
    pub fn from_protobuf(bytes: &[u8]) -> Option<Self> {
        let status = RpcStatus::decode(bytes).ok()?;
        let retry_after =
            status.details.iter().find(|detail| detail.type_url == RETRY_INFO).and_then(|detail| {
                let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?;
                let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
                Some(seconds.saturating_add(Duration::from_nanos(u64::try_from(delay.nanos).ok()?)))
            });
        Some(Self { code: Code::from_number(status.code)?, message: status.message, retry_after })
    }

    /// In the JSON form of protobuf, spaced as upstream spaces it.
    pub fn to_json(&self) -> Vec<u8> {
        let message = serde_json::Value::from(self.message.as_str());
        let mut json = format!(r#"{{"code":{}, "message":{message}"#, self.code as i32);
        if let Some(delay) = self.retry_after {
            let nanos = format!("{:09}", delay.subsec_nanos());
            let fraction = match nanos.trim_end_matches('0') {
                "" => String::new(),
                digits => format!(".{digits}"),
            };
            json.push_str(&format!(
                r#", "details":[{{"@type":"{RETRY_INFO}", "retryDelay":"{}{fraction}s"}}]"#,
                delay.as_secs()
            ));
        }
        json.push('}');
        json.into_bytes()
    }

    /// Whether a gRPC client may send the same again: OTLP's rule.
    pub fn is_retryable(&self) -> bool {
        match self.code {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => self.retry_after.is_some(),
            _ => false,
        }
    }
}

/// A consumer's own status is kept; an error without one is `INTERNAL` or `UNAVAILABLE`.
impl From<&ConsumeError> for Status {
    fn from(error: &ConsumeError) -> Self {
        Self { code: error.code(), message: error.to_string(), retry_after: error.retry_after() }
    }
}

/// A server's status is a consumer's error to whoever sent the data, by OTLP's rule for retries.
impl From<Status> for ConsumeError {
    fn from(status: Status) -> Self {
        let reason = status.to_string();
        let code = Some(status.code);
        if status.is_retryable() {
            Self::Retryable { reason, code, after: status.retry_after }
        } else {
            Self::Permanent { reason, code }
        }
    }
}

/// grpc-go's spelling.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json() {
        let check = |status: Status, expected: &str| {
            assert_eq!(String::from_utf8(status.to_json()).unwrap(), expected);
        };
        check(Status::new(Code::Unavailable, "no \"x\""), r#"{"code":14, "message":"no \"x\""}"#);
        check(
            Status {
                retry_after: Some(Duration::from_millis(1500)),
                ..Status::new(Code::ResourceExhausted, "")
            },
            r#"{"code":8, "message":"", "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo", "retryDelay":"1.5s"}]}"#,
        );
    }

    #[test]
    fn protobuf_reads_back() {
        for retry_after in [None, Some(Duration::from_millis(1500))] {
            let status = Status { retry_after, ..Status::new(Code::Unavailable, "later") };
            assert_eq!(Status::from_protobuf(&status.to_protobuf()), Some(status));
        }
        assert_eq!(Status::from_protobuf(b""), None);
        assert_eq!(Status::from_protobuf(b"\xff"), None);
    }

    #[test]
    fn what_may_be_retried() {
        let check = |code: Code, retry_after: Option<Duration>, expected: bool| {
            let status = Status { retry_after, ..Status::new(code, "") };
            assert_eq!(status.is_retryable(), expected, "{code:?}");
            assert_eq!(ConsumeError::from(status).is_permanent(), !expected, "{code:?}");
        };
        check(Code::Unavailable, None, true);
        check(Code::Cancelled, None, true);
        check(Code::ResourceExhausted, None, false);
        check(Code::ResourceExhausted, Some(Duration::from_secs(1)), true);
        check(Code::InvalidArgument, Some(Duration::from_secs(1)), false);
        check(Code::Unimplemented, None, false);
    }
}
