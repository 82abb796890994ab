//! What users write.

use confmap::{Duration, Problems};
use serde::Deserialize;

/// The orchestrators that `container_orchestrator` may name.
const ORCHESTRATORS: &[&str] = &["eks", "ecs", "none"];

/// The configuration: the receiver's own keys and those of AWS sessions, at one level.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "(Keys, aws::SessionConfig)")]
pub struct Config {
    /// The receiver's own.
    pub keys: Keys,
    /// Those of AWS sessions, for questions to EC2.
    pub session: aws::SessionConfig,
}

/// The keys of upstream and of its fork in the CloudWatch agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// From one collection to the next. Default `60s`.
    pub collection_interval: Duration,
    /// The records that this collector makes. Default `ALL`.
    pub collection_role: CollectionRole,
    /// `eks`, `ecs` or `none`; empty, the default, to find it out.
    pub container_orchestrator: String,
    /// The attribute `ClusterName`; empty to take it from the environment.
    pub cluster_name: String,
    /// The node's name where the environment variable `HOST_NAME` is not set.
    pub host_name: String,
    /// Not in a container: read `/proc` even if there is a `/rootfs/proc`.
    pub run_on_systemd: bool,
    /// Adds the fields and records of upstream's enhanced mode, and the API server's own metrics.
    pub enable_control_plane_metrics: bool,

    /// Adds `Service` to records of pods and containers. Default true.
    pub add_service_as_attribute: bool,
    /// Do not shorten the `PodName` of `kube-proxy` pods, nor that of Jobs.
    pub prefer_full_pod_name: bool,
    /// Shorten the `PodName` of Jobs as upstream does: at the first dash or dot, if the name does not end with ten digits.
    pub shorten_job_pod_names: bool,
    /// Adds `FullPodName`.
    pub add_full_pod_name_metric_label: bool,
    /// Adds `ContainerName` to records of containers.
    pub add_container_name_metric_label: bool,
    /// Measures the files that containers have written. Default true.
    pub enable_container_filesystem_metrics: bool,
    /// The kubelet's address where the environment variable `HOST_IP` is not set.
    pub host_ip: String,
    /// The name of the lock by which collectors find out who makes records of the cluster.
    pub leader_lock_name: String,
    /// The lock is an annotation of a ConfigMap, not a Lease.
    pub leader_lock_using_config_map_only: bool,

    /// A kubeconfig to reach the API server with, and through it the kubelet where this is no pod or `run_on_systemd` is set;
    /// empty for the pod's service account.
    pub kube_config_path: String,

    // Without effect so far: see `Config::ignored`.
    /// Of GPU, Neuron and EFA records.
    pub accelerated_compute_metrics: bool,
    /// Of GPU records. Default `60s`.
    pub accelerated_compute_gpu_metrics_collection_interval: Duration,
    /// Of pods in virtual machines of their own.
    pub enable_isolated_pod_summary_metrics: bool,
    /// The runtime classes of such pods.
    pub isolated_pod_runtime_classes: Vec<String>,
    /// An extension that AWS requests pass through.
    pub middleware: Option<String>,
}

/// The records that a collector makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CollectionRole {
    /// Those of the machine, and those of the cluster if it leads.
    #[default]
    #[serde(alias = "")]
    All,
    /// Those of the machine only: it does not stand for election.
    Node,
    /// Those of the cluster only, if it leads.
    Leader,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            collection_interval: Duration::from_secs(60),
            collection_role: CollectionRole::All,
            container_orchestrator: String::new(),
            cluster_name: String::new(),
            host_name: String::new(),
            run_on_systemd: false,
            enable_control_plane_metrics: false,
            enable_container_filesystem_metrics: true,
            add_service_as_attribute: true,
            prefer_full_pod_name: false,
            shorten_job_pod_names: false,
            add_full_pod_name_metric_label: false,
            add_container_name_metric_label: false,
            leader_lock_name: "otel-container-insight-clusterleader".to_owned(),
            leader_lock_using_config_map_only: false,
            accelerated_compute_metrics: false,
            accelerated_compute_gpu_metrics_collection_interval: Duration::from_secs(60),
            enable_isolated_pod_summary_metrics: false,
            isolated_pod_runtime_classes: Vec::new(),
            kube_config_path: String::new(),
            host_ip: String::new(),
            middleware: None,
        }
    }
}

impl From<(Keys, aws::SessionConfig)> for Config {
    fn from((keys, session): (Keys, aws::SessionConfig)) -> Self {
        Self { keys, session }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.session.validate(problems);
        problems.at("collection_interval", |problems| {
            if self.keys.collection_interval.is_zero() {
                problems.report_with_help("requires positive value", "the default is 60s");
            }
        });
        problems.at("container_orchestrator", |problems| {
            let name = self.keys.container_orchestrator.as_str();
            if !name.is_empty() && !ORCHESTRATORS.contains(&name) {
                let help = "use eks, ecs or none; without the key it is found out";
                problems.report_with_help(format!("unsupported container_orchestrator: {name}"), help);
            }
        });
    }
}

/// The fields among `$key` that are not what they are by default.
macro_rules! changed {
    ($config:expr, $default:expr, [$($key:ident),+ $(,)?]) => {{
        let (config, default) = ($config, $default);
        [$((stringify!($key), config.$key != default.$key)),+]
            .into_iter()
            .filter_map(|(key, changed)| changed.then_some(key))
    }};
}

impl Config {
    /// The keys that were changed and have no effect: the records they are about are not made, and questions to EC2 are
    /// asked one after the other.
    pub(crate) fn ignored(&self) -> Vec<&'static str> {
        let own = changed!(
            &self.keys,
            Keys::default(),
            [
                accelerated_compute_metrics,
                accelerated_compute_gpu_metrics_collection_interval,
                enable_isolated_pod_summary_metrics,
                isolated_pod_runtime_classes,
                middleware
            ]
        );
        let session = changed!(&self.session, aws::SessionConfig::default(), [num_workers, resource_arn]);
        own.chain(session).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(yaml: &str) -> String {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let mut problems = Problems::default();
        component::Config::validate(&config, &mut problems);
        problems.to_string()
    }

    #[test]
    fn what_is_wrong_is_said_at_once() {
        assert_eq!(problems_of("{}"), "");
        assert_eq!(problems_of("container_orchestrator: none"), "");
        assert_eq!(
            problems_of("{collection_interval: 0s, container_orchestrator: EKS}"),
            "collection_interval: requires positive value (the default is 60s)\n\
             container_orchestrator: unsupported container_orchestrator: EKS \
             (use eks, ecs or none; without the key it is found out)"
        );
        assert!(confmap::from_yaml::<Config>("collection_interval: -1s").is_err());
        let error = confmap::from_yaml::<Config>("collection_role: HOST").unwrap_err().to_string();
        assert!(
            error.contains("collection_role: unknown value \"HOST\" (valid values: ALL, NODE, LEADER)"),
            "{error}"
        );
        let error = confmap::from_yaml::<Config>("clustername: x").unwrap_err().to_string();
        assert!(error.contains("cluster_name"), "{error}");
    }

    #[test]
    fn every_key_of_upstream_and_its_fork_is_known() {
        let config: Config = confmap::from_yaml(
            "{collection_interval: 30s, collection_role: NODE,
            accelerated_compute_gpu_metrics_collection_interval: 1s, enable_isolated_pod_summary_metrics: true,
            isolated_pod_runtime_classes: [sandbox], container_orchestrator: eks, add_service_as_attribute: false,
            prefer_full_pod_name: true, shorten_job_pod_names: true, add_full_pod_name_metric_label: true, add_container_name_metric_label: true,
            cluster_name: c, leader_lock_name: cwagent-clusterleader, leader_lock_using_config_map_only: true,
            enable_control_plane_metrics: true, enable_container_filesystem_metrics: false, accelerated_compute_metrics: true, kube_config_path: /k,
            host_ip: 10.0.0.1, host_name: h, run_on_systemd: true, middleware: agenthealth/logs, num_workers: 1,
            endpoint: e, request_timeout_seconds: 1, max_retries: 1, no_verify_ssl: true, proxy_address: p, region: r,
            local_mode: true, resource_arn: a, role_arn: b, external_id: x, profile: p,
            shared_credentials_file: [f], imds_retries: 3}",
        )
        .unwrap();
        assert_eq!(config.keys.collection_interval, Duration::from_secs(30));
        let ignored = config.ignored();
        assert_eq!(config.keys.collection_role, CollectionRole::Node);
        assert_eq!(
            ignored,
            [
                "accelerated_compute_metrics",
                "accelerated_compute_gpu_metrics_collection_interval",
                "enable_isolated_pod_summary_metrics",
                "isolated_pod_runtime_classes",
                "middleware",
                "num_workers",
                "resource_arn"
            ]
        );
        for effective in ["cluster_name", "host_ip", "prefer_full_pod_name", "local_mode", "imds_retries"] {
            assert!(!ignored.contains(&effective), "{effective}");
        }
        assert_eq!(Config::default().ignored(), [""; 0]);
    }
}
