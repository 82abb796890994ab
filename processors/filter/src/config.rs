//! What users write.

use confmap::Problems;
use ottl::{ErrorMode, Groups};
use pdata::Signal;
use processing::{AttributeConfig, Library, RegexpCache, SeverityNumber};
use serde::Deserialize;

use crate::rules;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What becomes of errors of conditions.
    pub error_mode: ErrorMode,
    /// Which metrics are dropped.
    pub metrics: Metrics,
    /// Which log records are dropped.
    pub logs: Logs,
    /// Which spans are dropped, by lists.
    pub spans: Spans,
    /// Which spans are dropped, by conditions.
    pub traces: Traces,
    /// Conditions on metrics whose paths say their context.
    pub metric_conditions: Groups,
    /// Conditions on log records whose paths say their context.
    pub log_conditions: Groups,
    /// Conditions on spans whose paths say their context.
    pub trace_conditions: Groups,
}

/// Which metrics are dropped.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Others are dropped.
    pub include: Option<MetricCriteria>,
    /// These are dropped.
    pub exclude: Option<MetricCriteria>,
    /// Conditions on resources.
    pub resource: Vec<String>,
    /// Conditions on metrics.
    pub metric: Vec<String>,
    /// Conditions on data points.
    pub datapoint: Vec<String>,
}

/// Which metrics are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MetricCriteria {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted; results of expressions need no cache.
    pub regexp: RegexpCache,
    /// Names.
    pub metric_names: Vec<String>,
    /// Expressions of `match_type: expr`, which is refused.
    pub expressions: Vec<String>,
    /// Attributes of the resource, all of which must match.
    pub resource_attributes: Vec<AttributeConfig>,
}

/// Which log records are dropped.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// Others are dropped.
    pub include: Option<LogCriteria>,
    /// These are dropped.
    pub exclude: Option<LogCriteria>,
    /// Conditions on resources.
    pub resource: Vec<String>,
    /// Conditions on log records.
    pub log_record: Vec<String>,
}

/// Which log records are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LogCriteria {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Attributes of the resource, all of which must match.
    pub resource_attributes: Vec<AttributeConfig>,
    /// Attributes of the record, all of which must match.
    pub record_attributes: Vec<AttributeConfig>,
    /// Severities, as the source calls them.
    pub severity_texts: Vec<String>,
    /// The least severity.
    pub severity_number: Option<SeverityNumber>,
    /// Bodies that are strings.
    pub bodies: Vec<String>,
}

/// Which spans are dropped, by lists.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Spans {
    /// Others are dropped.
    pub include: Option<SpanCriteria>,
    /// These are dropped.
    pub exclude: Option<SpanCriteria>,
}

/// Which spans are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SpanCriteria {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted; results of expressions need no cache.
    pub regexp: RegexpCache,
    /// Values of the resource attribute `service.name`.
    pub services: Vec<String>,
    /// Names.
    pub span_names: Vec<String>,
    /// Kinds, as `SPAN_KIND_SERVER`.
    pub span_kinds: Vec<String>,
    /// Attributes of the span, all of which must match.
    pub attributes: Vec<AttributeConfig>,
    /// Attributes of the resource, all of which must match.
    pub resources: Vec<AttributeConfig>,
    /// Instrumentation scopes.
    pub libraries: Vec<Library>,
}

/// Which spans are dropped, by conditions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Traces {
    /// Conditions on resources.
    pub resource: Vec<String>,
    /// Conditions on spans.
    pub span: Vec<String>,
    /// Conditions on events of spans.
    pub spanevent: Vec<String>,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        for signal in Signal::ALL {
            rules::Rules::new(self, signal, problems);
        }
    }
}
