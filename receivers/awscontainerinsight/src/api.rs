//! How the API server and the kubelet are reached: with the pod's service account, or with a kubeconfig.

use std::path::PathBuf;

use component::Host;
use k8s::{ApiServer, ApiServerConfig, Error, Kubelet, KubeletConfig, Watches};

use crate::Config;
use crate::pods::KubeletPods;
use crate::surroundings::{Orchestrator, Surroundings};

/// What the API server is reached with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Api {
    /// The key `kube_config_path`.
    kubeconfig: Option<PathBuf>,
    /// The kubelet is asked by the API server: with a kubeconfig and outside of pods nobody else has credentials for it.
    through: bool,
    in_cluster: bool,
}

impl Api {
    /// By configuration and environment.
    pub(crate) fn discover(config: &Config) -> Self {
        Self::discover_with(config, k8s::is_in_cluster())
    }

    fn discover_with(config: &Config, in_cluster: bool) -> Self {
        let path = config.keys.kube_config_path.as_str();
        let kubeconfig = (!path.is_empty()).then(|| PathBuf::from(path));
        let through = kubeconfig.is_some() && (config.keys.run_on_systemd || !in_cluster);
        Self { kubeconfig, through, in_cluster }
    }

    /// Whether there is one to be reached, as far as can be told without trying.
    pub(crate) fn is_there(&self, surroundings: &Surroundings) -> bool {
        surroundings.orchestrator == Orchestrator::Eks && (self.in_cluster || self.kubeconfig.is_some())
    }

    fn config(&self) -> Result<ApiServerConfig, Error> {
        match &self.kubeconfig {
            Some(path) => ApiServerConfig::from_kubeconfig(Some(path), None),
            None => ApiServerConfig::in_cluster(),
        }
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Result<ApiServer, Error> {
        ApiServer::new(self.config()?)
    }

    /// The watches of its objects. With the pod's service account, those of the whole process.
    pub(crate) fn watches(&self, host: &Host) -> Result<Watches, Error> {
        match &self.kubeconfig {
            Some(_) => Ok(Watches::new(self.connect()?, host)),
            None => Watches::in_cluster(host),
        }
    }

    /// Its host and port.
    pub(crate) fn endpoint(&self) -> (String, String) {
        let url = self.config().map(|config| config.url).unwrap_or_default();
        let port = url.port_u16().unwrap_or(443).to_string();
        (url.host().unwrap_or_default().to_owned(), port)
    }

    /// The kubelet of this node, with Kubernetes and as far as it can be reached.
    pub(crate) fn kubelet(&self, surroundings: &Surroundings) -> Option<KubeletPods> {
        if self.through {
            let node = surroundings.node_name.clone().filter(|_| self.is_there(surroundings))?;
            let api = self.clone();
            return Some(KubeletPods::new(move || Ok(Kubelet::through(api.connect()?, &node))));
        }
        let mut config = KubeletConfig::new(surroundings.kubelet.as_deref()?);
        config.token_file = config.token_file.filter(|path| path.exists());
        config.ca_file = config.ca_file.filter(|path| path.exists());
        Some(KubeletPods::new(move || Kubelet::new(config.clone())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testkit::FakeApiServer;

    use super::*;
    use crate::pods::PodSource;

    fn api(yaml: &str, in_cluster: bool) -> Api {
        Api::discover_with(&confmap::from_yaml(yaml).unwrap(), in_cluster)
    }

    fn surroundings(orchestrator: Orchestrator) -> Surroundings {
        let yaml = format!("{{container_orchestrator: {}, host_name: node-1}}", orchestrator.as_str());
        Surroundings::discover(&confmap::from_yaml(&yaml).unwrap())
    }

    #[test]
    fn who_asks_the_kubelet() {
        fn check(yaml: &str, in_cluster: bool, is_there: bool, through: bool) {
            let api = api(yaml, in_cluster);
            assert_eq!(api.is_there(&surroundings(Orchestrator::Eks)), is_there, "{yaml}");
            assert!(!api.is_there(&surroundings(Orchestrator::Ecs)), "{yaml}");
            assert_eq!(api.through, through, "{yaml} {in_cluster}");
        }
        check("{}", true, true, false);
        check("{}", false, false, false);
        check("kube_config_path: /k", true, true, false);
        check("kube_config_path: /k", false, true, true);
        check("{kube_config_path: /k, run_on_systemd: true}", true, true, true);
        check("run_on_systemd: true", true, true, false);
    }

    #[tokio::test]
    async fn with_a_kubeconfig_the_api_server_is_reached_and_asks_the_kubelet() {
        let server = FakeApiServer::start().await;
        let pod = json!({"metadata": {"name": "pod", "namespace": "ns", "uid": "u"}, "status": {"phase": "Running"}});
        let list = json!({"kind": "PodList", "items": [pod]});
        server.answer("/api/v1/nodes/node-1/proxy/pods", 200, &list.to_string());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let yaml = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: k, cluster: {{server: '{}'}}}}],
              users: [{{name: u, user: {{token: secret}}}}],
              contexts: [{{name: c, context: {{cluster: k, user: u}}}}]}}",
            server.url()
        );
        std::fs::write(&file, yaml).unwrap();
        let api = api(&format!("kube_config_path: {}", file.display()), false);
        let surroundings = surroundings(Orchestrator::Eks);
        let pods = api.kubelet(&surroundings).unwrap().pods().await.unwrap();
        assert_eq!(pods.len(), 1);
        assert_eq!(server.requests()[0].header("authorization"), Some("Bearer secret"));
        let (host, port) = api.endpoint();
        assert_eq!(format!("http://{host}:{port}"), server.url());

        std::fs::write(&file, "clusters: [").unwrap();
        let error = api.kubelet(&surroundings).unwrap().pods().await.unwrap_err();
        let words = component::causes(&error);
        assert!(words.contains(file.to_str().unwrap()) && !words.contains("secret"), "{words}");
    }
}
