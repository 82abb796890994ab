//! OTLP/HTTP: what is answered to what.

use std::time::Duration;

use component::{Code, ConsumeError, Outputs};
use net::{Encoding, Status};
use pdata::{ClientInfo, Signal};
use testkit::RecordingSink;

use crate::peer::{BOTH, JSON, PROTOBUF, Running, metrics, request};

#[tokio::test]
async fn every_signal_in_both_formats() {
    let running = Running::start().await;
    for (path, batch) in
        [("/v1/metrics", metrics()), ("/v1/logs", testkit::logs(4)), ("/v1/traces", testkit::spans(5))]
    {
        let answer = running.post(path, &[("content-type", PROTOBUF)], batch.to_protobuf()).await;
        assert_eq!((answer.status, &*answer.body), (200, &[0x0a, 0x00][..]), "{path}");
        assert_eq!(answer.header("content-type"), Some(PROTOBUF));
        let answer =
            running.post(path, &[("content-type", "application/json; charset=utf-8")], batch.to_json()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"partialSuccess":{}}"#), "{path}");
        assert_eq!(answer.header("content-type"), Some(JSON));
        let batches = running.sink.batches();
        let [.., first, second] = batches.as_slice() else { panic!("{} batches", batches.len()) };
        assert_eq!(*first, batch, "{path}");
        // JSON may become protobuf in several ways.
        assert_eq!(second.to_json(), batch.to_json(), "{path}");
    }
    let counted = |what: &str, items: &str| {
        running.telemetry.value(&format!("otelcol_receiver_{what}_{items}{{receiver=otlp,transport=http}}"))
    };
    assert_eq!(counted("accepted", "metric_points"), 12.0);
    assert_eq!(counted("accepted", "log_records"), 8.0);
    assert_eq!(counted("accepted", "spans"), 10.0);
    assert_eq!(counted("refused", "spans"), 0.0);
    running.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn every_compression() {
    let running = Running::start().await;
    for encoding in Encoding::ALL {
        let body = encoding.compress(&metrics().to_protobuf(), None).unwrap();
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding.as_str())];
        let answer = running.post("/v1/metrics", &headers, body).await;
        assert_eq!(answer.status, 200, "{encoding}");
    }
    let framed = Encoding::SnappyFramed.compress(&metrics().to_protobuf(), None).unwrap();
    let headers = [("content-type", PROTOBUF), ("content-encoding", "snappy")];
    assert_eq!(running.post("/v1/metrics", &headers, framed).await.status, 200);
    assert!(running.sink.batches().iter().all(|batch| *batch == metrics()));
    assert_eq!(running.sink.calls(), Encoding::ALL.len() + 1);
}

#[tokio::test]
async fn requests_without_items_do_not_reach_the_pipeline() {
    let running = Running::start().await;
    let check = async |content_type: &str, body: &'static [u8], status: u16| {
        let answer = running.post("/v1/logs", &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, status, "{content_type} {body:?}");
        answer
    };
    check(PROTOBUF, b"", 200).await;
    check(PROTOBUF, b"\x0a\x00", 200).await;
    check(JSON, b"{}", 200).await;
    check(JSON, br#"{"resourceLogs":[]}"#, 200).await;
    let empty = check(JSON, b"", 400).await;
    assert!(empty.text().starts_with(r#"{"code":3, "message":""#), "{}", empty.text());
    assert_eq!(running.sink.calls(), 0);
    assert!(running.telemetry.values().is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_as_what_it_is() {
    let permanent = |code| ConsumeError::Permanent { reason: "no".into(), code };
    let passing = |code, after| ConsumeError::Retryable { reason: "later".into(), code, after };
    let wait = Some(Duration::from_millis(2900));
    for (error, status, code, retry_after) in [
        (permanent(None), 500, 13, None),
        (passing(None, None), 503, 14, None),
        (passing(None, wait), 503, 14, Some("2")),
        (passing(Some(Code::ResourceExhausted), wait), 429, 8, Some("2")),
        (passing(Some(Code::Internal), wait), 500, 13, None),
        (permanent(Some(Code::ResourceExhausted)), 429, 8, None),
        (permanent(Some(Code::Unimplemented)), 404, 12, None),
        (permanent(Some(Code::Unauthenticated)), 401, 16, None),
        (permanent(Some(Code::PermissionDenied)), 403, 7, None),
    ] {
        let running = Running::start().await;
        running.sink.refuse(Some(error.clone()));
        let json = running.post("/v1/traces", &[("content-type", JSON)], testkit::spans(2).to_json()).await;
        assert_eq!((json.status, json.header("retry-after")), (status, retry_after), "{error:?}");
        assert!(
            json.text().starts_with(&format!(r#"{{"code":{code}, "message":"{error}""#)),
            "{}",
            json.text()
        );
        let proto =
            running.post("/v1/traces", &[("content-type", PROTOBUF)], testkit::spans(2).to_protobuf()).await;
        assert_eq!(proto.status, status);
        let body = Status::from_protobuf(&proto.body).unwrap();
        assert_eq!(
            (body.code as u16, body.message, body.retry_after),
            (code, error.to_string(), error.retry_after())
        );
        let refused = "otelcol_receiver_refused_spans{receiver=otlp,transport=http}";
        assert_eq!(running.telemetry.value(refused), 4.0);
        running.sink.refuse(None);
        running.still_works().await;
    }
}

#[tokio::test]
async fn a_signal_without_pipeline_is_not_found() {
    let sink = RecordingSink::new();
    let mut outputs = Outputs::default();
    outputs.set(Signal::Metrics, sink.clone());
    let running = Running::with_outputs(BOTH, outputs, sink).await;
    let answer =
        running.post("/v1/logs", &[("content-type", PROTOBUF)], testkit::logs(1).to_protobuf()).await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"));
    running.still_works().await;
}

#[tokio::test]
async fn paths_may_be_changed() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', logs_url_path: custom/logs}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let headers = [("content-type", PROTOBUF)];
    let body = testkit::logs(1).to_protobuf();
    assert_eq!(running.post("/custom/logs", &headers, body.clone()).await.status, 200);
    assert_eq!(running.post("/v1/logs", &headers, body).await.status, 404);
    running.still_works().await;
}

#[tokio::test]
async fn unclean_paths_are_redirected() {
    let running = Running::start().await;
    let answer = running.post("//v1/logs?a=b", &[("content-type", PROTOBUF)], "").await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("/v1/logs?a=b")));
}

#[tokio::test]
async fn the_client_goes_with_the_data() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let headers = [("content-type", PROTOBUF), ("X-Tenant", "a"), ("x-tenant", "b")];
    running.post("/v1/metrics", &headers, metrics().to_protobuf()).await;
    let client: ClientInfo = (**running.sink.batches()[0].client().unwrap()).clone();
    assert!(client.address.unwrap().ip().is_loopback());
    let get = |name: &str| {
        client.metadata.iter().find(|(known, _)| known == name).map(|(_, values)| values.join(","))
    };
    assert_eq!(get("x-tenant").as_deref(), Some("a,b"));
    assert_eq!(get("host").as_deref(), Some("localhost"));

    let running = Running::start().await;
    running.post("/v1/metrics", &headers, metrics().to_protobuf()).await;
    let client = running.sink.batches()[0].client().unwrap().clone();
    assert!(client.address.is_some() && client.metadata.is_empty());
}

#[tokio::test]
async fn cors_and_response_headers() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', response_headers: {X-Own: yes}, \
                cors: {allowed_origins: ['https://*.example.com'], allowed_headers: [X-Tenant], max_age: 60}}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-tenant,content-type"),
        ];
        request(running.http(), "OPTIONS", "/v1/traces", &headers, "").await
    };
    let allowed = preflight("https://www.example.com").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://www.example.com"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("x-tenant,content-type"));
    assert_eq!(allowed.header("access-control-max-age"), Some("60"));
    assert_eq!(allowed.header("x-own"), Some("yes"));
    let denied = preflight("https://example.org").await;
    assert_eq!((denied.status, denied.header("access-control-allow-origin")), (204, None));
    assert!(denied.header("vary").unwrap().starts_with("Origin"));

    let headers = [("content-type", PROTOBUF), ("origin", "https://a.example.com")];
    let answer = running.post("/v1/traces", &headers, testkit::spans(1).to_protobuf()).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example.com"));
    assert_eq!((answer.status, answer.header("x-own")), (200, Some("yes")));
}
