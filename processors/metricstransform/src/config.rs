//! What users write.

use std::collections::BTreeMap;

use confmap::Problems;
use serde::Deserialize;

use crate::compile;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is done, in order.
    pub transforms: Vec<TransformConfig>,
}

/// What is done to some metrics.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TransformConfig {
    /// The name of the metrics.
    pub include: String,
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Only points with these labels: texts, or expressions.
    pub experimental_match_labels: BTreeMap<String, String>,
    /// `insert`, `update`, `combine` or `group`.
    pub action: String,
    /// The name afterwards; groups of the expression stand in it as `$1`.
    pub new_name: String,
    /// How points become one: `sum`, `mean`, `min`, `max`, `median`, `count`.
    pub aggregation_type: String,
    /// What the new resource has beside the attributes of the old.
    pub group_resource_labels: BTreeMap<String, String>,
    /// Accepted and not applied, as upstream does: `lower` or `upper`.
    pub submatch_case: String,
    /// What is done to the metric, in order.
    pub operations: Vec<OperationConfig>,
}

/// What is done to a metric.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OperationConfig {
    /// See the README.
    pub action: String,
    /// The label that is changed.
    pub label: String,
    /// Its new name, or the name of a new label.
    pub new_label: String,
    /// The labels that are kept.
    pub label_set: Vec<String>,
    /// The values that become one.
    pub aggregated_values: Vec<String>,
    /// The value of a new label, or of joined ones.
    pub new_value: String,
    /// How points become one.
    pub aggregation_type: String,
    /// How values become others.
    pub value_actions: Vec<ValueAction>,
    /// What values are multiplied with.
    pub experimental_scale: f64,
    /// Points with this value of the label are dropped.
    pub label_value: String,
}

/// A value and what becomes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ValueAction {
    /// The value.
    pub value: String,
    /// What it becomes.
    pub new_value: String,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        compile::transforms(self, "", problems);
    }
}
