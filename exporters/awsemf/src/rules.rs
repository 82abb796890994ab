//! The configuration as the translation uses it.

use std::collections::HashMap;

use crate::config::{EmfConfig, RollupOption};
use crate::declaration::{Declaration, DeclarationError, Declarations};
use crate::names::Pattern;
use crate::units;

/// Which envelope an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    /// Directives and time at the top level.
    Zero,
    /// Directives and time in `_aws`.
    #[default]
    One,
    /// No envelope: nothing is extracted.
    Other,
}

/// Which resource attributes become labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversion {
    pub(crate) enabled: bool,
    exclude_service: bool,
    included: Vec<String>,
    excluded: Vec<String>,
    /// The names of groups, streams and namespaces do not see the resource.
    pub(crate) clear: bool,
}

/// The compiled configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) namespace: String,
    pub(crate) group: Pattern,
    pub(crate) stream: Pattern,
    /// The stream of an exporter without a configured one.
    pub(crate) default_stream: String,
    pub(crate) rollup: RollupOption,
    pub(crate) conversion: Conversion,
    pub(crate) declarations: Declarations,
    descriptors: HashMap<String, (String, bool)>,
    /// Sorted.
    pub(crate) json_fields: Vec<String>,
    pub(crate) version: Version,
    pub(crate) detailed: bool,
    pub(crate) kubernetes: bool,
    pub(crate) retain_initial: bool,
    pub(crate) enhanced: bool,
    pub(crate) no_extraction: bool,
}

impl Rules {
    /// Compiles a configuration. The second value holds warnings about parts that are ignored.
    ///
    /// # Errors
    /// The first declaration that cannot be used.
    pub(crate) fn compile(
        config: &EmfConfig,
        default_stream: String,
    ) -> Result<(Self, Vec<String>), DeclarationError> {
        let mut warnings = Vec::new();
        let mut declarations = Vec::new();
        for (index, declaration) in config.metric_declarations.iter().enumerate() {
            let (compiled, dropped) = Declaration::compile(declaration)?;
            if dropped > 0 {
                warnings.push(format!(
                    "metric_declarations[{index}]: {dropped} dimension set(s) with more than 10 dimensions are dropped"
                ));
            }
            declarations.push(compiled);
        }
        let mut descriptors = HashMap::new();
        for (index, descriptor) in config.metric_descriptors.iter().enumerate() {
            if descriptor.metric_name.is_empty() {
                warnings.push(format!("metric_descriptors[{index}]: dropped because metric_name is empty"));
            } else if !units::is_known(&descriptor.unit) {
                warnings.push(format!(
                    "metric_descriptors[{index}]: dropped because CloudWatch has no unit {:?}",
                    descriptor.unit
                ));
            } else {
                descriptors
                    .insert(descriptor.metric_name.clone(), (descriptor.unit.clone(), descriptor.overwrite));
            }
        }
        if config.add_entity || !config.metric_as_distribution.is_empty() {
            warnings.push("`add_entity` and `metric_as_distribution` have no effect".to_owned());
        }
        let conversion = &config.resource_to_telemetry_conversion;
        let mut json_fields = config.parse_json_encoded_attr_values.clone();
        json_fields.sort();
        let rules = Self {
            namespace: config.namespace.clone(),
            group: Pattern::parse(&config.log_group_name),
            stream: Pattern::parse(&config.log_stream_name),
            default_stream,
            rollup: config.rollup(),
            conversion: Conversion {
                enabled: conversion.enabled || !conversion.included.is_empty(),
                exclude_service: conversion.exclude_service_attributes,
                included: conversion.included.clone(),
                excluded: conversion.excluded.clone(),
                clear: conversion.clear_after_copy,
            },
            declarations: Declarations::new(declarations),
            descriptors,
            json_fields,
            version: match config.version.as_str() {
                "0" => Version::Zero,
                "1" => Version::One,
                _ => Version::Other,
            },
            detailed: config.detailed_metrics,
            kubernetes: config.eks_fargate_container_insights_enabled,
            retain_initial: config.retain_initial_value_of_delta_metric,
            enhanced: config.enhanced_container_insights,
            no_extraction: config.disable_metric_extraction,
        };
        Ok((rules, warnings))
    }

    /// The unit that the events give a metric.
    pub(crate) fn unit<'a>(&'a self, metric: &str, otlp_unit: &'a str) -> &'a str {
        match self.descriptors.get(metric) {
            Some((unit, overwrite)) if *overwrite || otlp_unit.is_empty() => unit,
            _ => units::from_otlp(otlp_unit),
        }
    }

    /// Whether the text of a field is to be decoded as JSON.
    pub(crate) fn is_json(&self, field: &str) -> bool {
        self.json_fields.binary_search_by(|name| name.as_str().cmp(field)).is_ok()
    }
}

impl Conversion {
    /// Whether the resource attribute becomes a label.
    pub(crate) fn takes(&self, attribute: &str) -> bool {
        const SERVICE: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];
        self.enabled
            && !(self.exclude_service && SERVICE.contains(&attribute))
            && (self.included.is_empty() || self.included.iter().any(|glob| glob_matches(glob, attribute)))
            && !self.excluded.iter().any(|glob| glob_matches(glob, attribute))
    }
}

/// Whether a pattern, in which `*` stands for any text and `?` for one byte, is all of `text`.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    // Where to go on when a guess for the last star was too short.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                g += 1;
                retry = Some((g, t));
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(t) => {
                g += 1;
                t += 1;
            }
            _ => match retry {
                Some((behind_star, taken)) => {
                    g = behind_star;
                    t = taken + 1;
                    retry = Some((behind_star, t));
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |glob: &str, text: &str, expected: bool| {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        };
        check("*", "", true);
        check("*", "anything", true);
        check("k8s.*", "k8s.pod.name", true);
        check("k8s.*", "aws", false);
        check("*.name", "k8s.pod.name", true);
        check("*a*b", "xxaxxbxb", true);
        check("*a*b", "xxaxxbxbc", false);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("abc", "abc", true);
        check("", "", true);
        check("", "a", false);
    }

    #[test]
    fn which_resource_attributes_become_labels() {
        let check = |conversion: &Conversion, attribute: &str, expected: bool| {
            assert_eq!(conversion.takes(attribute), expected, "{conversion:?} {attribute}");
        };
        check(&Conversion::default(), "host", false);
        let mut conversion = Conversion { enabled: true, ..Conversion::default() };
        check(&conversion, "service.name", true);
        conversion.exclude_service = true;
        check(&conversion, "service.name", false);
        check(&conversion, "host", true);
        conversion.included = vec!["k8s.*".into()];
        conversion.excluded = vec!["*.uid".into()];
        check(&conversion, "host", false);
        check(&conversion, "k8s.pod.name", true);
        check(&conversion, "k8s.pod.uid", false);
    }
}
