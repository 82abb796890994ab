//! Profiles: Container Insights' settings by one word.

use confmap::Problems;

use crate::config::EmfConfig;

/// The profiles: names, and what a user would have to write instead.
const PROFILES: [(&str, &str); 3] = [
    ("base", include_str!("../profiles/base.yaml")),
    ("enhanced", include_str!("../profiles/enhanced.yaml")),
    ("lean", include_str!("../profiles/lean.yaml")),
];

/// The configuration with what its profile says of the keys that have their default values.
pub(crate) fn applied(config: EmfConfig) -> EmfConfig {
    let Some(profile) = find(&config.container_insights_profile) else { return config };
    let default = EmfConfig::default();
    macro_rules! chosen {
        ($($key:ident),+) => {
            EmfConfig {
                $($key: if config.$key == default.$key { profile.$key } else { config.$key },)+
                ..config
            }
        };
    }
    chosen!(
        namespace,
        log_group_name,
        log_stream_name,
        dimension_rollup_option,
        resource_to_telemetry_conversion,
        parse_json_encoded_attr_values,
        metric_declarations,
        metric_descriptors,
        version,
        enhanced_container_insights
    )
}

/// Reports a profile that is not known.
pub(crate) fn validate(name: &str, problems: &mut Problems) {
    if !name.is_empty() && !PROFILES.iter().any(|(known, _)| *known == name) {
        let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
        problems.report_with_help(format!("unknown profile {name:?}"), format!("use {}", names.join(", ")));
    }
}

fn find(name: &str) -> Option<EmfConfig> {
    let (_, text) = PROFILES.iter().find(|(known, _)| *known == name)?;
    confmap::from_yaml(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(yaml: &str) -> EmfConfig {
        confmap::from_yaml::<Config>(yaml).unwrap().emf
    }

    #[test]
    fn profiles_are_valid() {
        let check = |name: &str, declarations: usize, version: &str| {
            let config = config(&format!("container_insights_profile: {name}"));
            assert_eq!(config.metric_declarations.len(), declarations);
            assert_eq!(config.namespace, "ContainerInsights");
            assert_eq!(config.log_stream_name, "{NodeName}");
            assert_eq!(config.version, version);
            assert!(config.resource_to_telemetry_conversion.enabled);
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert!(problems.is_empty(), "{problems}");
        };
        check("base", 9, "1");
        check("enhanced", 40, "0");
        check("lean", 4, "1");
    }

    #[test]
    fn what_is_written_wins() {
        let config = config("container_insights_profile: base\nlog_group_name: mine\nversion: '0'");
        assert_eq!((config.log_group_name.as_str(), config.version.as_str()), ("mine", "0"));
        assert_eq!(config.namespace, "ContainerInsights");
    }

    #[test]
    fn an_unknown_profile_is_named() {
        let mut problems = Problems::default();
        config("container_insights_profile: small").validate(&mut problems);
        let expected = "container_insights_profile: unknown profile \"small\"";
        assert!(problems.to_string().starts_with(expected), "{problems}");
    }
}
