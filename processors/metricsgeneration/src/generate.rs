//! Makes metrics of the metrics of one resource.

use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, Sum};

use crate::config::{Generation, Operand};

/// Adds what the rules make of the metrics of a resource, each to the scope of its first operand.
pub(crate) fn run(rules: &[Generation], match_attributes: bool, entry: &mut ResourceMetrics) {
    let metrics = || entry.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    // Rules see what came, and nothing that other rules have made.
    let names: HashSet<String> = metrics().map(|metric| metric.name.clone()).collect();
    let second: HashMap<String, Vec<NumberDataPoint>> = rules
        .iter()
        .filter_map(|rule| match &rule.operand {
            // Of several metrics of one name the last counts.
            Operand::Metric(name) => {
                let points = metrics().rfind(|metric| metric.name == *name).map(points)?;
                Some((name.clone(), points.unwrap_or_default().to_vec()))
            }
            Operand::Number(_) => None,
        })
        .collect();
    for rule in rules {
        if !names.contains(&rule.metric1) {
            tracing::debug!(metric_name = rule.metric1, "Missing first metric");
            continue;
        }
        let operand = match &rule.operand {
            Operand::Number(number) => Second::Number(*number),
            Operand::Metric(name) => match second.get(name) {
                None => {
                    tracing::debug!(metric_name = name, "Missing second metric");
                    continue;
                }
                Some(points) if match_attributes => Second::Points(points),
                Some(points) => Second::Number(points.first().map_or(0.0, number)),
            },
        };
        for scope in &mut entry.scope_metrics {
            let made: Vec<Metric> = scope
                .metrics
                .iter()
                .filter(|metric| metric.name == rule.metric1)
                .filter_map(|metric| generate(rule, metric, operand))
                .collect();
            scope.metrics.extend(made);
        }
    }
}

/// The second operand.
#[derive(Clone, Copy)]
enum Second<'p> {
    Number(f64),
    Points(&'p [NumberDataPoint]),
}

/// The points of a gauge or sum.
fn points(metric: &Metric) -> Option<&[NumberDataPoint]> {
    match &metric.data {
        Some(Data::Gauge(gauge)) => Some(&gauge.data_points),
        Some(Data::Sum(sum)) => Some(&sum.data_points),
        _ => None,
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

/// The metric of a rule; nothing if it would have no points.
fn generate(rule: &Generation, metric: &Metric, second: Second<'_>) -> Option<Metric> {
    let Some(points) = points(metric) else {
        tracing::debug!(
            metric_name = metric.name,
            "Calculations are only supported on gauge or sum metric types"
        );
        return None;
    };
    let mut made = Vec::new();
    for point in points {
        match second {
            Second::Number(second) => made.extend(calculated(rule, point, second)),
            Second::Points(others) => {
                for other in others.iter().filter(|other| match_each_other(point, other)) {
                    made.extend(calculated(rule, point, number(other)).map(|mut point| {
                        other.attributes.iter().for_each(|pair| set(&mut point.attributes, pair));
                        point
                    }));
                }
            }
        }
    }
    let data = match metric.data {
        _ if made.is_empty() => return None,
        Some(Data::Gauge(_)) => Data::Gauge(Gauge { data_points: made }),
        // Nobody says whether the result of a calculation still adds up, or since when: it is as upstream makes it.
        _ => Data::Sum(Sum { data_points: made, ..Sum::default() }),
    };
    Some(Metric { name: rule.name.clone(), unit: rule.unit.clone(), data: Some(data), ..Metric::default() })
}

fn calculated(rule: &Generation, point: &NumberDataPoint, second: f64) -> Option<NumberDataPoint> {
    let Some(value) = rule.operation.apply(number(point), second) else {
        tracing::debug!(metric_name = rule.name, "Divide by zero was attempted while calculating metric");
        return None;
    };
    Some(NumberDataPoint { value: Some(Value::AsDouble(value)), ..point.clone() })
}

/// Whether the attributes that both points have are equal.
fn match_each_other(point: &NumberDataPoint, other: &NumberDataPoint) -> bool {
    point.attributes.iter().all(|pair| {
        let same = other.attributes.iter().find(|other| other.key == pair.key);
        same.is_none_or(|same| same.value == pair.value)
    })
}

fn set(attributes: &mut Vec<KeyValue>, pair: &KeyValue) {
    match attributes.iter_mut().find(|known| known.key == pair.key) {
        Some(known) => known.value = pair.value.clone(),
        None => attributes.push(pair.clone()),
    }
}
