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
pub(crate) const GATES: [Gate; 80] = [
    alpha("adot.exporter.awscloudwatchlogs", "adds the awscloudwatchlogs exporter; always available here"),
    alpha(
        "adot.exporter.datadogexporter.deprecation",
        "removes an exporter that this collector does not have",
    ),
    alpha(
        "adot.exporter.logzioexporter.deprecation",
        "removes an exporter that this collector does not have",
    ),
    alpha("adot.exporter.sapmexporter.deprecation", "removes an exporter that this collector does not have"),
    alpha(
        "adot.exporter.signalfxexporter.deprecation",
        "removes an exporter that this collector does not have",
    ),
    alpha("adot.extension.file_storage", "adds the file_storage extension; always available here"),
    alpha("adot.receiver.filelog", "adds the filelog receiver, which this collector does not have"),
    alpha("awsemf.nodimrollupdefault", "awsemf: no dimension rollup unless configured"),
    alpha("confmap.enableMergeAppendOption", "merge lists of components by appending"),
    beta(
        "datadog.EnableOperationAndResourceNameV2",
        "the datadog exporter, which this collector does not have",
    ),
    beta("datadog.EnableReceiveResourceSpansV2", "the datadog exporter, which this collector does not have"),
    alpha("exporter.awsemf.DisableLegacyResourceToTelemetryConversion", "awsemf: only included and excluded"),
    beta(
        "exporter.awsxray.skiptimestampvalidation",
        "the awsxray exporter, which this collector does not have",
    ),
    beta(
        "exporter.datadogexporter.DisableAllMetricRemapping",
        "the datadog exporter, which this collector does not have",
    ),
    beta(
        "exporter.datadogexporter.DisableAPMStats",
        "the datadog exporter, which this collector does not have",
    ),
    alpha(
        "exporter.datadogexporter.EnableAttributeSliceMultiTagExporting",
        "the datadog exporter, which this collector does not have",
    ),
    alpha(
        "exporter.datadogexporter.InferIntervalForDeltaMetrics",
        "the datadog exporter, which this collector does not have",
    ),
    beta(
        "exporter.datadogexporter.metricexportserializerclient",
        "the datadog exporter, which this collector does not have",
    ),
    beta(
        "exporter.datadogexporter.metricremappingdisabled",
        "the datadog exporter, which this collector does not have",
    ),
    alpha(
        "exporter.datadogexporter.TraceExportUseCustomHTTPClient",
        "the datadog exporter, which this collector does not have",
    ),
    alpha("exporter.file.nativeCompression", "file exporter: compressed streams"),
    beta(
        "exporter.prometheusexporter.DisableAddMetricSuffixes",
        "Prometheus components, which this collector does not have",
    ),
    alpha(
        "exporter.prometheusremotewritexporter.EnableMultipleWorkers",
        "Prometheus components, which this collector does not have",
    ),
    alpha(
        "exporter.prometheusremotewritexporter.enableSendingRW2",
        "Prometheus components, which this collector does not have",
    ),
    alpha(
        "exporter.prometheusremotewritexporter.RetryOn429",
        "Prometheus components, which this collector does not have",
    ),
    alpha(
        "exporter.signalfx.consumeEntityEvents",
        "the signalfx exporter, which this collector does not have",
    ),
    beta("exporter.xray.allowDot", "the awsxray exporter, which this collector does not have"),
    alpha("extension.healthcheck.useComponentStatus", "health_check: the second version's keys"),
    alpha("filelog.allowFileDeletion", "file_log: delete_after_read"),
    beta("filelog.allowHeaderMetadataParsing", "file_log: header"),
    alpha("filelog.mtimeSortType", "file_log: ordering by time of change"),
    beta("filelog.protobufCheckpointEncoding", "file_log: checkpoints as protobuf"),
    alpha("filelog.windows.caseInsensitive", "Windows, where this collector does not run"),
    alpha("filter.filterlog.useOTTLBridge", "matching by translated OTTL conditions; the result is the same"),
    alpha(
        "filter.filtermetric.useOTTLBridge",
        "matching by translated OTTL conditions; the result is the same",
    ),
    alpha(
        "filter.filterspan.useOTTLBridge",
        "matching by translated OTTL conditions; the result is the same",
    ),
    beta(
        "k8sattr.fieldExtractConfigRegex.disallow",
        "k8s_attributes: no `regex` in extraction rules; never accepted here",
    ),
    alpha(
        "k8sattr.labelsAnnotationsSingular.allow",
        "k8s_attributes: enable processor.k8sattributes.EmitV1K8sConventions instead",
    ),
    beta("k8sattr.rfc3339", "k8s_attributes: k8s.pod.start_time in RFC 3339; always so here"),
    beta("logs.assignKeys", "the assign_keys operator"),
    beta("logs.jsonParserArray", "the json_array_parser operator"),
    effective("metricsgeneration.MatchAttributes", "metricsgeneration: only points whose attributes match"),
    beta("ottl.contexts.enableOTelColContext", "OTTL: paths below otelcol"),
    alpha("ottl.functions.enableLambda", "OTTL: functions that take expressions"),
    beta("ottl.PanicDuplicateName", "OTTL: a check of components as they are built"),
    alpha("parser.uri.ecscompliant", "stanza: names of the Elastic Common Schema"),
    alpha("pdata.useProtoPooling", "reuse of decoded messages"),
    alpha("pkg.exporterhelper.queueBatchEnabled", "batching in the sending queue by default"),
    alpha(
        "pkg.translator.prometheus.PermissiveLabelSanitization",
        "Prometheus components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.DontEmitV0CloudResourceConventions",
        "Zipkin components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.DontEmitV0HttpConventions",
        "Zipkin components, which this collector does not have",
    ),
    beta(
        "pkg.translator.zipkin.DontEmitV0NetworkConventions",
        "Zipkin components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.DontEmitV0ScopeConventions",
        "Zipkin components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.EmitV1CloudResourceConventions",
        "Zipkin components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.EmitV1HttpConventions",
        "Zipkin components, which this collector does not have",
    ),
    beta(
        "pkg.translator.zipkin.EmitV1NetworkConventions",
        "Zipkin components, which this collector does not have",
    ),
    alpha(
        "pkg.translator.zipkin.EmitV1ScopeConventions",
        "Zipkin components, which this collector does not have",
    ),
    beta(
        "processor.filter.defaultErrorModeIgnore",
        "filter: `ignore` is the default; set `error_mode: propagate` for the former one",
    ),
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
    beta(
        "processor.resourcedetection.propagateerrors",
        "resource_detection: set `fail_on_error: true` to end the start when a detector fails",
    ),
    alpha(
        "processor.tailsamplingprocessor.metricstatcountbytessampled",
        "the tail_sampling processor, which this collector does not have",
    ),
    alpha(
        "processor.tailsamplingprocessor.metricstatcountspanssampled",
        "the tail_sampling processor, which this collector does not have",
    ),
    alpha(
        "processor.tailsamplingprocessor.recordpolicy",
        "the tail_sampling processor, which this collector does not have",
    ),
    alpha(
        "processor.tailsamplingprocessor.tailstorageextension",
        "the tail_sampling processor, which this collector does not have",
    ),
    alpha(
        "receiver.awscontainerinsightreceiver.useNewTypeName",
        "the type awscontainerinsight; always accepted here",
    ),
    alpha(
        "receiver.prometheusreceiver.EnableCreatedTimestampZeroIngestion",
        "Prometheus components, which this collector does not have",
    ),
    beta(
        "receiver.prometheusreceiver.IgnoreScopeInfoMetric",
        "Prometheus components, which this collector does not have",
    ),
    alpha("receiverhelper.newReceiverMetrics", "receiver_failed and receiver_requests"),
    alpha("service.AllowNoPipelines", "a service without pipelines"),
    alpha("service.partialReload", "restart only what a reload changed"),
    beta("service.partialReloadReceivers", "restart only receivers"),
    alpha("service.profilesSupport", "the signal profiles"),
    alpha("stanza.synchronousLogEmitter", "stanza: no batching of its own"),
    alpha("stanza.windows.eventDrivenScraping", "Windows, where this collector does not run"),
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
                    let description = gate.description;
                    warnings.push(format!(
                        "feature gate {id:?} is known and has no effect in this collector ({description})"
                    ));
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
        check("+adot.receiver.filelog,+adot.exporter.awscloudwatchlogs,+adot.extension.file_storage", Ok(3));
        check("-adot.exporter.logzioexporter.deprecation", Ok(1));
        check("k8sattr.labelsAnnotationsSingular.allow,-processor.filter.defaultErrorModeIgnore", Ok(2));
        check("adot.bogus", Err(r#"no such feature gate "adot.bogus". valid gates: ["adot."#));
        check("bogus", Err(r#"no such feature gate "bogus". valid gates: ["adot."#));
        check("logs.assignKeys,", Err(r#"no such feature gate """#));
    }

    #[test]
    fn the_warning_says_what_the_gate_does_here() {
        let (_, warnings) = super::check(&["adot.extension.file_storage".to_owned()]).unwrap();
        assert_eq!(
            warnings,
            [
                "feature gate \"adot.extension.file_storage\" is known and has no effect in this collector (adds the \
              file_storage extension; always available here)"
            ]
        );
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
