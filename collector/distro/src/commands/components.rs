//! `components`: what this distribution is made of, as YAML.

use std::collections::BTreeMap;

use anyhow::Result;
use component::{BuildInfo, Meta, Registry};
use serde::Serialize;

#[derive(Serialize)]
struct Listing {
    buildinfo: Build,
    receivers: Vec<Listed>,
    processors: Vec<Listed>,
    exporters: Vec<Listed>,
    connectors: Vec<Listed>,
    extensions: Vec<Listed>,
    providers: Vec<Provider>,
}

#[derive(Serialize)]
struct Build {
    command: String,
    description: String,
    version: String,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    module: String,
    stability: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Provider {
    scheme: &'static str,
    module: String,
}

/// The listing.
pub(crate) fn list(registry: &Registry, build: &BuildInfo) -> Result<String> {
    let module = format!("{} v{}", build.command, build.version);
    let listed = |meta: &Meta| Listed {
        name: meta.kind,
        module: module.clone(),
        stability: meta
            .signals
            .iter()
            .map(|(signal, stability)| (signal.as_str(), stability.as_str()))
            .collect(),
    };
    let extension =
        |meta: &Meta| Listed { stability: BTreeMap::from([("extension", "Beta")]), ..listed(meta) };
    let listing = Listing {
        buildinfo: Build {
            command: build.command.clone(),
            description: build.description.clone(),
            version: build.version.clone(),
        },
        receivers: registry.receivers().map(|factory| listed(&factory.meta)).collect(),
        processors: registry.processors().map(|factory| listed(&factory.meta)).collect(),
        exporters: registry.exporters().map(|factory| listed(&factory.meta)).collect(),
        connectors: Vec::new(),
        extensions: registry.extensions().map(|factory| extension(&factory.meta)).collect(),
        providers: ["env", "file", "yaml"]
            .map(|scheme| Provider { scheme, module: format!("confmap v{}", build.version) })
            .into(),
    };
    Ok(serde_yaml::to_string(&listing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_listed_under_their_canonical_names() {
        let text = list(&crate::components::registry(), &crate::build_info()).unwrap();
        let listing: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let names = |kind: &str| -> Vec<String> {
            let listed = listing[kind].as_array().unwrap();
            listed.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("receivers"), ["awscontainerinsightreceiver", "otlp"]);
        assert_eq!(
            names("processors"),
            [
                "attributes",
                "batch",
                "cumulativetodelta",
                "deltatorate",
                "ec2tagger",
                "filter",
                "groupbyattrs",
                "k8s_attributes",
                "k8sdecorator",
                "memory_limiter",
                "metrics_transform",
                "metricsgeneration",
                "probabilistic_sampler",
                "resource",
                "resource_detection",
                "transform"
            ]
        );
        assert_eq!(
            names("exporters"),
            ["awscloudwatchlogs", "awsemf", "debug", "nop", "otlp_grpc", "otlp_http"]
        );
        assert_eq!(names("extensions"), ["file_storage", "health_check"]);
        assert_eq!(listing["exporters"][1]["stability"]["metrics"], "Beta");
    }
}
