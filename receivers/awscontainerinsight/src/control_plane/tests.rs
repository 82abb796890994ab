//! Scrapes of an API server made of answers.

use std::fmt::Write as _;
use std::time::Duration;

use component::Host;
use k8s::{ApiServer, ApiServerConfig};
use pdata::Batch;
use pdata::metrics::{Data, resources};
use testkit::{FakeApiServer, Fault};
use tokio::time::{sleep, timeout};

use super::families::is_wanted;
use super::scrape::ScrapeError;
use super::{ControlPlane, Exposed, Latest};
use crate::pods::test_machine::identity;
use crate::record::Records;

const EXPOSED: &str = include_str!("../../testdata/apiserver.metrics");
const EVERY: Duration = Duration::from_millis(20);

async fn control_plane(server: &FakeApiServer) -> ControlPlane {
    let api = ApiServer::new(ApiServerConfig::new(server.url().parse().unwrap())).unwrap();
    ControlPlane::new(api, ("10.100.0.1".to_owned(), "443".to_owned()), EVERY)
}

/// What the next scrape brings.
async fn next(latest: &Latest) -> Result<Batch, ScrapeError> {
    let taken = async {
        loop {
            match latest.take() {
                Some(scraped) => break scraped,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let scraped = timeout(Duration::from_secs(20), taken).await.unwrap()?;
    let mut records = Records::default();
    scraped.write(&identity(), &mut records);
    Ok(records.take())
}

/// A point per line, without what all have in common.
fn lines(batch: &Batch) -> String {
    let mut text = String::new();
    for resource in resources(batch) {
        for attribute in resource.resource().attributes() {
            let _ = writeln!(text, "{} = {}", attribute.key, attribute.value.as_str().unwrap());
        }
        for metric in resource.scopes().flat_map(|scope| scope.metrics()) {
            let labels = |attributes: pdata::KeyValues<'_>| {
                let shared = ["ClusterName", "NodeName", "Sources", "Type", "Version"];
                let (mut own, mut common) = (Vec::new(), Vec::new());
                for pair in attributes {
                    let text = format!("{}={}", pair.key, pair.value.as_str().unwrap());
                    if shared.contains(&pair.key) { common.push(text) } else { own.push(text) }
                }
                let expected = [
                    "ClusterName=demo",
                    "NodeName=node-1",
                    r#"Sources=["apiserver"]"#,
                    "Type=ControlPlane",
                    "Version=0",
                ];
                assert_eq!(common, expected);
                own.join(",")
            };
            assert_eq!(metric.unit, "");
            let _ = writeln!(text, "{}: {}", metric.name, metric.description);
            match metric.data {
                Data::Gauge(points) => {
                    for point in points.numbers() {
                        assert_eq!(point.start_time_unix_nano, 0);
                        let _ = writeln!(
                            text,
                            "  gauge {{{}}} {:?}",
                            labels(point.attributes()),
                            point.value.unwrap()
                        );
                    }
                }
                Data::Sum { points, monotonic, .. } => {
                    assert!(monotonic);
                    for point in points.numbers() {
                        assert!(point.start_time_unix_nano > 0);
                        let _ = writeln!(
                            text,
                            "  sum {{{}}} {:?}",
                            labels(point.attributes()),
                            point.value.unwrap()
                        );
                    }
                }
                Data::Histogram { points, .. } => {
                    for point in points.histograms() {
                        assert!(point.start_time_unix_nano > 0);
                        let (bounds, counts): (Vec<_>, Vec<_>) =
                            (point.explicit_bounds().collect(), point.bucket_counts().collect());
                        let _ = writeln!(
                            text,
                            "  histogram {{{}}} {} of {:?} {counts:?} {bounds:?}",
                            labels(point.attributes()),
                            point.count,
                            point.sum,
                        );
                    }
                }
                _ => panic!("{} is something else", metric.name),
            }
        }
    }
    text
}

#[tokio::test]
async fn what_is_scraped_is_passed_on() {
    let server = FakeApiServer::start().await;
    server.answer("/metrics", 200, EXPOSED);
    let (control_plane, latest) = (control_plane(&server).await, Latest::default());
    let scraping = latest.clone();
    let host = Host::standalone();
    let task = host.spawn("scrape", async move {
        control_plane.run(&scraping).await;
    });
    let batch = next(&latest).await.unwrap();
    insta::with_settings!({ snapshot_path => "../../testdata", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("control-plane", lines(&batch));
    });
    let accept = server.requests()[0].header("accept").unwrap().to_owned();
    assert!(accept.starts_with("text/plain"), "{accept}");

    for (fault, expected) in [
        (Fault::Status(403), "may not get /metrics"),
        (Fault::Status(500), "the server answered 500"),
        (Fault::Html, "none of the metrics"),
    ] {
        server.answer("/metrics", 200, "");
        server.fail("/none", fault);
        let (status, body) = match fault {
            Fault::Status(status) => (status, "{}"),
            _ => (200, "<html>"),
        };
        server.answer("/metrics", status, body);
        // The scrape that was under way saw what was before.
        let _ = next(&latest).await;
        let error = next(&latest).await.unwrap_err();
        let words = component::causes(&error);
        assert!(words.contains(expected), "{words}");
    }
    server.answer("/metrics", 200, EXPOSED);
    let _ = next(&latest).await;
    assert!(next(&latest).await.unwrap().items() > 0);
    task.abort();
}

/// The Unix times that the points of two scrapes are counted from.
async fn beginnings(first: &str, second: &str) -> [u64; 2] {
    let server = FakeApiServer::start().await;
    let (control_plane, latest) = (control_plane(&server).await, Latest::default());
    server.answer("/metrics", 200, first);
    let scrape = async { control_plane.run(&latest).await };
    let look = async {
        let mut beginnings = [0; 2];
        for (text, beginning) in [first, second].into_iter().zip(&mut beginnings) {
            server.answer("/metrics", 200, text);
            let _ = next(&latest).await;
            let batch = next(&latest).await.unwrap();
            let resource = resources(&batch).next().unwrap();
            let metric = resource.scopes().flat_map(|scope| scope.metrics()).next().unwrap();
            let Data::Sum { points, .. } = metric.data else { panic!() };
            *beginning = points.numbers().next().unwrap().start_time_unix_nano;
        }
        beginnings
    };
    tokio::select! {
        beginnings = look => beginnings,
        _ = scrape => unreachable!(),
    }
}

#[tokio::test]
async fn counting_begins_anew_with_another_server() {
    let text = |start: u32| {
        format!(
            "# TYPE apiserver_request_total counter\napiserver_request_total 5\nprocess_start_time_seconds {start}\n"
        )
    };
    let [first, second] = beginnings(&text(7), &text(7)).await;
    assert!(first > 0 && first == second);
    let [first, second] = beginnings(&text(7), &text(8)).await;
    assert!(first > 0 && first < second);
}

#[test]
fn wanted_names() {
    fn check(name: &str, expected: bool) {
        assert_eq!(is_wanted(name.as_bytes()), expected, "{name}");
    }
    check("apiserver_request_total", true);
    check("apiserver_request_duration_seconds", true);
    check("apiserver_request_duration_seconds_bucket", true);
    check("apiserver_request_duration_seconds_sum", true);
    check("rest_client_request_duration_seconds_count", true);
    check("apiserver_request_duration_seconds_total", false);
    check("apiserver_request_sli_duration_seconds_bucket", false);
    check("apiserver_request_total_bucket", false);
    check("etcd_db_total_size_in_bytes", true);
    check("workqueue_depth", false);
    check("", false);
}

/// The points of a text, fed in parts of `step` bytes, and how many lines and points were left out.
fn read(text: &str, step: usize) -> (usize, u64) {
    let (mut exposed, mut reader) = (Exposed::default(), helper::exposition::Reader::default());
    for part in text.as_bytes().chunks(step) {
        exposed.feed(&mut reader, part);
    }
    exposed.finish(&mut reader);
    (exposed.len(), exposed.left_out())
}

#[test]
fn what_makes_no_sense_is_left_out() {
    const TYPE: &str = "# TYPE etcd_request_duration_seconds histogram\n";
    fn check(samples: &[&str], points: usize, left_out: u64) {
        let lines: Vec<_> =
            samples.iter().map(|sample| format!("etcd_request_duration_seconds_{sample}\n")).collect();
        let text = format!("{TYPE}{}", lines.concat());
        for step in [1, 7, 10_000] {
            assert_eq!(read(&text, step), (points, left_out), "{text}");
        }
    }
    check(&["bucket{le=\"1\"} 2", "bucket{le=\"+Inf\"} 3", "sum 1", "count 3"], 1, 0);
    check(&["sum 1", "count 3"], 1, 0);
    // Of a histogram that is not complete, nothing.
    check(&["bucket{le=\"1\"} 2", "sum 1"], 0, 1);
    check(&["bucket{le=\"1\"} 2", "count 2"], 0, 1);
    // Buckets that go down, or are more than all; bounds that are no numbers or in disorder; counts below zero.
    check(&["bucket{le=\"1\"} 2", "bucket{le=\"2\"} 1", "sum 1", "count 3"], 0, 1);
    check(&["bucket{le=\"1\"} 4", "sum 1", "count 3"], 0, 1);
    check(&["bucket{le=\"x\"} 1", "sum 1", "count 3"], 0, 1);
    check(&["bucket 1", "sum 1", "count 3"], 0, 1);
    check(&["bucket{le=\"2\"} 1", "bucket{le=\"1\"} 1", "sum 1", "count 3"], 0, 1);
    check(&["sum 1", "count -3"], 0, 1);
    check(&["sum 1", "count NaN"], 0, 1);
    check(&["sum 1", "count 1e300"], 0, 1);
    // A sample of the family itself, as of a gauge.
    assert_eq!(read(&format!("{TYPE}etcd_request_duration_seconds 1\n"), 100), (0, 1));
    // Without a type a histogram's parts are nobody's.
    assert_eq!(read("etcd_request_duration_seconds_sum 1\n", 100), (0, 1));
    // Two after one another.
    let two = format!(
        "{TYPE}etcd_request_duration_seconds_sum{{a=\"1\"}} 1\netcd_request_duration_seconds_count{{a=\"1\"}} 1\n\
         etcd_request_duration_seconds_sum{{a=\"2\"}} 1\netcd_request_duration_seconds_count{{a=\"2\"}} 1\n"
    );
    assert_eq!(read(&two, 100), (2, 0));
}

#[test]
fn memory_is_bounded() {
    let mut text = String::from("# TYPE apiserver_request_total counter\n");
    for number in 0..100_010 {
        let _ = writeln!(text, "apiserver_request_total{{code=\"{number}\"}} 1");
    }
    assert_eq!(read(&text, 100_000), (100_000, 10));
}
