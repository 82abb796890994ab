//! Who may use whom: the layers of `ARCHITECTURE.md`, checked against `cargo metadata`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The layer of a crate, by its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layer {
    /// `distro`: names every component.
    Distro,
    /// A receiver, processor, exporter or extension.
    Component,
    /// One of the crates of `collector/`, by name.
    Core(String),
    /// `tests/*` and `xtask`: may use anything, and nothing may use them.
    Test,
}

/// What each crate of `collector/` may use of the others.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("service", &["net", "component", "confmap", "pdata"]),
    ("helper", &["component", "confmap", "pdata"]),
    ("net", &["component", "confmap", "pdata"]),
    ("aws", &["helper", "net", "component", "confmap", "pdata"]),
    ("ottl", &["helper", "confmap", "pdata"]),
    ("processing", &["helper", "confmap", "pdata"]),
    ("k8s", &["net", "component", "confmap", "pdata"]),
    ("component", &["pdata", "confmap"]),
    ("confmap", &[]),
    ("node", &[]),
    ("pdata", &[]),
];

/// What a component may use.
const FOR_COMPONENTS: [&str; 10] =
    ["helper", "net", "aws", "k8s", "ottl", "processing", "node", "confmap", "component", "pdata"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

/// One line per dependency that points the wrong way.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>> {
    let metadata = metadata(root)?;
    let layers: BTreeMap<&str, Layer> = metadata
        .packages
        .iter()
        .map(|package| (package.name.as_str(), layer(root, &package.manifest_path)))
        .collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let Some(from) = layers.get(package.name.as_str()) else { continue };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let Some(to) = layers.get(dependency.name.as_str()) else { continue };
            let dev = dependency.kind.as_deref() == Some("dev");
            if !allowed(from, to, &dependency.name, dev) {
                broken.push(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
    }
    Ok(broken)
}

fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata's answer")
}

fn layer(root: &Path, manifest: &Path) -> Layer {
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(manifest);
    let mut parts = folder.iter().map(|part| part.to_string_lossy().into_owned());
    match (parts.next().as_deref(), parts.next().as_deref()) {
        (Some("receivers" | "processors" | "exporters"), _) | (Some("collector"), Some("extensions")) => {
            Layer::Component
        }
        (Some("collector"), Some("distro")) => Layer::Distro,
        (Some("collector"), Some("xtask")) | (Some("tests"), _) => Layer::Test,
        (_, name) => Layer::Core(name.unwrap_or_default().to_owned()),
    }
}

fn allowed(from: &Layer, to: &Layer, to_name: &str, dev: bool) -> bool {
    match (from, to) {
        (Layer::Test, _) => true,
        (_, Layer::Test) => dev && to_name == "testkit",
        (Layer::Distro, Layer::Component) => true,
        (Layer::Distro, Layer::Core(name)) => {
            ["service", "component", "confmap", "pdata"].contains(&name.as_str())
        }
        (Layer::Component, Layer::Core(name)) => FOR_COMPONENTS.contains(&name.as_str()),
        (Layer::Core(from), Layer::Core(to)) => {
            ALLOWED.iter().any(|(name, allowed)| name == from && allowed.contains(&to.as_str()))
        }
        (Layer::Component, Layer::Component) | (Layer::Core(_), Layer::Component) | (_, Layer::Distro) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_know_their_place() {
        let core = |name: &str| Layer::Core(name.to_owned());
        let check = |from: Layer, to: Layer, name: &str, dev: bool, expected: bool| {
            assert_eq!(allowed(&from, &to, name, dev), expected, "{from:?} -> {name}");
        };
        check(Layer::Component, Layer::Component, "otlpreceiver", false, false);
        check(Layer::Component, core("pdata"), "pdata", false, true);
        check(Layer::Component, core("service"), "service", false, false);
        check(core("pdata"), core("component"), "component", false, false);
        check(core("service"), Layer::Component, "otlpreceiver", false, false);
        check(core("helper"), Layer::Test, "testkit", true, true);
        check(core("helper"), Layer::Test, "testkit", false, false);
        check(core("helper"), Layer::Test, "e2e", true, false);
        check(Layer::Distro, core("net"), "net", false, false);
        assert_eq!(layer(Path::new("/p"), Path::new("/p/receivers/otlp/Cargo.toml")), Layer::Component);
        assert_eq!(layer(Path::new("/p"), Path::new("/p/collector/aws/Cargo.toml")), core("aws"));
        assert_eq!(layer(Path::new("/p"), Path::new("/p/tests/e2e/Cargo.toml")), Layer::Test);
    }
}
