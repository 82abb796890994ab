//! Certificates, keys and parameters, from files and text into the TLS library's types.

use std::io;
use std::path::Path;
use std::sync::Arc;

use confmap::Secret;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, SupportedProtocolVersion, version};

use crate::config::{TlsConfig, TlsVersion};
use crate::error::TlsError;

pub(super) type CertifiedKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The cryptography, narrowed to the configured suites and groups.
pub(super) fn provider(config: &TlsConfig) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if !config.cipher_suites.is_empty() {
        // The suites of TLS 1.3 are not configurable, as upstream.
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some()
                || suite
                    .suite()
                    .as_str()
                    .is_some_and(|name| config.cipher_suites.iter().any(|wanted| wanted == name))
        });
        let none_for_12 = provider.cipher_suites.iter().all(|suite| suite.tls13().is_some());
        if none_for_12 && config.newest() < TlsVersion::Tls13 {
            return Err(TlsError::NothingLeft("cipher suites"));
        }
    }
    if !config.curve_preferences.is_empty() {
        let known = aws_lc_rs::ALL_KX_GROUPS;
        let wanted = config.curve_preferences.iter().filter_map(|name| group_name(name));
        provider.kx_groups =
            wanted.filter_map(|name| known.iter().find(|group| group.name() == name)).copied().collect();
        if provider.kx_groups.is_empty() {
            return Err(TlsError::NothingLeft("curves"));
        }
    }
    Ok(Arc::new(provider))
}

/// The TLS library's group of upstream's name; it has none for P521.
fn group_name(curve: &str) -> Option<rustls::NamedGroup> {
    Some(match curve {
        "P256" => rustls::NamedGroup::secp256r1,
        "P384" => rustls::NamedGroup::secp384r1,
        "X25519" => rustls::NamedGroup::X25519,
        "X25519MLKEM768" => rustls::NamedGroup::X25519MLKEM768,
        _ => return None,
    })
}

pub(super) fn versions(config: &TlsConfig) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match (config.oldest(), config.newest()) {
        (TlsVersion::Tls13, _) => &ONLY_13,
        (_, TlsVersion::Tls13) => &BOTH,
        _ => &ONLY_12,
    }
}

/// The own certificate chain and key; `None` if neither is configured.
pub(super) async fn certified_key(config: &TlsConfig) -> Result<Option<CertifiedKey>, TlsError> {
    if !config.has_cert() && !config.has_key() {
        return Ok(None);
    }
    let chain = text("TLS cert", &config.cert_file, &config.cert_pem).await?;
    let key = text("TLS key", &config.key_file, &config.key_pem).await?;
    let chain = certificates("TLS cert", &chain)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| pem("TLS key", error.to_string()))?;
    Ok(Some((chain, key)))
}

/// The certificates of the configured authority; `None` if there is none.
pub(super) async fn authority(config: &TlsConfig) -> Result<Option<Vec<CertificateDer<'static>>>, TlsError> {
    if !config.has_ca() {
        return Ok(None);
    }
    let text = text("CA", &config.ca_file, &config.ca_pem).await?;
    certificates("CA", &text).map(Some)
}

/// Whom to trust: the authority, the system's authorities, or both.
pub(super) async fn roots(config: &TlsConfig) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let own = authority(config).await?;
    if own.is_none() || config.include_system_ca_certs_pool {
        // A system with a broken certificate among its hundreds still has the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for certificate in own.into_iter().flatten() {
        roots.add(certificate)?;
    }
    Ok(roots)
}

pub(super) async fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source: io::Error| TlsError::Read { what, path: path.to_owned(), source };
    tokio::fs::read(path).await.map_err(failed)
}

pub(super) fn certificates(
    what: &'static str,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(what, error.to_string()))?;
    if certificates.is_empty() {
        return Err(pem(what, "no certificate found".into()));
    }
    Ok(certificates)
}

async fn text(what: &'static str, file: &Path, text: &Secret) -> Result<Vec<u8>, TlsError> {
    if text.is_empty() { read(what, file).await } else { Ok(text.expose().as_bytes().to_vec()) }
}

fn pem(what: &'static str, reason: String) -> TlsError {
    TlsError::Pem { what, reason }
}
