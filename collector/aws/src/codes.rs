//! What error codes of AWS services mean, and their texts in a form for logs.

use std::borrow::Cow;

use aws_credential_types::Credentials;
use confmap::REDACTED;

/// Codes that say: too fast. Those of the AWS SDKs.
pub(crate) const THROTTLING: [&str; 13] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "EC2ThrottledException",
];
/// Codes of states that pass, whatever the status.
pub(crate) const PASSING: [&str; 11] = [
    "ServiceUnavailableException",
    "ServiceUnavailable",
    "InternalFailure",
    "InternalServerError",
    "OperationAbortedException",
    "InvalidSequenceTokenException",
    "RequestTimeout",
    "RequestTimeoutException",
    "PriorRequestNotComplete",
    "InternalError",
    "Unavailable",
];
/// Codes that say: these credentials or this time are not good (any more).
pub(crate) const UNAUTHORIZED: [&str; 16] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
    "MissingAuthenticationTokenException",
    "AuthFailure",
];
/// Codes that say: known, but not allowed to.
pub(crate) const DENIED: [&str; 6] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnauthorizedOperation",
    "NotAuthorized",
    "OptInRequired",
    "AuthorizationErrorException",
];
/// The longest message that is passed on.
pub(crate) const MAX_MESSAGE: usize = 1024;
/// At most [`MAX_MESSAGE`] bytes of a text, on one line.
pub(crate) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_MESSAGE);
    text.get(..end).unwrap_or_default().replace(char::is_control, " ")
}

/// A refusal without what it was asked with: to a signature that is wrong services answer with all that was signed, session
/// token included.
pub(crate) fn hushed<'a>(answer: &'a [u8], credentials: &Credentials) -> Cow<'a, str> {
    let own = [credentials.session_token().unwrap_or_default(), credentials.secret_access_key()];
    let own = own.into_iter().chain([credentials.access_key_id()]).filter(|secret| !secret.is_empty());
    own.fold(String::from_utf8_lossy(answer), |text, secret| match text.contains(secret) {
        true => Cow::Owned(text.replace(secret, REDACTED)),
        false => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_do_not_repeat_secrets() {
        let credentials = Credentials::new("AKID", "s3cr3t/+", Some("t0ken==".to_owned()), None, "test");
        let check = |answer: &[u8], expected: &str| assert_eq!(hushed(answer, &credentials), expected);
        check(b"AccessDenied: no", "AccessDenied: no");
        check(
            b"should have been 'x-amz-security-token:t0ken==\nCredential=AKID/2026', not s3cr3t/+",
            "should have been 'x-amz-security-token:[REDACTED]\nCredential=[REDACTED]/2026', not [REDACTED]",
        );
        check(b"\xff t0ken==", "\u{fffd} [REDACTED]");
        let without = Credentials::new("", "", None, None, "test");
        assert_eq!(hushed(b"any", &without), "any");
    }
}
