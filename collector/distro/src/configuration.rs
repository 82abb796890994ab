//! From the command line to a checked plan.

use anyhow::{Result, anyhow};
use component::Registry;
use confmap::{Conf, Problems, Resolver, System};
use service::Plan;

use crate::cli::Sources;

/// What runs when nothing is configured.
pub(crate) const DEFAULT: &str = include_str!("../default.yaml");

/// How the built-in configuration is called in messages.
const BUILT_IN: &str = "built-in default configuration";

/// Reads, merges and expands what the command line names.
pub(crate) fn resolve(sources: &Sources) -> Result<Conf, Problems> {
    let mut resolver = Resolver::default();
    if sources.configs.is_empty() {
        resolver = resolver.builtin(BUILT_IN, DEFAULT);
    }
    for config in &sources.configs {
        resolver = resolver.config(config);
    }
    for set in &sources.sets {
        resolver = resolver.set(set);
    }
    resolver.resolve(&System)
}

/// The sources in words, for the start-up report.
pub(crate) fn describe(sources: &Sources) -> String {
    let mut names: Vec<&str> = sources.configs.iter().map(|uri| name_of(uri)).collect();
    if names.is_empty() {
        names.push(BUILT_IN);
    }
    let mut text = names.join(", ");
    if !sources.sets.is_empty() {
        text.push_str(&format!(" and {} --set", sources.sets.len()));
    }
    text
}

/// Inline configuration may hold secrets and pages of text: only its scheme is named.
fn name_of(uri: &str) -> &str {
    if uri.starts_with("yaml:") { "yaml:…" } else { uri }
}

/// What the configuration asks for. Whether it can be built, the start finds out.
pub(crate) fn plan(conf: &Conf, registry: &Registry) -> Result<Plan> {
    Plan::new(conf, registry).map_err(|problems| invalid(&problems))
}

/// The same, with everything checked that can be without starting anything.
pub(crate) fn checked_plan(conf: &Conf, registry: &Registry) -> Result<Plan> {
    let plan = plan(conf, registry)?;
    plan.dry_build(registry, &crate::build_info())?;
    Ok(plan)
}

/// All problems as one error, each with its place in the source.
pub(crate) fn invalid(problems: &Problems) -> anyhow::Error {
    anyhow!("invalid configuration:\n{}", problems.render_snippets(problems.sources()).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_valid() {
        let conf = resolve(&Sources::default()).unwrap();
        checked_plan(&conf, &crate::components::registry()).unwrap();
    }

    #[test]
    fn sources_are_described_without_their_content() {
        let check = |configs: &[&str], sets: &[&str], expected: &str| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let sources = Sources { configs: owned(configs), sets: owned(sets), feature_gates: Vec::new() };
            assert_eq!(describe(&sources), expected);
        };
        check(&[], &[], "built-in default configuration");
        check(&["a.yaml", "yaml:token: x"], &["a.b=c"], "a.yaml, yaml:… and 1 --set");
    }
}
