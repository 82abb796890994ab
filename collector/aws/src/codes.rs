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

/// The length of the shortest credentials: an access key id. What is shorter is none of AWS's, and may be part of any word.
const SHORTEST_SECRET: usize = 16;

/// A refusal without what it was asked with: to a signature that is wrong services answer with all that was signed, session
/// token included.
pub(crate) fn hushed<'a>(answer: &'a [u8], credentials: &Credentials) -> Cow<'a, str> {
    let own = [credentials.session_token().unwrap_or_default(), credentials.secret_access_key()];
    let own =
        own.into_iter().chain([credentials.access_key_id()]).filter(|secret| secret.len() >= SHORTEST_SECRET);
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
        let (id, secret, token) = ("AKIAIOSFODNN7EXAMPLE", "s3cr3t/+s3cr3t/+", "t0ken==t0ken==t0ken==");
        let credentials = Credentials::new(id, secret, Some(token.to_owned()), None, "test");
        let check =
            |answer: &str, expected: &str| assert_eq!(hushed(answer.as_bytes(), &credentials), expected);
        check("AccessDenied: no", "AccessDenied: no");
        check(
            &format!("should have been 'x-amz-security-token:{token}\nCredential={id}/2026', not {secret}"),
            "should have been 'x-amz-security-token:[REDACTED]\nCredential=[REDACTED]/2026', not [REDACTED]",
        );
        assert_eq!(hushed(format!("\u{fffd} {token}").as_bytes(), &credentials), "\u{fffd} [REDACTED]");
        // Made up for tests: no part of a word is taken for a secret.
        let short = Credentials::new("a", "", Some("x".to_owned()), None, "test");
        check("ResourceAlreadyExistsException", "ResourceAlreadyExistsException");
        assert_eq!(hushed(b"ResourceAlreadyExistsException", &short), "ResourceAlreadyExistsException");
        assert_eq!(hushed(b"\xff any", &short), "\u{fffd} any");
    }
}
