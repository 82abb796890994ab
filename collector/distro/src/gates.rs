//! Feature gates. This collector has no behaviour of its own behind a gate; upstream's names are understood, so that
//! command lines written for upstream keep working, and their having no effect is said.

use anyhow::{Result, bail};

/// A gate of upstream's.
pub(crate) struct Gate {
    pub(crate) id: &'static str,
    pub(crate) stage: Stage,
    pub(crate) description: &'static str,
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
    Gate { id, stage: Stage::Alpha, description }
}

const fn beta(id: &'static str, description: &'static str) -> Gate {
    Gate { id, stage: Stage::Beta, description }
}

/// The gates, sorted by id.
pub(crate) const GATES: [Gate; 21] = [
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
    alpha("pdata.useProtoPooling", "reuse of decoded messages"),
    alpha("pkg.exporterhelper.queueBatchEnabled", "batching in the sending queue by default"),
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
];

/// Checks the values of `--feature-gates`. Returns what the user should be warned of.
pub(crate) fn check(values: &[String]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        for element in value.split(',') {
            let id = element.strip_prefix(['-', '+']).unwrap_or(element);
            if !GATES.iter().any(|gate| gate.id == id) {
                let valid: Vec<_> = GATES.iter().map(|gate| gate.id).collect();
                bail!("no such feature gate {id:?}. valid gates: {valid:?}");
            }
            warnings.push(format!("feature gate {id:?} is known and has no effect in this collector"));
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_gates_are_accepted_and_unknown_ones_refused() {
        let check = |value: &str, expected: Result<usize, &str>| {
            let got = check(&[value.to_owned()]);
            match expected {
                Ok(warnings) => assert_eq!(got.unwrap().len(), warnings),
                Err(start) => assert!(got.unwrap_err().to_string().starts_with(start)),
            }
        };
        check("", Ok(0));
        check("service.AllowNoPipelines,-logs.assignKeys", Ok(2));
        check("bogus", Err(r#"no such feature gate "bogus". valid gates: ["awsemf"#));
        check("logs.assignKeys,", Err(r#"no such feature gate """#));
    }

    #[test]
    fn gates_are_sorted() {
        assert!(GATES.is_sorted_by_key(|gate| gate.id.to_ascii_lowercase()));
    }
}
