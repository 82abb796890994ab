//! What users write.

use confmap::{Duration, Problems};
use helper::go_regex;
use net::HttpClientConfig;
use serde::Deserialize;

use crate::attributes::{
    BeanstalkAttributes, Ec2Attributes, EcsAttributes, EksAttributes, KubernetesAttributes, LambdaAttributes,
    SystemAttributes,
};
use crate::detector::Kind;
use crate::unavailable::{self, UnavailableBlocks};

/// The configuration of the processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "(DetectionConfig, HttpClientConfig, UnavailableBlocks)")]
pub struct Config {
    /// The processor's own keys.
    pub detection: DetectionConfig,
    /// The keys of upstream's HTTP client, at the same level: what the EC2 API is asked for tags with.
    pub http: HttpClientConfig,
}

/// The processor's own keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct DetectionConfig {
    /// Who is asked; of an attribute that several know, the first one's value counts.
    pub detectors: Vec<String>,
    /// Whether what is detected replaces what resources say already.
    #[serde(rename = "override")]
    pub replace: bool,
    /// How long the start of the collector waits for all detectors; later, how long one may take to answer.
    pub timeout: Duration,
    /// How often detectors are asked again; 0 for never.
    pub refresh_interval: Duration,
    /// Whether the collector does not start unless every detector has answered in time, as upstream.
    pub fail_on_error: bool,
    /// The detector `system`.
    pub system: SystemConfig,
    /// The detector `ec2`.
    pub ec2: Ec2Config,
    /// The detector `ecs`.
    pub ecs: EcsConfig,
    /// The detector `eks`.
    pub eks: EksConfig,
    /// The detector `lambda`.
    pub lambda: LambdaConfig,
    /// The detector `elastic_beanstalk`.
    pub elasticbeanstalk: BeanstalkConfig,
    /// The detector `k8s_api`.
    pub k8s_api: KubernetesConfig,
    /// The detector `k8s_api` by its old name; counts where it is written.
    pub k8snode: Option<KubernetesConfig>,
    /// An extension that AWS requests pass through; no effect.
    pub middleware: Option<String>,
}

/// `system`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SystemConfig {
    /// Where the host's name is looked for, in order: `dns`, `os`, `cname`, `lookup`.
    pub hostname_sources: Vec<String>,
    /// Which attributes are added.
    pub resource_attributes: SystemAttributes,
}

/// `ec2`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ec2Config {
    /// Regular expressions; tags of the instance in whose keys one is found become attributes.
    pub tags: Vec<String>,
    /// How often instance metadata are asked before they count as absent.
    pub max_attempts: u32,
    /// No effect: an attempt takes a second at most.
    pub max_backoff: Duration,
    /// Whether it is an error that there are no instance metadata.
    pub fail_on_missing_metadata: bool,
    /// Whether tags are read from instance metadata rather than asked of the EC2 API.
    pub tags_from_imds: bool,
    /// Which attributes are added.
    pub resource_attributes: Ec2Attributes,
}

/// `ecs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EcsConfig {
    /// Which attributes are added.
    pub resource_attributes: EcsAttributes,
}

/// `eks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EksConfig {
    /// The variable that holds the node's name, for pods that do not reach instance metadata.
    pub node_from_env_var: String,
    /// Which attributes are added.
    pub resource_attributes: EksAttributes,
}

/// `lambda`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LambdaConfig {
    /// Which attributes are added.
    pub resource_attributes: LambdaAttributes,
}

/// `elasticbeanstalk`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BeanstalkConfig {
    /// Which attributes are added.
    pub resource_attributes: BeanstalkAttributes,
}

/// `k8s_api`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct KubernetesConfig {
    /// How the API server is reached: `serviceAccount`, `kubeConfig` or `none`.
    pub auth_type: String,
    /// The context of the kubeconfig; empty for its current one.
    pub context: String,
    /// The kubeconfig's path; empty for `KUBECONFIG`, else the one in the home directory.
    pub kube_config_path: String,
    /// The variable that holds the node's name.
    pub node_from_env_var: String,
    /// Which attributes are added.
    pub resource_attributes: KubernetesAttributes,
}

impl From<(DetectionConfig, HttpClientConfig, UnavailableBlocks)> for Config {
    fn from((detection, http, _): (DetectionConfig, HttpClientConfig, UnavailableBlocks)) -> Self {
        Self { detection, http }
    }
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self {
            detectors: vec!["env".to_owned()],
            replace: true,
            timeout: Duration::from_secs(5),
            refresh_interval: Duration::ZERO,
            fail_on_error: false,
            system: SystemConfig::default(),
            ec2: Ec2Config::default(),
            ecs: EcsConfig::default(),
            eks: EksConfig::default(),
            lambda: LambdaConfig::default(),
            elasticbeanstalk: BeanstalkConfig::default(),
            k8s_api: KubernetesConfig::default(),
            k8snode: None,
            middleware: None,
        }
    }
}

impl Default for SystemConfig {
    fn default() -> Self {
        let hostname_sources = vec!["dns".to_owned(), "os".to_owned()];
        Self { hostname_sources, resource_attributes: SystemAttributes::default() }
    }
}

impl Default for Ec2Config {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            max_attempts: 3,
            max_backoff: Duration::from_secs(20),
            fail_on_missing_metadata: false,
            tags_from_imds: false,
            resource_attributes: Ec2Attributes::default(),
        }
    }
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            auth_type: "serviceAccount".to_owned(),
            context: String::new(),
            kube_config_path: String::new(),
            node_from_env_var: "K8S_NODE_NAME".to_owned(),
            resource_attributes: KubernetesAttributes::default(),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.http.validate(problems);
        self.detection.validate(problems);
    }
}

impl DetectionConfig {
    /// The detectors that are asked, each once, in order.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for kind in self.detectors.iter().filter_map(|name| Kind::parse(name)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// The settings of the detector `k8s_api`.
    pub(crate) fn kubernetes(&self) -> &KubernetesConfig {
        self.k8snode.as_ref().unwrap_or(&self.k8s_api)
    }

    fn validate(&self, problems: &mut Problems) {
        problems.at("detectors", |problems| {
            for (index, name) in
                self.detectors.iter().enumerate().filter(|(_, name)| Kind::parse(name).is_none())
            {
                problems.index(index, |problems| {
                    let supported = Kind::names().join(", ");
                    let help = match unavailable::DETECTORS.contains(&name.trim()) {
                        true => {
                            format!("upstream has it, this collector does not; supported are {supported}")
                        }
                        false => format!("supported are {supported}"),
                    };
                    problems.report_with_help(format!("invalid detector key: {}", name.trim()), help);
                });
            }
        });
        if self.fail_on_error && self.timeout.is_zero() {
            problems.at("timeout", |problems| {
                problems.report("must not be 0 with `fail_on_error`: no detector has answered yet then");
            });
        }
        problems.at("system", |problems| {
            problems.at("hostname_sources", |problems| {
                for (index, source) in self.system.hostname_sources.iter().enumerate() {
                    if !matches!(source.as_str(), "dns" | "os" | "cname" | "lookup") {
                        problems.index(index, |problems| {
                            problems.report_with_help(
                                format!("invalid hostname source: {source}"),
                                "one of dns, os, cname, lookup",
                            );
                        });
                    }
                }
            });
        });
        problems.at("ec2", |problems| {
            problems.at("tags", |problems| {
                for (index, pattern) in self.ec2.tags.iter().enumerate() {
                    if let Err(error) = go_regex(pattern) {
                        problems
                            .index(index, |problems| problems.report(format!("invalid pattern: {error}")));
                    }
                }
            });
        });
        let key = if self.k8snode.is_some() { "k8snode" } else { "k8s_api" };
        let auth_type = &self.kubernetes().auth_type;
        if !matches!(auth_type.as_str(), "serviceAccount" | "kubeConfig" | "none") {
            problems.at(key, |problems| {
                problems.at("auth_type", |problems| {
                    problems.report_with_help(
                        format!("invalid authType for kubernetes: {auth_type}"),
                        "one of serviceAccount, kubeConfig, none",
                    );
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Switches;

    #[test]
    fn defaults() {
        let config: Config = confmap::from_yaml("{}").unwrap();
        let detection = config.detection;
        assert_eq!(detection.kinds(), [Kind::Env]);
        assert_eq!((detection.replace, detection.fail_on_error), (true, false));
        assert_eq!(*detection.timeout, std::time::Duration::from_secs(5));
        assert!(detection.refresh_interval.is_zero());
        assert_eq!(detection.system.hostname_sources, ["dns", "os"]);
        assert_eq!(detection.kubernetes().node_from_env_var, "K8S_NODE_NAME");
        assert_eq!(detection.ec2.max_attempts, 3);
    }

    #[test]
    fn switches() {
        let config: Config = confmap::from_yaml(
            "{system: {resource_attributes: {host.name: {enabled: false}, host.id: {enabled: true}, os.type: {}}},
              proxy_url: 'http://p:1', tls: {insecure: true}, k8snode: {node_from_env_var: N}}",
        )
        .unwrap();
        let system = &config.detection.system.resource_attributes;
        assert!(!system.is_on("host.name") && system.is_on("host.id") && system.is_on("os.type"));
        assert!(!system.is_on("host.arch") && !system.is_on("nosuch"));
        assert!(!config.detection.eks.resource_attributes.is_on("k8s.cluster.name"));
        assert!(config.detection.ec2.resource_attributes.is_on("host.name"));
        assert_eq!(config.detection.kubernetes().node_from_env_var, "N");
    }

    #[test]
    fn what_is_refused() {
        let check = |yaml: &str, expected: &str| {
            let problems = match confmap::from_yaml::<Config>(yaml) {
                Err(problems) => problems.to_string(),
                Ok(config) => {
                    let mut problems = Problems::default();
                    component::Config::validate(&config, &mut problems);
                    problems.to_string()
                }
            };
            assert!(problems.contains(expected), "{yaml}: {problems}");
        };
        check(
            "detectors: [env, ' gcp ']\ngcp: {resource_attributes: {}}",
            "detectors[1]: invalid detector key: gcp (upstream has it, this collector does not; supported are env,",
        );
        check("detectors: [gpc]", "detectors[0]: invalid detector key: gpc (supported are env,");
        check("gpc: {}", "has invalid keys: gpc");
        check(
            "detectors: [azure]",
            "supported are env, system, ec2, ecs, eks, lambda, elastic_beanstalk, k8s_api",
        );
        check("detectors: [env]\nattributes: [host.name]", "has invalid keys: attributes");
        check(
            "system: {hostname_sources: [os, dsn]}",
            "system::hostname_sources[1]: invalid hostname source: dsn",
        );
        check("ec2: {tags: ['(']}", "ec2::tags[0]: invalid pattern");
        check("ec2: {resource_attributes: {host.nmae: {enabled: true}}}", "host.nmae");
        check("k8s_api: {auth_type: tls}", "k8s_api::auth_type: invalid authType for kubernetes: tls");
        check("{timeout: 0s, fail_on_error: true}", "timeout: must not be 0 with `fail_on_error`");
        check("k8snode: {auth_type: x}", "k8snode::auth_type");
    }

    #[test]
    fn names_are_trimmed_and_have_aliases() {
        let config: Config =
            confmap::from_yaml("detectors: [' env ', k8snode, k8s_api, elastic_beanstalk, env]").unwrap();
        let mut problems = Problems::default();
        component::Config::validate(&config, &mut problems);
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(config.detection.kinds(), [Kind::Env, Kind::KubernetesApi, Kind::ElasticBeanstalk]);
    }
}
