//! The processor as the service runs it.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use testkit::contract::ProcessorContract;

/// Nothing is asked of EC2, and nothing is waited for.
#[tokio::test(start_paused = true)]
async fn contract() {
    let contract = ProcessorContract::new(ec2taggerprocessor::factory(), "wait_for_tags: 0s");
    contract.telemetry(&["otelcol_processor_ec2tagger_untagged_metric_points"]).check().await;
}
