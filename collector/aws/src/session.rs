//! How AWS is reached: region, credentials, HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::EnvConfigSections;
use aws_types::os_shim_internal::{Env, Fs};
use confmap::{Problems, Secret};
use http::Uri;
use net::{HttpClientConfig, TlsClientConfig, TlsConfig};
use serde::Deserialize;

use crate::credentials::CredentialsCache;
use crate::endpoint::{EC2, EndpointError, LOGS, Shared};
use crate::http::Requests;
use crate::{ecs, imds::Imds};

/// How long the credentials of an assumed role are good for.
const ROLE_SESSION: Duration = Duration::from_secs(15 * 60);
/// The variable with a file of certificates that the AWS SDKs share.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

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
    /// Whether the service's certificate goes unchecked.
    pub no_verify_ssl: bool,
    /// The proxy of requests to the service; empty for that of the environment. It may hold a password.
    pub proxy_address: Secret,
    /// The region; empty to look for it.
    pub region: String,
    /// Whether metadata are not asked for the region.
    pub local_mode: bool,
    /// No effect.
    pub resource_arn: String,
    /// The role to assume.
    pub role_arn: String,
    /// What the role asks for as proof of who assumes it.
    pub external_id: String,
    /// The profile of the shared configuration files, which then comes first; empty for the active one.
    pub profile: String,
    /// Credential files instead of the usual one.
    pub shared_credentials_file: Vec<String>,
    /// A file of certificates to trust besides the system's.
    pub certificate_file_path: String,
    /// How often instance metadata are asked again.
    pub imds_retries: i64,
    /// Keys to sign with in place of all that is looked for. Only components whose configuration has them set them.
    #[serde(skip)]
    pub keys: StaticKeys,
}

/// Keys that stand in a configuration. What is empty is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticKeys {
    /// The access key's id.
    pub access_key: Secret,
    /// The secret access key.
    pub secret_key: Secret,
    /// The token of temporary keys.
    pub token: Secret,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The region is found nowhere.
    #[error(
        "no AWS region found in the configuration, AWS_REGION, AWS_DEFAULT_REGION, the shared configuration file, task \
         metadata or instance metadata; set `region` or the environment variable AWS_REGION"
    )]
    NoRegion,
    /// A service cannot be reached as configured.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A file of certificates cannot be read.
    #[error("{key} {path:?} cannot be read")]
    CertificateFile {
        /// `certificate_file_path`, or the variable.
        key: &'static str,
        /// As set.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The shared configuration or credentials files cannot be read or understood.
    #[error("the shared configuration files of AWS cannot be used")]
    Profile(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] net::Error),
}

/// A loaded session. Clones share credentials.
#[derive(Clone)]
pub struct Session {
    /// The region.
    pub region: String,
    /// The base URL of CloudWatch Logs. Only who uses a service is told that its URL is wrong.
    pub(crate) logs_url: Result<Uri, EndpointError>,
    /// The base URL of EC2.
    pub(crate) ec2_url: Result<Uri, EndpointError>,
    /// How often a request to EC2 is attempted.
    pub(crate) attempts: u32,
    pub(crate) credentials: Arc<CredentialsCache>,
    /// For requests to the service.
    pub(crate) http: HttpClientConfig,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            num_workers: 8,
            endpoint: String::new(),
            request_timeout_seconds: 30,
            max_retries: 2,
            no_verify_ssl: false,
            proxy_address: Secret::default(),
            region: String::new(),
            local_mode: false,
            resource_arn: String::new(),
            role_arn: String::new(),
            external_id: String::new(),
            profile: String::new(),
            shared_credentials_file: Vec::new(),
            certificate_file_path: String::new(),
            imds_retries: 0,
            keys: StaticKeys::default(),
        }
    }
}

impl StaticKeys {
    /// Reports what is missing; the caller is where the keys `access_key`, `secret_key` and `token` are.
    pub fn validate(&self, problems: &mut Problems) {
        let all =
            [("access_key", &self.access_key), ("secret_key", &self.secret_key), ("token", &self.token)];
        let Some((given, _)) = all.iter().rfind(|(_, secret)| !secret.is_empty()) else { return };
        // A token is for temporary keys only.
        for (key, _) in all.iter().filter(|(key, secret)| *key != "token" && secret.is_empty()) {
            problems.at(key, |problems| {
                problems.report_with_help(
                    format!("must be set together with {given}"),
                    "set both access_key and secret_key, or none of them to use the role of the environment",
                );
            });
        }
    }

    fn credentials(&self) -> Option<Credentials> {
        let Self { access_key, secret_key, token } = self;
        let is_set = !(access_key.is_empty() && secret_key.is_empty());
        let token = Some(token.expose().to_owned()).filter(|token| !token.is_empty());
        is_set
            .then(|| Credentials::new(access_key.expose(), secret_key.expose(), token, None, "Configuration"))
    }
}

impl SessionConfig {
    /// Reports what is wrong; the caller is at the path of the component.
    pub fn validate(&self, problems: &mut Problems) {
        if self.request_timeout_seconds < 0 {
            problems.at("request_timeout_seconds", |problems| problems.report("must not be negative"));
        }
        if self.num_workers < 0 {
            problems.at("num_workers", |problems| problems.report("must not be negative"));
        }
        if !self.proxy_address.is_empty()
            && let Err(reason) = net::check_proxy_url(&self.proxy_address)
        {
            problems.at("proxy_address", |problems| problems.report(reason));
        }
    }

    /// How many requests may be on their way at the same time.
    pub fn concurrency(&self) -> usize {
        usize::try_from(self.num_workers).unwrap_or(1).max(1)
    }

    /// How often a request is attempted.
    fn attempts(&self) -> u32 {
        u32::try_from(self.max_retries).ok().filter(|attempts| *attempts > 0).unwrap_or(3)
    }

    /// Finds region and services. Credentials are fetched with the first request.
    ///
    /// # Errors
    /// No region; a certificate or profile file that cannot be used.
    pub async fn load(&self) -> Result<Session, SessionError> {
        let (env, fs) = (Env::real(), Fs::real());
        let files = self.files();
        let profile = self.read_profile(&env, &fs, &files).await?;
        let shared = Shared { env: &env, profile: profile.as_ref() };
        let trusted = HttpClientConfig { tls: self.trust(&env).await?, ..HttpClientConfig::default() };
        let requests = Requests::new(trusted.clone())?;
        let region = self.find_region(&shared, &requests).await.ok_or(SessionError::NoRegion)?;
        let [logs_url, ec2_url] = [LOGS, EC2].map(|service| shared.url(&service, &self.endpoint, &region));
        let provider = self.credentials(&region, &shared, &requests, files).await;
        Ok(Session {
            region,
            logs_url,
            ec2_url,
            attempts: self.attempts(),
            credentials: CredentialsCache::new(provider),
            http: self.http(trusted),
        })
    }

    fn files(&self) -> EnvConfigFiles {
        let mut files = EnvConfigFiles::builder().include_default_config_file(true);
        for path in &self.shared_credentials_file {
            files = files.with_file(EnvConfigFileKind::Credentials, path);
        }
        files.include_default_credentials_file(self.shared_credentials_file.is_empty()).build()
    }

    /// The active profile. Files that cannot be read matter only to those who name one.
    async fn read_profile(
        &self,
        env: &Env,
        fs: &Fs,
        files: &EnvConfigFiles,
    ) -> Result<Option<EnvConfigSections>, SessionError> {
        let name = (!self.profile.is_empty()).then(|| self.profile.clone().into());
        match aws_config::profile::load(fs, env, files, name).await {
            Ok(sections) => Ok(Some(sections)),
            Err(error) if self.profile.is_empty() && self.shared_credentials_file.is_empty() => {
                tracing::warn!(
                    error = component::causes(&error),
                    "the shared configuration files of AWS cannot be used"
                );
                Ok(None)
            }
            Err(error) => Err(SessionError::Profile(error.into())),
        }
    }

    /// Whom to trust: the system's authorities and those of the files that are named.
    async fn trust(&self, env: &Env) -> Result<TlsClientConfig, SessionError> {
        let bundle = env.get(CA_BUNDLE).unwrap_or_default();
        let mut pem = String::new();
        for (key, path) in [("certificate_file_path", &self.certificate_file_path), (CA_BUNDLE, &bundle)] {
            if !path.is_empty() {
                let failed = |source| SessionError::CertificateFile { key, path: path.clone(), source };
                pem.push_str(&tokio::fs::read_to_string(path).await.map_err(failed)?);
                pem.push('\n');
            }
        }
        let common = TlsConfig {
            ca_pem: Secret::new(pem),
            include_system_ca_certs_pool: true,
            ..TlsConfig::default()
        };
        Ok(TlsClientConfig { common, ..TlsClientConfig::default() })
    }

    /// What requests to the service are sent with.
    fn http(&self, trusted: HttpClientConfig) -> HttpClientConfig {
        HttpClientConfig {
            proxy_url: self.proxy_address.expose().to_owned(),
            tls: TlsClientConfig { insecure_skip_verify: self.no_verify_ssl, ..trusted.tls },
            timeout: Duration::from_secs(self.request_timeout_seconds.try_into().unwrap_or(0)).into(),
            compression: net::Compression::default(),
            max_idle_conns_per_host: self.num_workers.max(1),
            ..trusted
        }
    }

    async fn find_region(&self, shared: &Shared<'_>, requests: &Requests) -> Option<String> {
        if !self.region.is_empty() {
            return Some(self.region.clone());
        }
        if let Some(region) = shared.region() {
            return Some(region);
        }
        if self.local_mode {
            return None;
        }
        match ecs::task_region(shared.env.get(ecs::METADATA_V4).ok()).await {
            Some(region) => Some(region),
            None => Imds::with(requests, u32::try_from(self.imds_retries).unwrap_or(0)).region().await,
        }
    }

    /// Keys of the configuration or else the chain of those who may know some, and the role on top.
    async fn credentials(
        &self,
        region: &str,
        shared: &Shared<'_>,
        requests: &Requests,
        files: EnvConfigFiles,
    ) -> SharedCredentialsProvider {
        let base = match self.keys.credentials() {
            Some(keys) => SharedCredentialsProvider::new(keys),
            None => self.chain(region, shared, requests, files.clone()),
        };
        match self.role_arn.as_str() {
            "" => base,
            role => SharedCredentialsProvider::new(self.assume(role, region, requests, files, base).await),
        }
    }

    /// Upstream's order: environment, web identity, profile, container, instance; a profile that is named comes first.
    fn chain(
        &self,
        region: &str,
        shared: &Shared<'_>,
        requests: &Requests,
        files: EnvConfigFiles,
    ) -> SharedCredentialsProvider {
        let config = ProviderConfig::without_region()
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_http_client(requests.shared())
            .with_region(Some(Region::new(region.to_owned())))
            .with_use_fips(Some(shared.fips()))
            .with_use_dual_stack(Some(shared.dual_stack()));
        let environment = EnvironmentVariableCredentialsProvider::new();
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
        let mut profile = ProfileFileCredentialsProvider::builder().configure(&config).profile_files(files);
        if !self.profile.is_empty() {
            profile = profile.profile_name(self.profile.as_str());
        }
        let profile = profile.build();
        let chain = if self.profile.is_empty() {
            CredentialsProviderChain::first_try("Environment", environment)
                .or_else("WebIdentityToken", web_identity)
                .or_else("Profile", profile)
        } else {
            CredentialsProviderChain::first_try("Profile", profile)
                .or_else("Environment", environment)
                .or_else("WebIdentityToken", web_identity)
        };
        let chain = chain
            .or_else("EcsContainer", EcsCredentialsProvider::builder().configure(&config).build())
            .or_else("Ec2InstanceMetadata", ImdsCredentialsProvider::builder().configure(&config).build());
        SharedCredentialsProvider::new(chain)
    }

    /// A provider that assumes a role with the region's STS, never through `endpoint`, `proxy_address` or with
    /// `no_verify_ssl`.
    async fn assume(
        &self,
        role: &str,
        region: &str,
        requests: &Requests,
        files: EnvConfigFiles,
        base: SharedCredentialsProvider,
    ) -> AssumeRoleProvider {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(requests.shared())
            .profile_files(files)
            .credentials_provider(base);
        if !self.profile.is_empty() {
            loader = loader.profile_name(self.profile.as_str());
        }
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut provider = AssumeRoleProvider::builder(role)
            .configure(&loader.load().await)
            .session_name(format!("otelcol-insights-{nanos}"))
            .session_length(ROLE_SESSION);
        if !self.external_id.is_empty() {
            provider = provider.external_id(self.external_id.as_str());
        }
        provider.build().await
    }
}

impl fmt::Debug for Session {
    /// Nothing that could hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("region", &self.region).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
