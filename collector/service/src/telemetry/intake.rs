//! Requests on their way to the pipelines, as metrics.

use component::IntakeBudget;
use component::telemetry::PREFIX;
use opentelemetry::metrics::Meter;

/// Registers the metrics of the budget.
pub(super) fn observe(meter: &Meter, intake: &IntakeBudget) {
    let budget = intake.clone();
    meter
        .u64_observable_gauge(format!("{PREFIX}receiver_intake_bytes"))
        .with_description("Bytes reserved for requests that no queue has taken yet")
        .with_unit("By")
        .with_callback(move |observer| observer.observe(budget.bytes() as u64, &[]))
        .build();
    let budget = intake.clone();
    meter
        .u64_observable_counter(format!("{PREFIX}receiver_intake_refused_requests"))
        .with_description("Number of requests refused because too many, or too large ones, were in progress")
        .with_unit("{requests}")
        .with_callback(move |observer| observer.observe(budget.refused(), &[]))
        .build();
}
