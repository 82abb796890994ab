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

/// What a refusal says, without what it was asked with: to a signature that is wrong services answer with all that was
/// signed, session token included. Codes are compared as they are, and texts are cut after this.
pub(crate) fn hushed<'a>(text: &'a str, credentials: &Credentials) -> Cow<'a, str> {
    let own = [credentials.session_token().unwrap_or_default(), credentials.secret_access_key()];
    let own = own.into_iter().chain([credentials.access_key_id()]).filter(|secret| !secret.is_empty());
    own.fold(Cow::Borrowed(text), |text, secret| match text.contains(secret) {
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
        let check = |text: &str, expected: &str| assert_eq!(hushed(text, &credentials), expected);
        check("AccessDenied: no", "AccessDenied: no");
        check(
            &format!("should have been 'x-amz-security-token:{token}\nCredential={id}/2026', not {secret}"),
            "should have been 'x-amz-security-token:[REDACTED]\nCredential=[REDACTED]/2026', not [REDACTED]",
        );
        check(&format!("\u{fffd} {token}"), "\u{fffd} [REDACTED]");
        check("ResourceAlreadyExistsException", "ResourceAlreadyExistsException");
        let without = Credentials::new("", "", None, None, "test");
        assert_eq!(hushed("any", &without), "any");
    }
}
