//! Which printed values are secrets, by the name of their key.

/// Parts of a key's name that mean a secret.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "access_key",
    "authorization",
    "credential",
    "connection_string",
];
/// Ends of a key's name that mean something about a secret, not the secret.
const HARMLESS_ENDS: [&str; 16] = [
    "_file",
    "_path",
    "_dir",
    "_url",
    "_uri",
    "_endpoint",
    "_name",
    "_type",
    "_arn",
    "_ttl",
    "_interval",
    "_timeout",
    "_expiration",
    "_duration",
    "_format",
    "_mode",
];

/// Whether the value of `key` is a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    if key.ends_with("_pem") || key == "pem" {
        return true;
    }
    SECRET_WORDS.iter().any(|word| key.contains(word)) && !HARMLESS_ENDS.iter().any(|end| key.ends_with(end))
}

/// Whether a line of text names something that may hold a secret.
pub(crate) fn mentions_secret(line: &str) -> bool {
    let line = line.to_lowercase().replace('-', "_");
    line.contains("_pem") || line.contains("headers") || SECRET_WORDS.iter().any(|word| line.contains(word))
}

/// Whether everything below `key` is secret.
pub(crate) fn holds_secrets(key: &str) -> bool {
    let key = key.to_lowercase();
    key == "headers" || key.ends_with("_headers")
}

/// `text` with the password of a URL taken out, when it is one that has a password.
pub(crate) fn without_userinfo(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (user, _) = userinfo.split_once(':')?;
    let after = rest.get(userinfo.len()..)?;
    Some(format!("{scheme}://{user}:{}{after}", crate::secret::REDACTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys() {
        for (key, expected) in [
            ("password", true),
            ("aws_secret_access_key", true),
            ("Api-Key", true),
            ("bearer_token", true),
            ("key_pem", true),
            ("authorization", true),
            ("token_url", false),
            ("key_file", false),
            ("credentials_file", false),
            ("password_file", false),
            ("token_refresh_interval", false),
            ("endpoint", false),
            ("key", false),
        ] {
            assert_eq!(is_secret(key), expected, "{key}");
        }
        assert!(holds_secrets("headers") && holds_secrets("Headers") && !holds_secrets("header"));
    }

    #[test]
    fn passwords_in_urls() {
        for (input, expected) in [
            ("http://u:p@h:1/x?y", Some("http://u:[REDACTED]@h:1/x?y")),
            ("http://u:p@q@h", Some("http://u:[REDACTED]@h")),
            ("http://u@h", None),
            ("http://h/a:b@c", None),
            ("localhost:4317", None),
        ] {
            assert_eq!(without_userinfo(input).as_deref(), expected, "{input}");
        }
    }
}
