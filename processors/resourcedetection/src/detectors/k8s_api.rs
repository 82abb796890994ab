//! `k8s_api`: the node that the collector runs on, of the API server.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use crate::config::KubernetesConfig;
use crate::detector::{Detector, Findings, Switches};
use crate::error::Error;
use crate::sources::{SERVICE_HOST, Sources};

/// The namespace whose uid stands for the cluster's.
const CLUSTER: &str = "/api/v1/namespaces/kube-system";

/// The detector.
pub(crate) struct KubernetesApi {
    pub(crate) config: KubernetesConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
}

/// The path of a node; nothing if no node can be called like this.
pub(crate) fn node_path(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (!name.is_empty() && name.bytes().all(plain)).then(|| format!("/api/v1/nodes/{name}"))
}

impl KubernetesApi {
    async fn uid(&self, path: &str) -> Result<String, Error> {
        let object: Bytes = self.sources.api_server(&self.config, path).await?;
        let object: Object = serde_json::from_slice(&object)
            .map_err(|error| Error::Malformed { what: "the API server's answer", source: error.into() })?;
        Ok(object.metadata.uid)
    }
}

#[async_trait]
impl Detector for KubernetesApi {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let in_cluster = self.sources.variable(SERVICE_HOST).is_some_and(|host| !host.is_empty());
        if !in_cluster && self.config.auth_type != "kubeConfig" {
            return Ok(());
        }
        let variable = &self.config.node_from_env_var;
        let name = self.sources.variable(variable).unwrap_or_default();
        let path = node_path(&name).ok_or_else(|| {
            Error::Setting(format!(
                "{name:?} in the variable {variable} is no node's name: set it to spec.nodeName"
            ))
        })?;
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "k8s.node.name", name);
        for (key, path) in [("k8s.node.uid", path.as_str()), ("k8s.cluster.uid", CLUSTER)] {
            if on.is_on(key) {
                match self.uid(path).await {
                    Ok(uid) => found.set_text(on, key, &uid),
                    Err(error) => found.gap = Some(error),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    async fn detect(fake: Fake) -> Result<Findings, Error> {
        KubernetesApi { config: KubernetesConfig::default(), sources: Arc::new(fake) }.found().await
    }

    fn in_cluster(node: &str) -> Fake {
        let fake =
            Fake::default().with_variable(SERVICE_HOST, "10.100.0.1").with_variable("K8S_NODE_NAME", node);
        fake.with_object("/api/v1/nodes/n1", 200, r#"{"metadata":{"uid":"u1","name":"n1"}}"#)
    }

    #[tokio::test]
    async fn a_node() {
        let fake = in_cluster("n1").with_object(CLUSTER, 200, r#"{"metadata":{"uid":"c1"}}"#);
        let found = detect(fake).await.unwrap();
        assert_eq!(shown(&found), ["k8s.node.name=n1", "k8s.node.uid=u1", "k8s.cluster.uid=c1"]);
        assert!(found.gap.is_none());
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_a_gap() {
        let found = detect(in_cluster("n1").with_object(CLUSTER, 403, "")).await.unwrap();
        assert_eq!(shown(&found), ["k8s.node.name=n1", "k8s.node.uid=u1"]);
        assert!(found.gap.unwrap().is_permanent());
        let found = detect(in_cluster("n2").with_object(CLUSTER, 200, "<html>")).await.unwrap();
        assert_eq!(shown(&found), ["k8s.node.name=n2"]);
    }

    #[tokio::test]
    async fn a_variable_without_a_node() {
        for name in ["", "../secrets", "a b"] {
            let error = detect(in_cluster(name)).await.unwrap_err();
            assert!(error.is_permanent() && error.to_string().contains("K8S_NODE_NAME"), "{error}");
        }
        assert!(detect(Fake::default()).await.unwrap().attributes.is_empty(), "outside a cluster");
    }
}
