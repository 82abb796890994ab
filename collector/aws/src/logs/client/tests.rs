use std::sync::Mutex;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_cloudwatchlogs::Client as SdkClient;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Region};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use confmap::Secret;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::*;
use crate::SessionConfig;
use crate::testing::{Answer, Asked, Fake, credentials, session};

/// Keeps the SDK's requests.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Vec<Request<Bytes>>>>);

impl HttpConnector for Capture {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (parts, body) = request.try_into_http1x().unwrap().into_parts();
        let body = Bytes::copy_from_slice(body.bytes().unwrap());
        self.0.lock().unwrap().push(Request::from_parts(parts, body));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::from("{}"))))
    }
}

/// What the SDK sends for the four operations.
async fn oracle(token: Option<&str>) -> Vec<Request<Bytes>> {
    let capture = Capture::default();
    let connector = SharedHttpConnector::new(capture.clone());
    let sdk = SdkClient::from_conf(
        aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-north-1"))
            .endpoint_url("http://127.0.0.1:4566")
            .credentials_provider(credentials(token, None))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build(),
    );
    let event = InputLogEvent::builder().timestamp(7).message("a \"b\"\né").build().unwrap();
    sdk.put_log_events().log_group_name("g").log_stream_name("s").log_events(event).send().await.unwrap();
    sdk.create_log_group().log_group_name("g").tags("k", "v").send().await.unwrap();
    sdk.create_log_stream().log_group_name("g").log_stream_name("s").send().await.unwrap();
    sdk.put_retention_policy().log_group_name("g").retention_in_days(7).send().await.unwrap();
    let kept = std::mem::take(&mut *capture.0.lock().unwrap());
    assert_eq!(kept.len(), 4);
    kept
}

fn put_body() -> PutBody {
    let pieces = [
        "{\"logEvents\":[",
        "{\"message\":\"a \\\"b\\\"\\né\",\"timestamp\":7}",
        "],\"logGroupName\":\"g\",\"logStreamName\":\"s\"}",
    ];
    PutBody { pieces: pieces.map(|piece| Bytes::from_static(piece.as_bytes())).to_vec() }
}

async fn client(config: &SessionConfig, url: &str, token: Option<&str>) -> (Client, Host) {
    let host = Host::standalone();
    let provider = SharedCredentialsProvider::new(credentials(token, None));
    let session = session(config, url, provider).await;
    (Client::start(&session, &host, "test", "otelcol-insights/1.2.3 (awsemf)").await.unwrap(), host)
}

fn ok(body: &str) -> Answer {
    (200, "content-type: application/x-amz-json-1.1\r\n", body.to_owned())
}

/// The time of an `x-amz-date` header.
fn time(date: &str) -> SystemTime {
    let (day, second) = (&date[..8], &date[9..15]);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &day[..4],
        &day[4..6],
        &day[6..],
        &second[..2],
        &second[2..4],
        &second[4..]
    );
    let format = aws_smithy_types::date_time::Format::DateTime;
    aws_smithy_types::DateTime::from_str(&iso, format).unwrap().try_into().unwrap()
}

#[tokio::test]
async fn signatures_are_those_of_the_sdk() {
    for token in [None, Some("session+token/=")] {
        for theirs in oracle(token).await {
            let then = time(theirs.headers()["x-amz-date"].to_str().unwrap());
            let signed =
                theirs.headers()["authorization"].to_str().unwrap().split_once("SignedHeaders=").unwrap().1;
            let signed: Vec<_> = signed.split_once(',').unwrap().0.split(';').collect();
            let mut ours = Request::post(theirs.uri()).body(()).unwrap();
            for (name, value) in theirs.headers() {
                let of_signing =
                    ["x-amz-date", "x-amz-security-token", "authorization"].contains(&name.as_str());
                if !of_signing && signed.contains(&name.as_str()) {
                    ours.headers_mut().insert(name, value.clone());
                }
            }
            let digest = sha256(std::slice::from_ref(theirs.body()));
            sign(&mut ours, digest, SERVICE, "eu-north-1", &credentials(token, None), then).unwrap();
            assert_eq!(ours.headers()["authorization"], theirs.headers()["authorization"]);
            assert_eq!(
                ours.headers().get("x-amz-security-token"),
                theirs.headers().get("x-amz-security-token")
            );
        }
    }
}

#[tokio::test]
async fn requests_say_what_the_sdks_say() {
    let fake = Fake::start(|_| ok("{}"));
    let (client, host) = client(&SessionConfig::default(), &fake.url(), Some("t")).await;
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    client.put_events(&put_body()).await.unwrap();
    client.create_group("g", Some(&tags)).await.unwrap();
    client.create_stream("g", "s").await.unwrap();
    client.put_retention("g", 7).await.unwrap();
    let theirs = oracle(Some("t")).await;
    let asked = fake.asked();
    assert_eq!(asked.len(), 4);
    for (ours, theirs) in asked.iter().zip(&theirs) {
        assert_eq!(ours.line, "POST / HTTP/1.1");
        for name in ["content-type", "x-amz-target", "x-amz-security-token"] {
            assert_eq!(ours.header(name).unwrap(), theirs.headers()[name].to_str().unwrap());
        }
        let body: Value = serde_json::from_str(&ours.body).unwrap();
        assert_eq!(body, serde_json::from_slice::<Value>(theirs.body()).unwrap());
        assert_eq!(ours.header("user-agent"), Some("otelcol-insights/1.2.3 (awsemf)"));
        assert_eq!(ours.header("x-amzn-logs-format"), Some("json/emf"));
        let authorization = ours.header("authorization").unwrap();
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target;x-amzn-logs-format,";
        assert!(authorization.contains(signed), "{authorization}");
        assert!(authorization.contains("/eu-north-1/logs/aws4_request"), "{authorization}");
    }
    client.shutdown().await;
    assert_eq!(host.tasks().names(), Vec::<String>::new());
}

/// Signs what came over the wire again: host, headers and pieces arrived as they were signed.
#[tokio::test]
async fn what_arrives_is_what_was_signed() {
    let fake = Fake::start(|_| ok(""));
    let (client, _host) = client(&SessionConfig::default(), &fake.url(), None).await;
    client.put_events(&put_body()).await.unwrap();
    let [asked] = &fake.asked()[..] else { panic!("one request") };
    let mut again = Request::post(format!("http://{}/", asked.header("host").unwrap())).body(()).unwrap();
    for name in ["content-type", "x-amz-target", "x-amzn-logs-format"] {
        again
            .headers_mut()
            .insert(http::HeaderName::from_static(name), asked.header(name).unwrap().parse().unwrap());
    }
    let digest = sha256(&[Bytes::from(asked.body.clone())]);
    let then = time(asked.header("x-amz-date").unwrap());
    sign(&mut again, digest, SERVICE, "eu-north-1", &credentials(None, None), then).unwrap();
    assert_eq!(again.headers()["authorization"], asked.header("authorization").unwrap());
}

#[tokio::test]
async fn an_answer_tells_what_was_not_kept() {
    let info = json!({"nextSequenceToken": "1", "rejectedLogEventsInfo": {"tooNewLogEventStartIndex": 3, "tooOldLogEventEndIndex": 1}});
    let fake = Fake::start(move |_| ok(&info.to_string()));
    let (client, _host) = client(&SessionConfig::default(), &fake.url(), None).await;
    let expected = RejectedInfo { too_old_end: Some(1), too_new_start: Some(3), expired_end: None };
    assert_eq!(client.put_events(&put_body()).await, Ok(expected));
}

#[tokio::test]
async fn one_attempt_each() {
    let fake = Fake::start(|_| (500, "", "<html>".into()));
    let (client, _host) = client(&SessionConfig::default(), &fake.url(), None).await;
    let error = client.create_stream("g", "s").await.unwrap_err();
    assert_eq!(
        error,
        LogsError::Unavailable("the service answers with status 500 Internal Server Error".into())
    );
    assert_eq!(fake.asked().len(), 1);
}

/// Gives new credentials each time, without an end.
#[derive(Debug, Default)]
struct Numbered(std::sync::atomic::AtomicU32);

impl aws_credential_types::provider::ProvideCredentials for Numbered {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let credentials = Credentials::new(format!("KEY{number}"), "secret", None, None, "test");
        aws_credential_types::provider::future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn refused_credentials_are_dropped_and_clocks_compared() {
    let fake = Fake::start(|asked: &Asked| {
        let authorization = asked.header("authorization").unwrap();
        if authorization.contains("KEY0/") {
            // A service whose clock is far ahead.
            return (
                400,
                "date: Fri, 01 Jan 2100 12:00:00 GMT\r\n",
                json!({"__type": "InvalidSignatureException"}).to_string(),
            );
        }
        let served = authorization.contains("KEY1/2100")
            && asked.header("x-amz-date").unwrap().starts_with("21000101T1");
        if served { ok("{}") } else { (400, "", json!({"__type": "ExpiredTokenException"}).to_string()) }
    });
    let host = Host::standalone();
    let provider = SharedCredentialsProvider::new(Numbered::default());
    let session = session(&SessionConfig::default(), &fake.url(), provider).await;
    let client = Client::start(&session, &host, "test", "ua").await.unwrap();
    let refused = client.create_stream("g", "s").await.unwrap_err();
    assert_eq!(refused, LogsError::Unauthorized("InvalidSignatureException".into()));
    assert_eq!(client.create_stream("g", "s").await, Ok(()));
    assert_eq!(client.create_stream("g", "s").await, Ok(()), "the new ones are kept");
}

#[tokio::test]
async fn a_proxy_reads_what_is_not_encrypted() {
    let proxy = Fake::start(|_| ok("{}"));
    let config = SessionConfig {
        proxy_address: Secret::new(format!("http://user:pass@127.0.0.1:{}", proxy.port)),
        ..SessionConfig::default()
    };
    let (client, _host) = client(&config, "http://logs.test", None).await;
    client.put_events(&put_body()).await.unwrap();
    let [asked] = &proxy.asked()[..] else { panic!("one request") };
    assert_eq!(asked.line, "POST http://logs.test/ HTTP/1.1");
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(asked.header("host"), Some("logs.test"));
}

#[tokio::test]
async fn a_proxy_passes_on_what_is_encrypted() {
    let proxy = Fake::start(|_| (407, "", String::new()));
    let config = SessionConfig {
        proxy_address: Secret::new(format!("http://u:p@127.0.0.1:{}", proxy.port)),
        ..SessionConfig::default()
    };
    let (client, _host) = client(&config, "https://logs.test", None).await;
    let error = client.put_events(&put_body()).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("proxy refuses the connection"), "{error}");
    let [asked] = &proxy.asked()[..] else { panic!("one request") };
    assert_eq!(asked.line, "CONNECT logs.test:443 HTTP/1.1");
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dTpw"));
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn certificates() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = key.cert.pem();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let fake = Fake::start_tls(config, |_| ok("{}"));
    let url = format!("https://localhost:{}", fake.port);

    let (checking, _host) = client(&SessionConfig::default(), &url, None).await;
    let error = checking.put_events(&put_body()).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("certificate"), "{error}");

    let careless = SessionConfig { no_verify_ssl: true, ..SessionConfig::default() };
    let logs = testkit::LogCapture::begin();
    let (careless, _host) = client(&careless, &url, None).await;
    assert_eq!(careless.put_events(&put_body()).await, Ok(RejectedInfo::default()));
    let warned = logs.messages(tracing::Level::WARN);
    assert_eq!(warned.iter().filter(|text| text.contains("no_verify_ssl")).count(), 1, "{warned:?}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let trusting = SessionConfig {
        certificate_file_path: file.path().to_str().unwrap().to_owned(),
        ..SessionConfig::default()
    };
    let (trusting, _host) = client(&trusting, &url, None).await;
    assert_eq!(trusting.put_events(&put_body()).await, Ok(RejectedInfo::default()));
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn requests_end_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = SessionConfig { request_timeout_seconds: 1, ..SessionConfig::default() };
    let (client, _host) = client(&config, &url, None).await;
    let error = client.create_stream("g", "s").await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("deadline exceeded"), "{error}");
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let (client, _host) = client(&SessionConfig::default(), "http://h", Some("session-token")).await;
    let shown = format!("{client:?}");
    assert_eq!(shown, r#"Client { url: http://h/, region: "eu-north-1", .. }"#);
    assert_eq!(format!("{:?}", put_body()), "PutBody(94 bytes in 3 pieces)");
}
