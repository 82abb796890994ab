//! How AWS is reached: region, credentials, HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
#[allow(deprecated, reason = "the successor is in a crate of the SDK's own machinery")]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use confmap::Problems;
use serde::Deserialize;

use crate::imds;

/// The attempts of a request where `max_retries` is 0, as the SDKs have it.
const SDK_ATTEMPTS: u32 = 3;
/// How long the credentials of an assumed role are good for.
const ROLE_SESSION: Duration = Duration::from_secs(15 * 60);

/// The keys that AWS exporters have at their top level.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SessionConfig {
    /// How many requests are on their way at the same time, and how many idle connections are kept.
    pub num_workers: i64,
    /// The base URL of the service; empty for that of the region.
    pub endpoint: String,
    /// The longest that a request takes, in seconds.
    pub request_timeout_seconds: i64,
    /// How often a request is attempted; 0 for three times.
    pub max_retries: i64,
    /// Whether the server's certificate goes unchecked. Not supported.
    pub no_verify_ssl: bool,
    /// The proxy of requests to the service; empty for that of the environment.
    pub proxy_address: String,
    /// The region; empty to look for it.
    pub region: String,
    /// Whether instance metadata are not asked for the region.
    pub local_mode: bool,
    /// No effect.
    pub resource_arn: String,
    /// The role to assume.
    pub role_arn: String,
    /// What the role asks for as proof of who assumes it.
    pub external_id: String,
    /// The profile of the shared configuration files; empty for the active one.
    pub profile: String,
    /// Credential files instead of the usual one.
    pub shared_credentials_file: Vec<String>,
    /// A file of certificates to trust besides the system's.
    pub certificate_file_path: String,
    /// How often instance metadata are asked again.
    pub imds_retries: i64,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The region is found nowhere.
    #[error(
        "no AWS region found in the configuration, AWS_REGION, AWS_DEFAULT_REGION, the shared configuration file or \
         instance metadata; set `region` or the environment variable AWS_REGION"
    )]
    NoRegion,
    /// `proxy_address` is not a URL.
    #[error("proxy_address {address:?} cannot be used")]
    Proxy {
        /// As configured.
        address: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file of certificates cannot be read.
    #[error("certificate_file_path {path:?} cannot be read")]
    CertificateFile {
        /// As configured.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A loaded session.
#[derive(Debug, Clone)]
pub struct Session {
    /// For SDK clients. Without `endpoint`, which belongs to one service.
    pub sdk: SdkConfig,
    /// The base URL of the service, with its scheme, where one is configured.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            num_workers: 8,
            endpoint: String::new(),
            request_timeout_seconds: 30,
            max_retries: 2,
            no_verify_ssl: false,
            proxy_address: String::new(),
            region: String::new(),
            local_mode: false,
            resource_arn: String::new(),
            role_arn: String::new(),
            external_id: String::new(),
            profile: String::new(),
            shared_credentials_file: Vec::new(),
            certificate_file_path: String::new(),
            imds_retries: 0,
        }
    }
}

impl SessionConfig {
    /// Reports what is wrong; the caller is at the path of the component.
    pub fn validate(&self, problems: &mut Problems) {
        if self.no_verify_ssl {
            problems.at("no_verify_ssl", |problems| {
                problems.report_with_help(
                    "TLS without certificate checks is not supported",
                    "trust the server's certificate with `certificate_file_path`",
                );
            });
        }
        if self.request_timeout_seconds < 0 {
            problems.at("request_timeout_seconds", |problems| problems.report("must not be negative"));
        }
        if self.num_workers < 0 {
            problems.at("num_workers", |problems| problems.report("must not be negative"));
        }
        if !self.proxy_address.is_empty()
            && let Err(error) = ProxyConfig::all(self.proxy_address.as_str())
        {
            problems.at("proxy_address", |problems| problems.report(error.to_string()));
        }
    }

    /// `endpoint` with a scheme; `None` if it is empty.
    pub fn endpoint_url(&self) -> Option<String> {
        match self.endpoint.as_str() {
            "" => None,
            url if url.contains("://") => Some(url.to_owned()),
            host => Some(format!("https://{host}")),
        }
    }

    /// How many requests may be on their way at the same time.
    pub fn concurrency(&self) -> usize {
        usize::try_from(self.num_workers).unwrap_or(1).max(1)
    }

    /// The limit of one request; `None` for none.
    pub fn request_timeout(&self) -> Option<Duration> {
        u64::try_from(self.request_timeout_seconds).ok().filter(|&secs| secs > 0).map(Duration::from_secs)
    }

    /// How often the SDK attempts a request, the first time included.
    pub fn attempts(&self) -> u32 {
        match self.max_retries {
            0 => SDK_ATTEMPTS,
            retries => u32::try_from(retries).unwrap_or(u32::MAX),
        }
    }

    /// Finds region and credentials. Credentials are fetched with the first request.
    ///
    /// # Errors
    /// No region; a proxy or certificate file that cannot be used.
    pub async fn load(&self) -> Result<Session, SessionError> {
        let region = self.find_region().await.ok_or(SessionError::NoRegion)?;
        let loader = self.loader(&region)?;
        let sdk = loader.load().await;
        let sdk = match self.role_arn.as_str() {
            "" => sdk,
            role => {
                let provider = self.assume_role(role, &region, &sdk).await;
                sdk.to_builder()
                    .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                        provider,
                    ))
                    .build()
            }
        };
        Ok(Session { sdk, endpoint: self.endpoint_url(), region: region.to_string() })
    }

    fn loader(&self, region: &Region) -> Result<ConfigLoader, SessionError> {
        let mut timeouts = TimeoutConfig::builder();
        if let Some(timeout) = self.request_timeout() {
            timeouts = timeouts.operation_attempt_timeout(timeout).connect_timeout(timeout);
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(self.http_client()?)
            .retry_config(RetryConfig::standard().with_max_attempts(self.attempts()))
            .timeout_config(timeouts.build());
        if !self.profile.is_empty() {
            loader = loader.profile_name(self.profile.as_str());
        }
        if let Some(files) = self.profile_files() {
            loader = loader.profile_files(files);
        }
        Ok(loader)
    }

    #[allow(deprecated, reason = "see the import")]
    fn profile_files(&self) -> Option<ProfileFiles> {
        let mut files = ProfileFiles::builder().include_default_config_file(true);
        for path in &self.shared_credentials_file {
            files = files.with_file(ProfileFileKind::Credentials, path);
        }
        (!self.shared_credentials_file.is_empty()).then(|| files.build())
    }

    /// A provider that assumes a role. Its own requests go to the region's STS, never to `endpoint`.
    async fn assume_role(&self, role: &str, region: &Region, sdk: &SdkConfig) -> AssumeRoleProvider {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut provider = AssumeRoleProvider::builder(role)
            .configure(sdk)
            .region(region.clone())
            .session_name(format!("otelcol-insights-{nanos}"))
            .session_length(ROLE_SESSION);
        if !self.external_id.is_empty() {
            provider = provider.external_id(self.external_id.as_str());
        }
        provider.build().await
    }

    async fn find_region(&self) -> Option<Region> {
        if !self.region.is_empty() {
            return Some(Region::new(self.region.clone()));
        }
        if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
            return Some(region);
        }
        let mut profile = ProfileFileRegionProvider::builder();
        if !self.profile.is_empty() {
            profile = profile.profile_name(self.profile.as_str());
        }
        if let Some(region) = profile.build().region().await {
            return Some(region);
        }
        if self.local_mode {
            return None;
        }
        imds::region(u32::try_from(self.imds_retries).unwrap_or(0)).await.map(Region::new)
    }

    fn http_client(&self) -> Result<SharedHttpClient, SessionError> {
        let proxy = match self.proxy_address.as_str() {
            "" => ProxyConfig::from_env(),
            address => ProxyConfig::all(address).map_err(|source| SessionError::Proxy {
                address: address.to_owned(),
                source: source.into(),
            })?,
        };
        let mut trusted = TrustStore::default();
        if !self.certificate_file_path.is_empty() {
            let path = &self.certificate_file_path;
            let pem = std::fs::read(path)
                .map_err(|source| SessionError::CertificateFile { path: path.clone(), source })?;
            trusted = trusted.with_pem_certificate(pem);
        }
        let tls = TlsContext::builder()
            .with_trust_store(trusted)
            .build()
            .map_err(|source| SessionError::Tls(source.into()))?;
        let idle = self.concurrency();
        Ok(Builder::new().build_with_connector_fn(move |settings, _| {
            let mut connector = Connector::builder().pool_max_idle_per_host(idle).proxy_config(proxy.clone());
            if let Some(settings) = settings {
                connector = connector.connector_settings(settings.clone());
            }
            connector
                .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
                .tls_context(tls.clone())
                .build()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(config: impl FnOnce(&mut SessionConfig)) -> SessionConfig {
        let mut session = SessionConfig::default();
        config(&mut session);
        session
    }

    #[test]
    fn an_endpoint_gets_a_scheme() {
        let check = |endpoint: &str, expected: Option<&str>| {
            let session = with(|session| session.endpoint = endpoint.into());
            assert_eq!(session.endpoint_url().as_deref(), expected);
        };
        check("", None);
        check("logs.example.com", Some("https://logs.example.com"));
        check("http://127.0.0.1:4566", Some("http://127.0.0.1:4566"));
    }

    #[test]
    fn attempts() {
        let check = |max_retries: i64, expected: u32| {
            assert_eq!(with(|session| session.max_retries = max_retries).attempts(), expected);
        };
        check(2, 2);
        check(1, 1);
        check(0, 3);
        check(-1, u32::MAX);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let check = |session: SessionConfig, expected: &str| {
            let mut problems = Problems::default();
            session.validate(&mut problems);
            assert!(problems.to_string().starts_with(expected), "{problems}");
        };
        check(SessionConfig::default(), "");
        check(with(|session| session.no_verify_ssl = true), "no_verify_ssl: TLS without certificate checks");
        check(with(|session| session.proxy_address = "::".into()), "proxy_address: ");
        check(with(|session| session.num_workers = -1), "num_workers: must not");
    }

    #[tokio::test]
    async fn the_configured_region_needs_no_look_up() {
        let session = with(|session| {
            session.region = "eu-north-1".into();
            session.endpoint = "localhost".into();
        })
        .load()
        .await
        .unwrap();
        assert_eq!(session.region, "eu-north-1");
        assert_eq!(session.endpoint.as_deref(), Some("https://localhost"));
        assert_eq!(session.sdk.endpoint_url(), None);
    }
}
