//! The order in which things start, flow and stop.

use std::time::Duration;

use crate::fakes::{build_info, happened, later, plan, registry};
use ::service::{Service, ServiceError};

async fn start(yaml: &str) -> Result<Service, ServiceError> {
    Service::start(&plan(yaml).unwrap(), &registry(), build_info(), Duration::from_secs(1), None).await
}

#[tokio::test]
async fn data_flows_in_list_order_and_stop_follows_the_data() {
    let service = start(
        "
        receivers: {in: }
        processors: {mid/1: , mid/2: }
        exporters: {out: }
        extensions: {beside: }
        service:
          extensions: [beside]
          pipelines:
            metrics: {receivers: [in], processors: [mid/2, mid/1], exporters: [out]}
        ",
    )
    .await
    .unwrap();
    service.shutdown(later()).await.unwrap();
    let expected = [
        "start beside",
        "start out",
        "start mid/1",
        "start mid/2",
        "start in",
        "2 metrics: mid/2",
        "2 metrics: mid/1",
        "2 metrics: out",
        "ready beside",
        "not ready beside",
        "stop in",
        "stop mid/2",
        "stop mid/1",
        "stop out",
        "stop beside",
    ];
    assert_eq!(happened(), expected);
}

#[tokio::test]
async fn one_receiver_and_one_exporter_serve_several_pipelines() {
    let service = start(
        "
        receivers: {in: }
        processors: {mid: }
        exporters: {out: , out/b: }
        service:
          pipelines:
            metrics: {receivers: [in], processors: [mid], exporters: [out, out/b, out]}
            metrics/2: {receivers: [in, in], exporters: [out]}
            logs: {receivers: [in], exporters: [out]}
        ",
    )
    .await
    .unwrap();
    service.shutdown(later()).await.unwrap();
    let happened = happened();
    let count = |what: &str| happened.iter().filter(|line| *line == what).count();
    assert_eq!(count("start in"), 1, "one receiver for all signals");
    assert_eq!(count("start out"), 2, "one exporter per signal");
    assert_eq!(count("start mid"), 1, "a processor per pipeline");
    assert_eq!(count("2 metrics: out"), 2, "once through each metrics pipeline");
    assert_eq!(count("2 metrics: out/b"), 1);
    assert_eq!(count("3 logs: out"), 1);
}

#[tokio::test]
async fn what_had_started_is_stopped_when_one_does_not_start() {
    let result = start(
        "
        receivers: {in: {fail_start: true}}
        exporters: {out: }
        service: {pipelines: {logs: {receivers: [in], exporters: [out]}}}
        ",
    )
    .await;
    let error = result.err().unwrap();
    assert_eq!(error.to_string(), r#"cannot start pipelines: failed to start "in" receiver"#);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no luck");
    assert_eq!(happened(), ["start out", "stop in", "stop out"]);
}

#[test]
fn a_signal_that_a_component_does_not_take_is_refused_by_the_dry_build() {
    let plan = plan(
        "
        receivers: {in: }
        exporters: {metrics_only: }
        service: {pipelines: {traces: {receivers: [in], exporters: [metrics_only]}}}
        ",
    )
    .unwrap();
    let error = plan.dry_build(&registry(), &build_info()).unwrap_err().to_string();
    let expected = "failed to build pipelines: failed to create \"metrics_only\" exporter for data type \"traces\": \
                    telemetry type is not supported";
    assert_eq!(error, expected);
    assert!(happened().is_empty());
}
