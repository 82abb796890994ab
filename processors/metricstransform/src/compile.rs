//! Checks what users write and makes what runs.

use confmap::Problems;

use crate::aggregate::Aggregation;
use crate::config::{Config, OperationConfig, TransformConfig};
use crate::operation::Operation;
use crate::transform::{Action, Text, Transform};

/// All transforms that are free of problems; the others are reported. `version` is what `{{version}}` stands for.
pub(crate) fn transforms(config: &Config, version: &str, problems: &mut Problems) -> Vec<Transform> {
    problems.at("transforms", |problems| {
        let transforms = config.transforms.iter().enumerate();
        transforms
            .filter_map(|(index, config)| {
                problems.index(index, |problems| transform(config, version, problems))
            })
            .collect()
    })
}

fn transform(config: &TransformConfig, version: &str, problems: &mut Problems) -> Option<Transform> {
    let before = problems.len();
    if config.include.is_empty() {
        problems.report("missing required field \"include\"");
    }
    let regexp = match config.match_type.as_str() {
        "" | "strict" => false,
        "regexp" => true,
        _ => {
            problems.report("\"match_type\" must be in [strict regexp]");
            false
        }
    };
    if !matches!(config.submatch_case.as_str(), "" | "lower" | "upper") {
        problems.report("\"submatch_case\" must be in [lower upper]");
    }
    let mut text = |key: &str, text: &str| match regexp.then(|| helper::go_regex(text)) {
        None => Some(Text::Exactly(text.to_owned())),
        Some(Ok(pattern)) => Some(Text::Pattern(pattern)),
        Some(Err(error)) => {
            problems.report(format!("\"{key}\", {error}"));
            None
        }
    };
    let name = text("include", &config.include);
    let labels = config.experimental_match_labels.iter();
    let labels =
        labels.filter_map(|(label, value)| Some((label.clone(), text("experimental_match_labels", value)?)));
    let labels = labels.collect();
    let action = action(config, problems);
    let operations = config.operations.iter().enumerate();
    let operations =
        operations.filter_map(|(index, config)| operation(index + 1, config, version, problems)).collect();
    let transform =
        Transform { name: name?, labels, action: action?, new_name: config.new_name.clone(), operations };
    (problems.len() == before).then_some(transform)
}

fn action(config: &TransformConfig, problems: &mut Problems) -> Option<Action> {
    let mut need = |missing: bool, field: &str| {
        if missing {
            problems
                .report(format!("missing required field \"{field}\" while \"action\" is {}", config.action));
        }
    };
    match config.action.as_str() {
        "update" => Some(Action::Update),
        "insert" => {
            need(config.new_name.is_empty(), "new_name");
            Some(Action::Insert)
        }
        "combine" => {
            need(config.new_name.is_empty(), "new_name");
            need(config.aggregation_type.is_empty(), "aggregation_type");
            aggregation(&config.aggregation_type, problems).map(Action::Combine)
        }
        "group" => {
            need(config.group_resource_labels.is_empty(), "group_resource_labels");
            let labels = config.group_resource_labels.iter();
            Some(Action::Group(labels.map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        _ => {
            problems.report("\"action\" must be in [insert update combine group]");
            None
        }
    }
}

fn aggregation(name: &str, problems: &mut Problems) -> Option<Aggregation> {
    let aggregation = Aggregation::named(name);
    if aggregation.is_none() && !name.is_empty() {
        problems.report("\"aggregation_type\" must be in [sum mean min max median count]");
    }
    aggregation
}

fn operation(
    number: usize,
    config: &OperationConfig,
    version: &str,
    problems: &mut Problems,
) -> Option<Operation> {
    let before = problems.len();
    let action = config.action.as_str();
    let mut need = |missing: bool, field: &str| {
        if missing {
            let message = format!(
                "operation {number}: missing required field \"{field}\" while \"action\" is {action}"
            );
            problems.report(message);
        }
    };
    match action {
        "update_label" => need(config.label.is_empty(), "label"),
        "add_label" => {
            need(config.new_label.is_empty(), "new_label");
            need(config.new_value.is_empty(), "new_value");
        }
        "delete_label_value" | "aggregate_label_values" => need(config.label.is_empty(), "label"),
        "experimental_scale_value" => need(config.experimental_scale == 0.0, "experimental_scale"),
        _ => {}
    }
    let (label, new_value) = (config.label.clone(), config.new_value.clone());
    let operation = match action {
        "add_label" => Operation::AddLabel {
            label: config.new_label.clone(),
            value: new_value.replace("{{version}}", version),
        },
        "update_label" => Operation::UpdateLabel {
            label,
            new_label: config.new_label.clone(),
            values: config
                .value_actions
                .iter()
                .map(|pair| (pair.value.clone(), pair.new_value.clone()))
                .collect(),
        },
        "delete_label_value" => Operation::DeleteLabelValue { label, value: config.label_value.clone() },
        "toggle_scalar_data_type" => Operation::ToggleScalarDataType,
        "experimental_scale_value" => Operation::ScaleValue(config.experimental_scale),
        "aggregate_labels" => Operation::AggregateLabels {
            kept: config.label_set.clone(),
            aggregation: required_aggregation(number, config, problems)?,
        },
        "aggregate_label_values" => Operation::AggregateLabelValues {
            label,
            values: config.aggregated_values.clone(),
            new_value,
            aggregation: required_aggregation(number, config, problems)?,
        },
        _ => {
            problems.report(format!(
                "operation {number}: \"action\" must be in [add_label update_label delete_label_value toggle_scalar_data_type \
                 experimental_scale_value aggregate_labels aggregate_label_values]"
            ));
            return None;
        }
    };
    (problems.len() == before).then_some(operation)
}

fn required_aggregation(
    number: usize,
    config: &OperationConfig,
    problems: &mut Problems,
) -> Option<Aggregation> {
    let aggregation = Aggregation::named(&config.aggregation_type);
    if aggregation.is_none() {
        problems.report(format!(
            "operation {number}: \"aggregation_type\" must be in [sum mean min max median count]"
        ));
    }
    aggregation
}
