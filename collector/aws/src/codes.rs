//! What error codes of AWS services mean, and their texts in a form for logs.

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
