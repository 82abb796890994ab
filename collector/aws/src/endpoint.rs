//! Which region, and where its CloudWatch Logs is.

use aws_runtime::env_config::EnvConfigValue;
use aws_runtime::env_config::property::PropertiesKey;
use aws_runtime::env_config::section::EnvConfigSections;
use aws_types::os_shim_internal::Env;
use http::Uri;

use crate::SessionError;

/// A region's name starts like this, and its services are here, with IPv4 alone and with IPv6 too. The rest is the
/// partition `aws`. From the partitions of the AWS SDKs.
const PARTITIONS: [(&[&str], &str, &str); 7] = [
    (&["cn-", "aws-cn-"], "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    (&["eusc-"], "amazonaws.eu", "api.amazonwebservices.eu"),
    (&["us-gov-", "aws-us-gov-"], "amazonaws.com", "api.aws"),
    (&["us-isob-", "aws-iso-b-"], "sc2s.sgov.gov", "api.aws.scloud"),
    (&["us-isof-", "aws-iso-f-"], "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    (&["eu-isoe-", "aws-iso-e-"], "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    (&["us-iso-", "aws-iso-global"], "c2s.ic.gov", "api.aws.ic.gov"),
];

/// The switch that turns off all URLs of the environment and of profiles.
const IGNORE: (&str, &str) = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");

/// The settings that the AWS SDKs share, of the environment and of the active profile.
pub(crate) struct Shared<'a> {
    pub(crate) env: &'a Env,
    pub(crate) profile: Option<&'a EnvConfigSections>,
}

impl Shared<'_> {
    /// The region that is set.
    pub(crate) fn region(&self) -> Option<String> {
        let region = |variable: &str| self.env.get(variable).ok().filter(|region| !region.is_empty());
        region("AWS_REGION")
            .or_else(|| region("AWS_DEFAULT_REGION"))
            .or_else(|| self.profile?.get("region").map(str::to_owned))
            .filter(|region| !region.is_empty())
    }

    /// The base URL of CloudWatch Logs in a region. What is said of this service alone beats `configured`, which beats
    /// what is said of all services.
    ///
    /// # Errors
    /// A URL or a region that cannot be used.
    pub(crate) fn logs_url(&self, configured: &str, region: &str) -> Result<Uri, SessionError> {
        let own = self.own_url().filter(|_| !self.is_set(IGNORE));
        let of_all = || self.value(("AWS_ENDPOINT_URL", "endpoint_url")).filter(|_| !self.is_set(IGNORE));
        let configured = Some(configured).filter(|url| !url.is_empty()).map(str::to_owned);
        match own.or(configured).or_else(of_all) {
            Some(url) => parse(&url),
            None => parse(&self.regional_host(region)?),
        }
    }

    fn regional_host(&self, region: &str) -> Result<String, SessionError> {
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(SessionError::Region(region.to_owned()));
        }
        Ok(host(region, self.fips(), self.dual_stack()))
    }

    fn own_url(&self) -> Option<String> {
        let variable = self.env.get("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS").ok();
        variable.filter(|url| !url.is_empty()).or_else(|| {
            let key = PropertiesKey::builder()
                .section_key("services")
                .section_name(self.profile?.get("services")?)
                .property_name("cloudwatch_logs")
                .sub_property_name("endpoint_url")
                .build()
                .ok()?;
            self.profile?.other_sections().get(&key).cloned()
        })
    }

    /// Whether only endpoints with validated cryptography are to be used.
    pub(crate) fn fips(&self) -> bool {
        self.is_set(("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"))
    }

    /// Whether endpoints with IPv6 addresses are to be used.
    pub(crate) fn dual_stack(&self) -> bool {
        self.is_set(("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"))
    }

    fn is_set(&self, key: (&str, &str)) -> bool {
        self.value(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn value(&self, (variable, key): (&str, &str)) -> Option<String> {
        let value =
            EnvConfigValue::new().env(variable).profile(key).load(self.env, self.profile)?.0.into_owned();
        Some(value).filter(|value| !value.is_empty())
    }
}

/// The host of CloudWatch Logs in a region.
fn host(region: &str, fips: bool, dual_stack: bool) -> String {
    let (ipv4, dual) = PARTITIONS
        .iter()
        .find(|(starts, ..)| starts.iter().any(|start| region.starts_with(start)))
        .map_or(("amazonaws.com", "api.aws"), |&(_, ipv4, dual)| (ipv4, dual));
    let suffix = if dual_stack { dual } else { ipv4 };
    // The ordinary endpoints of these two are FIPS endpoints.
    let government = matches!(region, "us-gov-east-1" | "us-gov-west-1") && !dual_stack;
    let service = if fips && !government { "logs-fips" } else { "logs" };
    format!("{service}.{region}.{suffix}")
}

/// A base URL with a scheme, `https` by default.
fn parse(text: &str) -> Result<Uri, SessionError> {
    let failed = |reason: String| SessionError::Endpoint { url: text.to_owned(), reason };
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(error.to_string()))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(failed("the scheme must be http or https".into()));
    }
    if url.host().is_none_or(str::is_empty) {
        return Err(failed("it has no host".into()));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        let reason = "requests are signed, a user and password have no place there".into();
        return Err(SessionError::Endpoint { url: confmap::REDACTED.to_owned(), reason });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
    use aws_sdk_cloudwatchlogs::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
    use aws_types::os_shim_internal::Fs;

    use super::*;

    const REGIONS: [&str; 22] = [
        "us-east-1",
        "eu-central-1",
        "il-central-1",
        "mx-central-1",
        "af-south-1",
        "ca-west-1",
        "ap-southeast-7",
        "cn-north-1",
        "cn-northwest-1",
        "us-gov-east-1",
        "us-gov-west-1",
        "us-gov-new-1",
        "eusc-de-east-1",
        "us-iso-east-1",
        "us-iso-west-1",
        "us-isob-east-1",
        "us-isof-south-1",
        "eu-isoe-west-1",
        "aws-global",
        "aws-cn-global",
        "aws-iso-global",
        "unheard-of",
    ];

    #[tokio::test]
    async fn hosts_are_those_of_the_sdk() {
        for region in REGIONS {
            for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
                let params = Params::builder().region(region).use_fips(fips).use_dual_stack(dual_stack);
                let oracle = DefaultResolver::new();
                let expected = oracle.resolve_endpoint(&params.build().unwrap()).await.unwrap();
                assert_eq!(format!("https://{}", host(region, fips, dual_stack)), expected.url(), "{region}");
            }
        }
    }

    async fn sections(config: &str) -> EnvConfigSections {
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, config).build();
        aws_config::profile::load(&Fs::from_slice(&[]), &Env::from_slice(&[]), &files, None).await.unwrap()
    }

    #[tokio::test]
    async fn which_url_wins() {
        async fn check(config: &str, env: &[(&str, &str)], configured: &str, expected: &str) {
            let (env, sections) = (Env::from_slice(env), sections(config).await);
            let shared = Shared { env: &env, profile: Some(&sections) };
            let url = shared
                .logs_url(configured, "us-east-1")
                .map_or_else(|e| e.to_string(), |url| url.to_string());
            assert_eq!(url, expected, "{env:?} {config} {configured}");
        }
        let own = ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://own:1");
        let all = ("AWS_ENDPOINT_URL", "https://all:2/");
        let services = "[default]\nservices = s\nendpoint_url = http://profile:3\n[services s]\ncloudwatch_logs =\n  endpoint_url = http://services:4\n";
        let profile = "[default]\nendpoint_url = http://profile:3\n";
        check("", &[], "", "https://logs.us-east-1.amazonaws.com/").await;
        check("", &[], "bare.example", "https://bare.example/").await;
        check("", &[all], "", "https://all:2/").await;
        check("", &[all], "http://configured", "http://configured/").await;
        check("", &[all, own], "http://configured", "http://own:1/").await;
        check("", &[own, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE")], "h", "https://h/").await;
        check(services, &[all], "http://configured", "http://services:4/").await;
        check(services, &[own], "http://configured", "http://own:1/").await;
        check(profile, &[], "http://configured", "http://configured/").await;
        check(profile, &[], "", "http://profile:3/").await;
        check(profile, &[all], "", "https://all:2/").await;
        check("", &[("AWS_USE_FIPS_ENDPOINT", "true")], "", "https://logs-fips.us-east-1.amazonaws.com/")
            .await;
        check("[default]\nuse_dualstack_endpoint = true\n", &[], "", "https://logs.us-east-1.api.aws/").await;
        check(
            "",
            &[],
            "ftp://h",
            "the endpoint \"ftp://h\" of CloudWatch Logs cannot be used: the scheme must be http or https",
        )
        .await;
        check("", &[], "http://", "the endpoint \"http://\" of CloudWatch Logs cannot be used: empty string")
            .await;
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = parse("https://user:pa55@h").unwrap_err().to_string();
        assert!(error.contains("have no place") && !error.contains("pa55"), "{error}");
    }

    #[tokio::test]
    async fn which_region_wins() {
        async fn check(config: &str, env: &[(&str, &str)], expected: Option<&str>) {
            let (env, sections) = (Env::from_slice(env), sections(config).await);
            let shared = Shared { env: &env, profile: Some(&sections) };
            assert_eq!(shared.region().as_deref(), expected, "{env:?}");
        }
        let profile = "[default]\nregion = profile\n";
        check("", &[], None).await;
        check(profile, &[], Some("profile")).await;
        check(profile, &[("AWS_DEFAULT_REGION", "default")], Some("default")).await;
        check(profile, &[("AWS_DEFAULT_REGION", "default"), ("AWS_REGION", "region")], Some("region")).await;
        check(profile, &[("AWS_REGION", "")], Some("profile")).await;
    }

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        let env = Env::from_slice(&[]);
        let shared = Shared { env: &env, profile: None };
        for region in ["", "evil.example/", "a b", "x@y"] {
            assert!(matches!(shared.logs_url("", region), Err(SessionError::Region(_))), "{region}");
        }
    }
}
