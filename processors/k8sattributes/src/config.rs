//! What users write.

use confmap::{Duration, Problems};
use serde::Deserialize;

use crate::compile::Compiled;
use crate::gating::Gating;

/// The attributes that are added unless `extract::metadata` says otherwise.
const DEFAULT_METADATA: [&str; 8] = [
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.start_time",
    "k8s.deployment.name",
    "k8s.node.name",
    "container.image.name",
    "container.image.tag",
];

/// The configuration of the processor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How the API server is reached: `serviceAccount`, `kubeConfig` or `none`.
    pub auth_type: String,
    /// The context of the kubeconfig; empty for its current one.
    pub context: String,
    /// The kubeconfig's path; empty for `KUBECONFIG`, else the one in the home directory.
    pub kube_config_path: String,
    /// Requests per second to the API server; checked, without effect.
    pub kube_api_qps: f64,
    /// Requests at once to the API server; checked, without effect.
    pub kube_api_burst: i64,
    /// Whether only addresses are noted and the API server is never asked.
    pub passthrough: bool,
    /// What is added.
    pub extract: ExtractConfig,
    /// Which pods are known.
    pub filter: FilterConfig,
    /// How resources find their pods, the first that applies; none for addresses.
    pub pod_association: Vec<AssociationConfig>,
    /// Which pods nothing is added of.
    pub exclude: ExcludeConfig,
    /// Whether the collector starts only when everything is known.
    pub wait_for_metadata: bool,
    /// How long it waits, before it gives up starting.
    pub wait_for_metadata_timeout: Duration,
    /// The period of upstream's repairs; without effect.
    pub watch_sync_period: Duration,
    /// How long a pod that is gone is still known.
    pub pod_delete_grace_period: Duration,
}

/// `extract`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ExtractConfig {
    /// Names of attributes.
    pub metadata: Vec<String>,
    /// Labels that become attributes.
    pub labels: Vec<RuleConfig>,
    /// Annotations that become attributes.
    pub annotations: Vec<RuleConfig>,
    /// Whether annotations of pods `resource.opentelemetry.io/NAME` become attributes `NAME`.
    pub otel_annotations: bool,
    /// Whether a Deployment's name is told from its ReplicaSet's alone; else that is looked for, too.
    pub deployment_name_from_replicaset: bool,
}

/// An entry of `extract::labels` or `extract::annotations`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RuleConfig {
    /// The attribute's name; empty for one made of the key.
    pub tag_name: String,
    /// The key.
    pub key: String,
    /// A regular expression that whole keys match.
    pub key_regex: String,
    /// Whose: `pod`, `namespace`, `node`, `deployment`, `statefulset`, `daemonset` or `job`; empty for `pod`.
    pub from: String,
}

/// `filter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// Only this node and its pods.
    pub node: String,
    /// The environment variable that holds the node's name; wins over `node`.
    pub node_from_env_var: String,
    /// Only what is in this namespace.
    pub namespace: String,
    /// Only pods whose fields are so.
    pub fields: Vec<SelectorConfig>,
    /// Only pods whose labels are so.
    pub labels: Vec<SelectorConfig>,
}

/// An entry of `filter::fields` or `filter::labels`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SelectorConfig {
    /// The field or the label.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `equals`, `not-equals`; of labels also `exists` and `does-not-exist`. Empty for `equals`.
    pub op: String,
}

/// An entry of `pod_association`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AssociationConfig {
    /// What together identifies a pod: up to four.
    pub sources: Vec<SourceConfig>,
}

/// An entry of `sources`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SourceConfig {
    /// `resource_attribute` or `connection`.
    pub from: String,
    /// The attribute's name.
    pub name: String,
}

/// `exclude`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExcludeConfig {
    /// Pods by their names; none for upstream's two.
    pub pods: Vec<ExcludePodConfig>,
}

/// An entry of `exclude::pods`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExcludePodConfig {
    /// A regular expression that is found in the name.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_type: "serviceAccount".to_owned(),
            context: String::new(),
            kube_config_path: String::new(),
            kube_api_qps: 0.0,
            kube_api_burst: 0,
            passthrough: false,
            extract: ExtractConfig::default(),
            filter: FilterConfig::default(),
            pod_association: Vec::new(),
            exclude: ExcludeConfig::default(),
            wait_for_metadata: false,
            wait_for_metadata_timeout: Duration::from_secs(10),
            watch_sync_period: Duration::from_secs(300),
            pod_delete_grace_period: Duration::from_secs(120),
        }
    }
}

impl Default for ExtractConfig {
    fn default() -> Self {
        Self {
            metadata: DEFAULT_METADATA.map(str::to_owned).into(),
            labels: Vec::new(),
            annotations: Vec::new(),
            otel_annotations: false,
            deployment_name_from_replicaset: true,
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        match self.auth_type.as_str() {
            "serviceAccount" | "kubeConfig" | "none" => {}
            "tls" => problems.at("auth_type", |problems| {
                problems.report_with_help("auth_type tls has no client", "use serviceAccount or kubeConfig");
            }),
            other => problems.at("auth_type", |problems| {
                problems.report_with_help(
                    format!("invalid authType for kubernetes: {other}"),
                    "one of serviceAccount, kubeConfig, none",
                );
            }),
        }
        if self.kube_api_qps < 0.0 {
            problems.at("kube_api_qps", |problems| problems.report("must not be negative"));
        }
        if self.kube_api_burst < 0 {
            problems.at("kube_api_burst", |problems| problems.report("must not be negative"));
        }
        Compiled::of(self, |name| std::env::var(name).ok(), Gating::default(), problems);
    }
}
