//! What feature gates choose, under upstream's names.

use component::Gates;

/// What feature gates choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gating {
    /// The names of before the stable conventions: `k8s.pod.labels.KEY`, `container.image.tag`.
    pub(crate) v0: bool,
    /// The names of the stable conventions: `k8s.pod.label.KEY`, `container.image.tags`.
    pub(crate) v1: bool,
    /// The metrics `otelcol_otelsvc_k8s_…`.
    pub(crate) old_metrics: bool,
    /// The metrics `otelcol.k8s.watcher.…`.
    pub(crate) new_metrics: bool,
}

impl Gating {
    pub(crate) fn of(gates: &Gates) -> Self {
        let is_enabled = |name: &str| gates.is_enabled(&format!("processor.k8sattributes.{name}"));
        Self {
            v0: !is_enabled("DontEmitV0K8sConventions"),
            v1: is_enabled("EmitV1K8sConventions"),
            old_metrics: !is_enabled("telemetry.disableOldFormatMetrics"),
            new_metrics: is_enabled("telemetry.enableNewFormatMetrics"),
        }
    }
}

impl Default for Gating {
    fn default() -> Self {
        Self::of(&Gates::default())
    }
}
