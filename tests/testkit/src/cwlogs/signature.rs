//! AWS Signature Version 4, as the receiving side sees it.
//!
//! Source: "Create a signed AWS API request", AWS Identity and Access Management User Guide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;
/// Headers that need not be signed though their name begins as if they had to.
const UNSIGNED: [&str; 1] = ["x-amzn-trace-id"];

/// The parts of an `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) access_key: &'a str,
    /// `20261123/us-west-2/logs/aws4_request`
    scope: &'a str,
    date: &'a str,
    region: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

/// Checks the headers of a request; the signature itself where the secret is known.
///
/// # Errors
/// What is wrong.
pub(super) fn check(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &BTreeMap<String, String>,
) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = Authorization::parse(text("authorization"))?;
    let date = text("x-amz-date");
    if date.get(..8) != Some(authorization.date) {
        return Err(format!("x-amz-date {date:?} is not of the scope's day {:?}", authorization.date));
    }
    for name in headers.keys().map(|name| name.as_str()) {
        let must = name == "host" || name.starts_with("x-amz");
        if must && !UNSIGNED.contains(&name) && !authorization.signed.contains(&name) {
            return Err(format!("the header {name} is not signed"));
        }
    }
    let hash = hex(&Sha256::digest(body));
    if headers.contains_key("x-amz-content-sha256") && text("x-amz-content-sha256") != hash {
        return Err("x-amz-content-sha256 is not the hash of the body".to_owned());
    }
    match secrets.get(authorization.access_key) {
        Some(secret) if authorization.sign(headers, &hash, date, secret) != authorization.signature => {
            Err("the signature does not match".to_owned())
        }
        _ => Ok(()),
    }
}

impl<'a> Authorization<'a> {
    pub(super) fn parse(header: &'a str) -> Result<Self, String> {
        let wrong = |what: &str| format!("authorization header without {what}: {header:?}");
        let parameters = header.strip_prefix(ALGORITHM).ok_or_else(|| wrong(ALGORITHM))?;
        let parameter = |name: &str| {
            let mut all = parameters.split(',').map(str::trim);
            all.find_map(|text| text.strip_prefix(name)?.strip_prefix('=')).ok_or_else(|| wrong(name))
        };
        let (access_key, scope) = parameter("Credential")?.split_once('/').ok_or_else(|| wrong("a scope"))?;
        let mut parts = scope.split('/');
        let mut part = || parts.next().unwrap_or_default();
        let (date, region, service, end) = (part(), part(), part(), part());
        if region.is_empty() || service != "logs" || end != "aws4_request" {
            return Err(wrong("the scope of CloudWatch Logs"));
        }
        let signed: Vec<&str> = parameter("SignedHeaders")?.split(';').collect();
        if !signed.is_sorted() {
            return Err(wrong("signed headers in order"));
        }
        Ok(Self { access_key, scope, date, region, signed, signature: parameter("Signature")? })
    }

    fn sign(&self, headers: &HeaderMap, body_hash: &str, date: &str, secret: &str) -> String {
        let mut canonical = String::from("POST\n/\n\n");
        for name in &self.signed {
            let values: Vec<String> =
                headers.get_all(*name).iter().filter_map(|value| value.to_str().ok()).map(trimmed).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(canonical, "{name}:{}", values.join(","));
        }
        let _ = write!(canonical, "\n{}\n{body_hash}", self.signed.join(";"));
        let hashed = hex(&Sha256::digest(canonical));
        let to_sign = format!("{ALGORITHM}\n{date}\n{}\n{hashed}", self.scope);
        let key = [self.date, self.region, "logs", "aws4_request"]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        hex(&hmac(&key, to_sign.as_bytes()))
    }
}

/// Without spaces around it, and with single ones inside.
fn trimmed(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// RFC 2104 over SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut padded = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    padded.resize(BLOCK, 0);
    let pad = |with: u8| padded.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_of_rfc_4231() {
        let check = |key: &[u8], message: &[u8], expected: &str| {
            assert_eq!(hex(&hmac(key, message)), expected);
        };
        check(&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }

    #[test]
    fn headers() {
        let good = "AWS4-HMAC-SHA256 Credential=AK/20261123/us-west-2/logs/aws4_request, \
                    SignedHeaders=host;x-amz-date, Signature=0a";
        let check = |authorization: &str, more: &[(&'static str, &str)], expected: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", "h"), ("x-amz-date", "20261123T000000Z")].iter().chain(more) {
                headers.insert(*name, value.parse().unwrap());
            }
            headers.insert("authorization", authorization.parse().unwrap());
            let found = super::check(&headers, b"", &BTreeMap::new()).err().unwrap_or_default();
            assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}");
        };
        check(good, &[], "");
        check("", &[], "authorization header without AWS4");
        check(&good.replace("logs", "s3"), &[], "authorization header without the scope");
        check(&good.replace("20261123", "20261124"), &[], "x-amz-date");
        check(good, &[("x-amzn-logs-format", "json/emf")], "the header x-amzn-logs-format is not signed");
        check(&good.replace("host;", ""), &[], "the header host is not signed");
        let signed = good.replace("x-amz-date,", "x-amz-content-sha256;x-amz-date,");
        check(&signed, &[("x-amz-content-sha256", "0")], "x-amz-content-sha256 is not");
    }
}
