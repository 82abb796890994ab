//! Feature gates. Upstream's names are understood, so that command lines written for upstream keep working; where a gate has
//! no effect, that is said.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use component::Gates;

/// A gate of upstream's.
pub(crate) struct Gate {
    pub(crate) id: &'static str,
    pub(crate) stage: Stage,
    pub(crate) description: &'static str,
    /// Whether components ask for it.
    effective: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Off unless enabled.
    Alpha,
    /// On unless disabled.
    Beta,
}

impl Stage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
        }
    }
}

const fn alpha(id: &'static str, description: &'static str) -> Gate {
    Gate { id, stage: Stage::Alpha, description, effective: false }
}

const fn beta(id: &'static str, description: &'static str) -> Gate {
    Gate { id, stage: Stage::Beta, description, effective: false }
}

/// A gate that components ask for.
const fn effective(id: &'static str, description: &'static str) -> Gate {
    Gate { id, stage: Stage::Alpha, description, effective: true }
}

/// The gates, sorted by id.
pub(crate) const GATES: [Gate; 28] = [
    alpha("awsemf.nodimrollupdefault", "awsemf: no dimension rollup unless configured"),
    alpha("confmap.enableMergeAppendOption", "merge lists of components by appending"),
    alpha("exporter.awsemf.DisableLegacyResourceToTelemetryConversion", "awsemf: only included and excluded"),
    alpha("exporter.file.nativeCompression", "file exporter: compressed streams"),
    alpha("extension.healthcheck.useComponentStatus", "health_check: the second version's keys"),
    alpha("filelog.allowFileDeletion", "file_log: delete_after_read"),
    beta("filelog.allowHeaderMetadataParsing", "file_log: header"),
    alpha("filelog.mtimeSortType", "file_log: ordering by time of change"),
    beta("filelog.protobufCheckpointEncoding", "file_log: checkpoints as protobuf"),
    beta("logs.assignKeys", "the assign_keys operator"),
    beta("logs.jsonParserArray", "the json_array_parser operator"),
    effective("metricsgeneration.MatchAttributes", "metricsgeneration: only points whose attributes match"),
    alpha("pdata.useProtoPooling", "reuse of decoded messages"),
    alpha("pkg.exporterhelper.queueBatchEnabled", "batching in the sending queue by default"),
    effective(
        "processor.k8sattributes.DontEmitV0K8sConventions",
        "k8s_attributes: no names of before the stable conventions",
    ),
    effective(
        "processor.k8sattributes.EmitV1K8sConventions",
        "k8s_attributes: the names of the stable conventions",
    ),
    alpha(
        "processor.k8sattributes.ShareProcessorBetweenPipelines",
        "k8s_attributes: one cache for all pipelines; always so here",
    ),
    effective(
        "processor.k8sattributes.telemetry.disableOldFormatMetrics",
        "k8s_attributes: no metrics otelcol_otelsvc_k8s_…",
    ),
    effective(
        "processor.k8sattributes.telemetry.enableNewFormatMetrics",
        "k8s_attributes: metrics otelcol.k8s.watcher.…",
    ),
    alpha(
        "receiver.awscontainerinsightreceiver.useNewTypeName",
        "the type awscontainerinsight; always accepted here",
    ),
    alpha("receiverhelper.newReceiverMetrics", "receiver_failed and receiver_requests"),
    alpha("service.AllowNoPipelines", "a service without pipelines"),
    alpha("service.partialReload", "restart only what a reload changed"),
    beta("service.partialReloadReceivers", "restart only receivers"),
    alpha("service.profilesSupport", "the signal profiles"),
    alpha("stanza.synchronousLogEmitter", "stanza: no batching of its own"),
    alpha("telemetry.newPipelineTelemetry", "consumed and produced items of every component"),
    effective("transform.flatten.logs", "transform: flatten_data"),
];

/// Checks the values of `--feature-gates`. Returns those that are on of those that components ask for, and what the user
/// should be warned of.
pub(crate) fn check(values: &[String]) -> Result<(Gates, Vec<String>)> {
    let (mut enabled, mut warnings) = (BTreeSet::new(), Vec::new());
    for value in values.iter().filter(|value| !value.is_empty()) {
        for element in value.split(',') {
            let id = element.strip_prefix(['-', '+']).unwrap_or(element);
            let Some(gate) = GATES.iter().find(|gate| gate.id == id) else {
                let valid: Vec<_> = GATES.iter().map(|gate| gate.id).collect();
                bail!("no such feature gate {id:?}. valid gates: {valid:?}");
            };
            match (gate.effective, element.starts_with('-')) {
                (true, true) => drop(enabled.remove(id)),
                (true, false) => drop(enabled.insert(id)),
                (false, _) => {
                    warnings
                        .push(format!("feature gate {id:?} is known and has no effect in this collector"));
                }
            }
        }
    }
    Ok((Gates::new(enabled), warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_gates_are_accepted_and_unknown_ones_refused() {
        let check = |value: &str, expected: Result<usize, &str>| {
            let got = check(&[value.to_owned()]);
            match expected {
                Ok(warnings) => assert_eq!(got.unwrap().1.len(), warnings),
                Err(start) => assert!(got.unwrap_err().to_string().starts_with(start)),
            }
        };
        check("", Ok(0));
        check("service.AllowNoPipelines,-logs.assignKeys", Ok(2));
        check("bogus", Err(r#"no such feature gate "bogus". valid gates: ["awsemf"#));
        check("logs.assignKeys,", Err(r#"no such feature gate """#));
    }

    #[test]
    fn what_components_ask_for_is_told_to_them() {
        let (v1, old) = (
            "processor.k8sattributes.EmitV1K8sConventions",
            "processor.k8sattributes.telemetry.disableOldFormatMetrics",
        );
        let (gates, warnings) = super::check(&[format!("{v1},+{old}"), format!("-{old}")]).unwrap();
        assert_eq!((gates, warnings.len()), (Gates::new([v1]), 0));
    }

    #[test]
    fn gates_are_sorted() {
        assert!(GATES.is_sorted_by_key(|gate| gate.id.to_ascii_lowercase()));
    }
}
