//! The one thing that all pipeline stages share.

use std::time::Duration;

use async_trait::async_trait;
use pdata::Batch;

/// Takes batches: a processor, an exporter, a fan-out, the whole rest of a pipeline.
///
/// `Ok` means that the batch is delivered or held by a queue that answers for it. On an error the caller still
/// owns the duty: to retry, to tell its own caller, or to count the loss.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes one batch.
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError>;
}

/// The longest wait that a server can impose on a client: one answer must not silence it for days.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// Sending the same data again would fail the same way.
    #[error("{reason}")]
    Permanent {
        /// What failed, for a person.
        reason: String,
        /// The gRPC status that a downstream server answered, if one did.
        code: Option<Code>,
    },
    /// The same data may be taken later.
    #[error("{reason}")]
    Retryable {
        /// What failed, for a person.
        reason: String,
        /// The gRPC status that a downstream server answered, if one did.
        code: Option<Code>,
        /// The least time to wait that the refusing side asked for.
        after: Option<Duration>,
    },
}

impl ConsumeError {
    /// An error that no retry can mend.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent { reason: reason.into(), code: None }
    }

    /// An error that may pass.
    pub fn retryable(reason: impl Into<String>) -> Self {
        Self::Retryable { reason: reason.into(), code: None, after: None }
    }

    /// Whether sending the same data again is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. })
    }

    /// The gRPC status of this error: the downstream's own where there is one, else `INTERNAL` for a permanent and
    /// `UNAVAILABLE` for a passing one.
    pub fn code(&self) -> Code {
        match self {
            Self::Permanent { code, .. } => code.unwrap_or(Code::Internal),
            Self::Retryable { code, .. } => code.unwrap_or(Code::Unavailable),
        }
    }

    /// The least time to wait before a retry, where the refusing side asked for one: at most [`MAX_RETRY_AFTER`].
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable { after, .. } => after.map(|after| after.min(MAX_RETRY_AFTER)),
            Self::Permanent { .. } => None,
        }
    }

    /// Joins the errors of several consumers of the same batch: retryable while any of them is.
    pub fn join(errors: Vec<ConsumeError>) -> Option<ConsumeError> {
        let mut errors = errors.into_iter();
        let mut joined = errors.next()?;
        for error in errors {
            let reason = format!("{joined}; {error}");
            let after = joined.retry_after().max(error.retry_after());
            let kept = if joined.is_permanent() { error } else { joined };
            joined = match kept {
                Self::Permanent { code, .. } => Self::Permanent { reason, code },
                Self::Retryable { code, .. } => Self::Retryable { reason, code, after },
            };
        }
        Some(joined)
    }
}

/// A gRPC status code other than OK (grpc/grpc `doc/statuscodes.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are gRPC's own")]
#[repr(u8)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// The code of a number; `None` for 0 (OK), `Unknown` for numbers that gRPC does not define.
    pub fn from_number(number: i32) -> Option<Code> {
        Some(match number {
            0 => return None,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        })
    }

    /// The HTTP status that carries this code in an OTLP/HTTP answer.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Cancelled
            | Self::DeadlineExceeded
            | Self::Aborted
            | Self::OutOfRange
            | Self::Unavailable
            | Self::DataLoss => 503,
            Self::ResourceExhausted => 429,
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::Unimplemented => 404,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_errors_are_retryable_while_one_of_them_is() {
        let check = |errors: Vec<ConsumeError>, expected: Option<ConsumeError>| {
            assert_eq!(ConsumeError::join(errors), expected);
        };
        check(vec![], None);
        check(vec![ConsumeError::permanent("a")], Some(ConsumeError::permanent("a")));
        check(
            vec![ConsumeError::permanent("a"), ConsumeError::retryable("b")],
            Some(ConsumeError::retryable("a; b")),
        );
        check(
            vec![
                ConsumeError::Retryable { reason: "a".into(), code: Some(Code::Aborted), after: None },
                ConsumeError::Retryable {
                    reason: "b".into(),
                    code: None,
                    after: Some(Duration::from_secs(3)),
                },
            ],
            Some(ConsumeError::Retryable {
                reason: "a; b".into(),
                code: Some(Code::Aborted),
                after: Some(Duration::from_secs(3)),
            }),
        );
    }

    #[test]
    fn code_of_an_error_without_status_depends_on_its_kind() {
        assert_eq!(ConsumeError::permanent("x").code(), Code::Internal);
        assert_eq!(ConsumeError::retryable("x").code(), Code::Unavailable);
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(8), Some(Code::ResourceExhausted));
        assert_eq!(Code::from_number(99), Some(Code::Unknown));
        assert_eq!(Code::ResourceExhausted.http_status(), 429);
    }
}
