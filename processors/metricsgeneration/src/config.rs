//! What users write.

use confmap::Problems;
use serde::Deserialize;

/// The configuration of the processor.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is made of what, in order.
    pub rules: Vec<Rule>,
}

/// How a metric is made.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// `calculate` of two metrics, or `scale` of one.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first operand.
    pub metric1: String,
    /// The second operand, for `calculate`.
    pub metric2: String,
    /// `add`, `subtract`, `multiply`, `divide` or `percent`; nothing is made without one.
    pub operation: String,
    /// The second operand, for `scale`.
    pub scale_by: f64,
}

/// The compiled form of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generation {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) metric1: String,
    pub(crate) operand: Operand,
    pub(crate) operation: Operation,
}

/// The second operand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Metric(String),
    Number(f64),
}

/// What is done to two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Percent,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.at("rules", |problems| {
            for (index, rule) in self.rules.iter().enumerate() {
                problems.index(index, |problems| rule.validate(problems));
            }
        });
    }
}

impl Rule {
    fn validate(&self, problems: &mut Problems) {
        for (field, text) in [("name", &self.name), ("type", &self.kind), ("metric1", &self.metric1)] {
            if text.is_empty() {
                problems.report(format!("missing required field {field:?}"));
            }
        }
        match self.kind.as_str() {
            "" => {}
            "calculate" if self.metric2.is_empty() => {
                problems.report(r#"missing required field "metric2" for generation type "calculate""#);
            }
            "calculate" => {}
            // Not a number is no number above zero.
            "scale" if self.scale_by.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) => problems
                .report(r#"field "scale_by" required to be greater than 0 for generation type "scale""#),
            "scale" => {}
            _ => problems.report(r#""type" must be in ["calculate" "scale"]"#),
        }
        if !self.operation.is_empty() && Operation::named(&self.operation).is_none() {
            let message = r#""operation" must be in ["add" "divide" "multiply" "percent" "subtract"]"#;
            problems.report(message);
        }
        for (field, metric) in [("metric1", &self.metric1), ("metric2", &self.metric2)] {
            if !self.name.is_empty() && self.name == *metric {
                problems.report(format!(r#"value of field "name" may not match value of field {field:?}"#));
            }
        }
    }

    /// What is done; nothing without an operation.
    pub(crate) fn compile(&self) -> Option<Generation> {
        Some(Generation {
            name: self.name.clone(),
            unit: self.unit.clone(),
            metric1: self.metric1.clone(),
            operand: match self.kind.as_str() {
                "calculate" => Operand::Metric(self.metric2.clone()),
                _ => Operand::Number(self.scale_by),
            },
            operation: Operation::named(&self.operation)?,
        })
    }
}

impl Operation {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "add" => Self::Add,
            "subtract" => Self::Subtract,
            "multiply" => Self::Multiply,
            "divide" => Self::Divide,
            "percent" => Self::Percent,
            _ => return None,
        })
    }

    /// The result; nothing where it would be divided by zero.
    pub(crate) fn apply(self, first: f64, second: f64) -> Option<f64> {
        match self {
            Self::Add => Some(first + second),
            Self::Subtract => Some(first - second),
            Self::Multiply => Some(first * second),
            Self::Divide | Self::Percent if second == 0.0 => None,
            Self::Divide => Some(first / second),
            Self::Percent => Some(first / second * 100.0),
        }
    }
}
