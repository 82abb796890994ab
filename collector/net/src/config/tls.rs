//! `tls` of servers and clients (upstream `config/configtls`).

use std::path::PathBuf;

use confmap::{Duration, Problems, Secret};
use serde::Deserialize;

/// A version of TLS. The TLS library starts at 1.2: older ones are understood as "at least 1.2".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0
    Tls10,
    /// 1.1
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// What servers and clients have in common: certificates, keys and parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// Certificate authorities, a PEM file.
    pub ca_file: PathBuf,
    /// Certificate authorities, PEM text.
    pub ca_pem: Secret,
    /// Whether the system's certificate authorities are trusted beside those.
    pub include_system_ca_certs_pool: bool,
    /// The own certificate and its chain, a PEM file.
    pub cert_file: PathBuf,
    /// The own certificate and its chain, PEM text.
    pub cert_pem: Secret,
    /// The own private key, a PEM file.
    pub key_file: PathBuf,
    /// The own private key, PEM text.
    pub key_pem: Secret,
    /// The oldest version to speak; 1.2 if empty.
    pub min_version: String,
    /// The newest version to speak; the newest there is if empty.
    pub max_version: String,
    /// Cipher suites of TLS 1.2 by their IANA names; the library's choice if empty.
    pub cipher_suites: Vec<String>,
    /// Whether insecure suites may be listed. The TLS library has none.
    pub include_insecure_cipher_suites: bool,
    /// Key exchange groups in order of preference; the library's choice if empty.
    pub curve_preferences: Vec<String>,
    /// Certificates older than this are read again at the next handshake; 0 for never.
    pub reload_interval: Duration,
    /// Keys in a trusted platform module; not supported.
    pub tpm: TpmConfig,
}

/// `tpm`: understood, so that turning it on is an error that says so.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TpmConfig {
    /// Whether the key is in the module.
    pub enabled: bool,
    /// The device.
    pub path: String,
    /// Authorization of the owner.
    pub owner_auth: Secret,
    /// Authorization of the key.
    pub auth: Secret,
}

/// `tls` of a server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(TlsServerKeys, TlsConfig)")]
pub struct TlsServerConfig {
    /// Certificates, keys and parameters.
    pub common: TlsConfig,
    /// Authorities of client certificates; if set, clients must show one.
    pub client_ca_file: PathBuf,
    /// Whether a changed `client_ca_file` is read again, looked for at most once a second.
    pub client_ca_file_reload: bool,
}

/// `tls` of a client.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(TlsClientKeys, TlsConfig)")]
pub struct TlsClientConfig {
    /// Certificates, keys and parameters.
    pub common: TlsConfig,
    /// Plaintext, if no certificate authority is configured.
    pub insecure: bool,
    /// Whether any certificate of the server is taken.
    pub insecure_skip_verify: bool,
    /// The name that the server's certificate must have, and that is asked for; the endpoint's host if empty.
    pub server_name_override: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TlsServerKeys {
    client_ca_file: PathBuf,
    client_ca_file_reload: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TlsClientKeys {
    insecure: bool,
    insecure_skip_verify: bool,
    server_name_override: String,
}

/// Upstream's names of key exchange groups.
const CURVES: [&str; 5] = ["P256", "P384", "P521", "X25519", "X25519MLKEM768"];

/// The cipher suites that Go calls secure; of these, the TLS library has those without CBC.
const SECURE_SUITES: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The cipher suites that Go calls insecure.
const INSECURE_SUITES: [&str; 13] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
];

impl TlsVersion {
    /// `1.2` and its like.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "1.0" => Ok(Self::Tls10),
            "1.1" => Ok(Self::Tls11),
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(format!("unsupported TLS version: {text:?}")),
        }
    }
}

impl TlsConfig {
    pub(crate) fn has_ca(&self) -> bool {
        !self.ca_file.as_os_str().is_empty() || !self.ca_pem.is_empty()
    }

    pub(crate) fn has_cert(&self) -> bool {
        !self.cert_file.as_os_str().is_empty() || !self.cert_pem.is_empty()
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.key_file.as_os_str().is_empty() || !self.key_pem.is_empty()
    }

    /// The oldest version: 1.2 unless 1.3 is asked for.
    pub(crate) fn oldest(&self) -> TlsVersion {
        TlsVersion::parse(&self.min_version).unwrap_or(TlsVersion::Tls12).max(TlsVersion::Tls12)
    }

    /// The newest version: 1.3 unless 1.2 is asked for.
    pub(crate) fn newest(&self) -> TlsVersion {
        TlsVersion::parse(&self.max_version).unwrap_or(TlsVersion::Tls13)
    }

    fn validate(&self, problems: &mut Problems) {
        for (what, file, pem) in [
            ("CA", &self.ca_file, &self.ca_pem),
            ("certificate", &self.cert_file, &self.cert_pem),
            ("key", &self.key_file, &self.key_pem),
        ] {
            if !file.as_os_str().is_empty() && !pem.is_empty() {
                problems
                    .report(format!("provide either a {what} file or the PEM-encoded string, but not both"));
            }
        }
        self.validate_versions(problems);
        for name in &self.cipher_suites {
            if INSECURE_SUITES.contains(&name.as_str()) {
                let why = if self.include_insecure_cipher_suites { "" } else { "insecure and " };
                problems.at("cipher_suites", |p| {
                    p.report(format!("TLS cipher suite {name:?} is {why}not supported by the TLS library"));
                });
            } else if !SECURE_SUITES.contains(&name.as_str()) {
                problems.at("cipher_suites", |p| p.report(format!("invalid TLS cipher suite: {name:?}")));
            }
        }
        for name in &self.curve_preferences {
            if !CURVES.contains(&name.as_str()) {
                problems.at("curve_preferences", |p| {
                    p.report_with_help(
                        format!("invalid curve type: {name:?}"),
                        format!("expected one of {}", CURVES.join(", ")),
                    );
                });
            }
        }
        if self.tpm.enabled {
            problems.at("tpm", |p| p.report("keys in a trusted platform module are not supported"));
        }
    }

    fn validate_versions(&self, problems: &mut Problems) {
        let mut version = |key: &str, text: &str| match TlsVersion::parse(text) {
            _ if text.is_empty() => None,
            Ok(version) => Some(version),
            Err(message) => {
                problems.at(key, |p| p.report(message));
                None
            }
        };
        let min = version("min_version", &self.min_version);
        let max = version("max_version", &self.max_version);
        if max.is_some_and(|max| max < TlsVersion::Tls12) {
            problems.at("max_version", |p| {
                p.report_with_help(
                    format!("TLS version {:?} is not supported", self.max_version),
                    "1.2 is the oldest version of the TLS library",
                );
            });
        } else if max.is_some_and(|max| max < min.unwrap_or(TlsVersion::Tls12)) {
            problems.report("invalid TLS configuration: min_version cannot be greater than max_version");
        }
    }
}

impl TlsServerConfig {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        self.common.validate(problems);
        if !self.common.has_cert() || !self.common.has_key() {
            problems.report("TLS configuration must include both certificate and key for server connections");
        }
    }
}

impl TlsClientConfig {
    /// Reports what is wrong, at the path of this block.
    pub fn validate(&self, problems: &mut Problems) {
        self.common.validate(problems);
        if self.common.has_cert() != self.common.has_key() {
            problems.report("for auth via TLS, provide both certificate and key, or neither");
        }
    }

    /// Whether connections are plaintext: `insecure` without an own authority to check the server with.
    pub fn is_plaintext(&self) -> bool {
        self.insecure && !self.common.has_ca()
    }
}

impl From<(TlsServerKeys, TlsConfig)> for TlsServerConfig {
    fn from((own, common): (TlsServerKeys, TlsConfig)) -> Self {
        Self { common, client_ca_file: own.client_ca_file, client_ca_file_reload: own.client_ca_file_reload }
    }
}

impl From<(TlsClientKeys, TlsConfig)> for TlsClientConfig {
    fn from((own, common): (TlsClientKeys, TlsConfig)) -> Self {
        Self {
            common,
            insecure: own.insecure,
            insecure_skip_verify: own.insecure_skip_verify,
            server_name_override: own.server_name_override,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_a_server() {
        let check = |yaml: &str, expected: &str| {
            let config: TlsServerConfig = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.to_string(), expected, "{yaml}");
        };
        let both = "TLS configuration must include both certificate and key for server connections";
        check("{}", both);
        check("{cert_file: a}", both);
        check("{cert_file: a, key_file: b}", "");
        check("{cert_file: a, key_file: b, min_version: '1.0'}", "");
        check(
            "{cert_file: a, cert_pem: x, key_file: b}",
            "provide either a certificate file or the PEM-encoded string, but not both",
        );
        check(
            "{cert_file: a, key_file: b, min_version: '9'}",
            r#"min_version: unsupported TLS version: "9""#,
        );
        check(
            "{cert_file: a, key_file: b, min_version: '1.3', max_version: '1.2'}",
            "invalid TLS configuration: min_version cannot be greater than max_version",
        );
        check(
            "{cert_file: a, key_file: b, max_version: '1.1'}",
            r#"max_version: TLS version "1.1" is not supported (1.2 is the oldest version of the TLS library)"#,
        );
        check(
            "{cert_file: a, key_file: b, cipher_suites: [TLS_X]}",
            r#"cipher_suites: invalid TLS cipher suite: "TLS_X""#,
        );
    }

    #[test]
    fn plaintext_only_without_authority() {
        let check = |yaml: &str, expected: bool| {
            let config: TlsClientConfig = confmap::from_yaml(yaml).unwrap();
            assert_eq!(config.is_plaintext(), expected, "{yaml}");
        };
        check("{}", false);
        check("{insecure: true}", true);
        check("{insecure: true, ca_file: a}", false);
    }
}
