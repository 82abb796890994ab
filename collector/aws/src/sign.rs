//! AWS Signature Version 4 over a body in pieces.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{Context, SHA256};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign as sigv4};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderValue, Request};

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed")]
pub(crate) struct SignError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Adds `authorization`, `x-amz-date` and, with temporary credentials, `x-amz-security-token` to a request. All its
/// headers become part of the signature, but for those that proxies change, `user-agent` among them.
///
/// # Errors
/// A header that is not text.
pub(crate) fn sign<B>(
    request: &mut Request<B>,
    payload_sha256: String,
    service: &str,
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<(), SignError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| SignError(error);
    let identity = credentials.clone().into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(error.into()))?
        .into();
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|error| failed(error.into()))?)))
        .collect::<Result<_, _>>()?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.into_iter(),
        SignableBody::Precomputed(payload_sha256),
    )
    .map_err(|error| failed(error.into()))?;
    let (instructions, _) = sigv4(signable, &params).map_err(|error| failed(error.into()))?.into_parts();
    for header in instructions.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| failed(error.into()))?;
        // The SDK hides the token alone.
        value.set_sensitive(header.name() != "x-amz-date");
        request.headers_mut().insert(header.name(), value);
    }
    Ok(())
}

/// The SHA-256 of pieces one after the other, in lower-case hexadecimal digits.
pub(crate) fn sha256(pieces: &[Bytes]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut context = Context::new(&SHA256);
    pieces.iter().for_each(|piece| context.update(piece));
    let digest = context.finish();
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |&digit| char::from(digit));
    digest.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn digests() {
        let check = |pieces: &[&'static str], expected: &str| {
            let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            assert_eq!(sha256(&pieces), expected);
        };
        // FIPS 180-2, appendix B.
        check(&[], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        check(&["a", "", "bc"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    /// `post-vanilla` and `post-sts-header-before` of AWS' published test suite.
    #[test]
    fn published_vectors() {
        let check = |token: Option<&str>, expected: &str| {
            let credentials = Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                token.map(str::to_owned),
                None,
                "test",
            );
            let mut request = Request::post("https://example.amazonaws.com/").body(()).unwrap();
            let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
            sign(&mut request, sha256(&[]), "service", "us-east-1", &credentials, now).unwrap();
            let authorization = request.headers()["authorization"].to_str().unwrap();
            assert!(authorization.ends_with(expected), "{authorization}");
            assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
            assert_eq!(request.headers().contains_key("x-amz-security-token"), token.is_some());
            assert!(!format!("{:?}", request.headers()).contains("AKIDEXAMPLE"), "the header is sensitive");
        };
        check(
            None,
            "SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            Some(
                "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
            ),
            "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        );
    }
}
