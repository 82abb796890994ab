//! Which region, and where its services are.

use aws_runtime::env_config::EnvConfigValue;
use aws_runtime::env_config::property::PropertiesKey;
use aws_runtime::env_config::section::EnvConfigSections;
use aws_types::os_shim_internal::Env;
use http::Uri;

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

/// A service, and by which names its URL is set.
#[derive(Debug)]
pub(crate) struct Service {
    /// For messages.
    name: &'static str,
    /// The environment variable with its URL.
    variable: &'static str,
    /// Its sub-section of a profile's `services`.
    section: &'static str,
    /// The beginning of its host.
    host: &'static str,
    /// Whether a region's ordinary endpoint, without IPv6, is a FIPS endpoint.
    is_fips: fn(&str) -> bool,
}

/// CloudWatch Logs.
pub(crate) const LOGS: Service = Service {
    name: "CloudWatch Logs",
    variable: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    section: "cloudwatch_logs",
    host: "logs",
    is_fips: |region| matches!(region, "us-gov-east-1" | "us-gov-west-1"),
};

/// EC2.
pub(crate) const EC2: Service = Service {
    name: "EC2",
    variable: "AWS_ENDPOINT_URL_EC2",
    section: "ec2",
    host: "ec2",
    is_fips: |region| region.starts_with("us-gov-") || region.starts_with("aws-us-gov-"),
};

/// Why a service cannot be reached as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No region is called like this.
    #[error("{0:?} is not the name of an AWS region: only letters, digits and - occur there")]
    Region(String),
    /// The URL of the service cannot be used.
    #[error("the endpoint {url:?} of {service} cannot be used: {reason}")]
    Url {
        /// Whose it is.
        service: &'static str,
        /// As set.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

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

    /// The base URL of a service in a region. What is said of this service alone beats `configured`, which beats what is
    /// said of all services.
    ///
    /// # Errors
    /// A URL or a region that cannot be used.
    pub(crate) fn url(
        &self,
        service: &Service,
        configured: &str,
        region: &str,
    ) -> Result<Uri, EndpointError> {
        let own = self.own_url(service).filter(|_| !self.is_set(IGNORE));
        let of_all = || self.value(("AWS_ENDPOINT_URL", "endpoint_url")).filter(|_| !self.is_set(IGNORE));
        let configured = Some(configured).filter(|url| !url.is_empty()).map(str::to_owned);
        match own.or(configured).or_else(of_all) {
            Some(url) => parse(service, &url),
            None => parse(service, &self.regional_host(service, region)?),
        }
    }

    fn regional_host(&self, service: &Service, region: &str) -> Result<String, EndpointError> {
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(EndpointError::Region(region.to_owned()));
        }
        Ok(host(service, region, self.fips(), self.dual_stack()))
    }

    fn own_url(&self, service: &Service) -> Option<String> {
        let variable = self.env.get(service.variable).ok();
        variable.filter(|url| !url.is_empty()).or_else(|| {
            let key = PropertiesKey::builder()
                .section_key("services")
                .section_name(self.profile?.get("services")?)
                .property_name(service.section)
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

/// The host of a service in a region.
fn host(service: &Service, region: &str, fips: bool, dual_stack: bool) -> String {
    let (ipv4, dual) = PARTITIONS
        .iter()
        .find(|(starts, ..)| starts.iter().any(|start| region.starts_with(start)))
        .map_or(("amazonaws.com", "api.aws"), |&(_, ipv4, dual)| (ipv4, dual));
    let suffix = if dual_stack { dual } else { ipv4 };
    let special = fips && (dual_stack || !(service.is_fips)(region));
    format!("{}{}.{region}.{suffix}", service.host, if special { "-fips" } else { "" })
}

/// A base URL with a scheme, `https` by default.
fn parse(service: &Service, text: &str) -> Result<Uri, EndpointError> {
    let failed = |reason: String| EndpointError::Url { service: service.name, url: text.to_owned(), reason };
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
        return Err(EndpointError::Url { service: service.name, url: confmap::REDACTED.to_owned(), reason });
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
                assert_eq!(
                    format!("https://{}", host(&LOGS, region, fips, dual_stack)),
                    expected.url(),
                    "{region}"
                );
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
                .url(&LOGS, configured, "us-east-1")
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

    /// The rules of EC2's published endpoint rule set.
    #[test]
    fn hosts_of_ec2() {
        fn check(region: &str, [plain, fips, dual, both]: [&str; 4]) {
            let found = [(false, false), (true, false), (false, true), (true, true)]
                .map(|(fips, dual_stack)| host(&EC2, region, fips, dual_stack));
            assert_eq!(found, [plain, fips, dual, both], "{region}");
        }
        check(
            "us-east-1",
            [
                "ec2.us-east-1.amazonaws.com",
                "ec2-fips.us-east-1.amazonaws.com",
                "ec2.us-east-1.api.aws",
                "ec2-fips.us-east-1.api.aws",
            ],
        );
        check(
            "us-gov-west-1",
            [
                "ec2.us-gov-west-1.amazonaws.com",
                "ec2.us-gov-west-1.amazonaws.com",
                "ec2.us-gov-west-1.api.aws",
                "ec2-fips.us-gov-west-1.api.aws",
            ],
        );
        check(
            "cn-north-1",
            [
                "ec2.cn-north-1.amazonaws.com.cn",
                "ec2-fips.cn-north-1.amazonaws.com.cn",
                "ec2.cn-north-1.api.amazonwebservices.com.cn",
                "ec2-fips.cn-north-1.api.amazonwebservices.com.cn",
            ],
        );
    }

    #[tokio::test]
    async fn each_service_has_a_url_of_its_own() {
        let env = Env::from_slice(&[
            ("AWS_ENDPOINT_URL_EC2", "http://ec2:1"),
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://logs:2"),
        ]);
        let shared = Shared { env: &env, profile: None };
        assert_eq!(shared.url(&EC2, "", "r").unwrap().to_string(), "http://ec2:1/");
        assert_eq!(shared.url(&LOGS, "", "r").unwrap().to_string(), "http://logs:2/");
        let sections =
            sections("[default]\nservices = s\n[services s]\nec2 =\n  endpoint_url = http://own:3\n").await;
        let shared = Shared { env: &Env::from_slice(&[]), profile: Some(&sections) };
        assert_eq!(shared.url(&EC2, "http://configured", "r").unwrap().to_string(), "http://own:3/");
        assert_eq!(shared.url(&LOGS, "http://configured", "r").unwrap().to_string(), "http://configured/");
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = parse(&EC2, "https://user:pa55@h").unwrap_err().to_string();
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
            assert!(matches!(shared.url(&LOGS, "", region), Err(EndpointError::Region(_))), "{region}");
        }
    }
}
