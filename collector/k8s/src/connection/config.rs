//! Where an API server is and who asks it.

use std::fs::File;
use std::path::{Path, PathBuf};

use confmap::Secret;
use http::Uri;
use net::TlsClientConfig;

use super::exec::ExecConfig;
use crate::Error;

/// Where the service account's files are mounted.
pub(crate) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
const SERVICE_PORT: &str = "KUBERNETES_SERVICE_PORT";

/// How an API server is reached.
///
/// Proxies of the environment are not asked: they are for the telemetry.
#[derive(Debug, Clone)]
pub struct ApiServerConfig {
    /// The server: `https://10.100.0.1:443`. A path stands before those of all requests.
    pub url: Uri,
    /// Whom to trust, what to show, and the name that the server's certificate must have.
    pub tls: TlsClientConfig,
    /// Who asks, beside the certificate of [`tls`](Self::tls).
    pub credentials: Credentials,
    /// The URL of an HTTP proxy; none if empty.
    pub proxy_url: Secret,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody, or whom the certificate names.
    #[default]
    None,
    /// The bearer of a token.
    Token(Secret),
    /// The bearer of the token in a file. It is read anew every minute, since tokens of service accounts are replaced
    /// within the hour, and at once if the server does not accept it.
    TokenFile(PathBuf),
    /// A user with a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Whom a command names: [`ExecConfig`].
    Exec(Box<ExecConfig>),
}

impl ApiServerConfig {
    /// The server at `url`, asked by nobody; the system's certificates are trusted.
    #[must_use]
    pub fn new(url: Uri) -> Self {
        Self {
            url,
            tls: TlsClientConfig::default(),
            credentials: Credentials::None,
            proxy_url: Secret::default(),
        }
    }

    /// The API server of the cluster whose pod this is, asked with the pod's service account.
    ///
    /// # Errors
    /// [`Error::InCluster`].
    pub fn in_cluster() -> Result<Self, Error> {
        Self::in_cluster_with(|name| std::env::var(name).ok(), Path::new(SERVICE_ACCOUNT))
    }

    fn in_cluster_with(variable: impl Fn(&str) -> Option<String>, account: &Path) -> Result<Self, Error> {
        let get = |name| variable(name).filter(|value| !value.is_empty());
        let Some((host, port)) = get(SERVICE_HOST).zip(get(SERVICE_PORT)) else {
            return Err(Error::InCluster(format!("{SERVICE_HOST} and {SERVICE_PORT} must be defined")));
        };
        let url = service_url(&host, &port)
            .map_err(|reason| Error::InCluster(format!("{SERVICE_HOST} and {SERVICE_PORT}: {reason}")))?;
        let (token, roots) = (account.join("token"), account.join("ca.crt"));
        for path in [&token, &roots] {
            openable(path).map_err(Error::InCluster)?;
        }
        let mut config = Self::new(url);
        config.credentials = Credentials::TokenFile(token);
        config.trust_file(roots);
        Ok(config)
    }

    /// The API server that the environment names, asked by nobody and whoever it is: its certificate is not looked at.
    ///
    /// # Errors
    /// [`Error::InCluster`].
    pub fn anonymous() -> Result<Self, Error> {
        let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some((host, port)) = get(SERVICE_HOST).zip(get(SERVICE_PORT)) else {
            return Err(Error::InCluster(format!("{SERVICE_HOST} and {SERVICE_PORT} must be defined")));
        };
        let url = service_url(&host, &port)
            .map_err(|reason| Error::InCluster(format!("{SERVICE_HOST} and {SERVICE_PORT}: {reason}")))?;
        let mut config = Self::new(url);
        config.tls.insecure_skip_verify = true;
        Ok(config)
    }

    /// Trusts only what the certificates in a file signed. The file is read again, if it is a minute old, when a connection
    /// is made.
    pub(crate) fn trust_file(&mut self, path: PathBuf) {
        self.tls.common.ca_file = path;
        self.tls.common.reload_interval = super::credentials::TOKEN_AGE.into();
    }

    /// Who is trusted, in words.
    pub(super) fn roots(&self) -> String {
        let own = &self.tls.common;
        if !own.ca_file.as_os_str().is_empty() {
            own.ca_file.display().to_string()
        } else if !own.ca_pem.is_empty() {
            "the configured certificate authority".to_owned()
        } else {
            "the system's certificate authorities".to_owned()
        }
    }

    /// Finds out at once what would fail with every request.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !matches!(self.url.scheme_str(), Some("http" | "https")) || self.url.host().is_none() {
            return Err(Error::Client(format!("{:?} is no http or https URL", self.url.to_string())));
        }
        let mut problems = confmap::Problems::default();
        self.tls.validate(&mut problems);
        if !problems.is_empty() {
            return Err(Error::Client(problems.to_string()));
        }
        if !self.proxy_url.is_empty() {
            net::check_proxy_url(&self.proxy_url)
                .map_err(|reason| Error::Client(format!("the proxy's URL {reason}")))?;
        }
        let own = &self.tls.common;
        let token = match &self.credentials {
            Credentials::TokenFile(path) => path,
            _ => Path::new(""),
        };
        for path in [token, &own.ca_file, &own.cert_file, &own.key_file] {
            if !path.as_os_str().is_empty() {
                openable(path).map_err(Error::Client)?;
            }
        }
        Ok(())
    }
}

fn service_url(host: &str, port: &str) -> Result<Uri, String> {
    let host =
        if host.contains(':') { format!("[{}]", host.trim_matches(['[', ']'])) } else { host.to_owned() };
    let text = format!("https://{host}:{port}");
    text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))
}

/// Whether a file is there and may be read.
fn openable(path: &Path) -> Result<(), String> {
    File::open(path).map(drop).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_pod() {
        fn check(host: &str, port: &str, expected: Result<&str, &str>) {
            let account = tempfile::tempdir().unwrap();
            for name in ["token", "ca.crt"] {
                std::fs::write(account.path().join(name), "x").unwrap();
            }
            let variable = |name: &str| match name {
                SERVICE_HOST => Some(host.to_owned()),
                SERVICE_PORT => Some(port.to_owned()),
                _ => None,
            };
            let found = ApiServerConfig::in_cluster_with(variable, account.path());
            match (found, expected) {
                (Ok(found), Ok(url)) => {
                    assert_eq!(found.url.to_string(), url);
                    assert_eq!(found.tls.common.ca_file, account.path().join("ca.crt"));
                    assert!(matches!(found.credentials, Credentials::TokenFile(_)));
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
        check("10.100.0.1", "443", Ok("https://10.100.0.1:443/"));
        check("fd00::1", "6443", Ok("https://[fd00::1]:6443/"));
        check("[fd00::1]", "6443", Ok("https://[fd00::1]:6443/"));
        check("kubernetes.default.svc", "443", Ok("https://kubernetes.default.svc:443/"));
        check("", "443", Err("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"));
        check("10.100.0.1", "", Err("must be defined"));
        check("a b", "443", Err("\"https://a b:443\" is no URL"));
    }

    #[test]
    fn a_pod_without_a_service_account_is_told_which_file_is_missing() {
        let variable = |_: &str| Some("443".to_owned());
        let error = ApiServerConfig::in_cluster_with(variable, Path::new("/does/not/exist")).unwrap_err();
        let expected = "no access to the API server from this pod: cannot read /does/not/exist/token: ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = ApiServerConfig::new("https://a".parse().unwrap());
        config.proxy_url = Secret::new("http://u:hidden@proxy");
        for credentials in [
            Credentials::Token(Secret::new("hidden")),
            Credentials::Basic { username: "u".into(), password: Secret::new("hidden") },
        ] {
            config.credentials = credentials;
            assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
        }
    }
}
