//! Input that no good client sends. Every time the server answers, goes on, and loses nothing.

use bytes::Bytes;
use net::Encoding;
use pdata::Signal;
use testkit::RecordingSink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{JSON, PROTOBUF, Running, export, frame, metrics, request};

const TOO_LARGE_JSON: &str = r#"{"code":3, "message":"http: request body too large"}"#;

/// 50 MiB and more in about 100 KiB, as protobuf that would be well-formed: bytes of an unknown field.
fn bomb(encoding: Encoding) -> Vec<u8> {
    let mut body = vec![0xfa, 0x01, 0x80, 0x80, 0x80, 0x20];
    body.resize(6 + (64 << 20), 0);
    let bomb = encoding.compress(&body, None).unwrap();
    assert!(bomb.len() < 100 << 10, "{}", bomb.len());
    bomb
}

/// A message that nests `depth` times: an attribute with a list of a list of …
fn nested(depth: usize) -> Vec<u8> {
    let message = |field: u8, inner: Vec<u8>| {
        let mut out = vec![field << 3 | 2];
        let mut len = inner.len();
        while len > 0x7f {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(inner);
        out
    };
    let mut value = Vec::new();
    for _ in 0..depth {
        value = message(5, message(1, value));
    }
    let attribute = message(1, [message(1, b"k".to_vec()), message(2, value)].concat());
    message(1, message(1, attribute))
}

/// Posts something bad; it is answered with a status in the request's format.
async fn check_http(
    running: &Running,
    content_type: &str,
    encoding: &str,
    body: impl Into<Bytes>,
    expected: &str,
) {
    let headers = [("content-type", content_type), ("content-encoding", encoding)];
    let answer = running.post("/v1/metrics", &headers, body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some(content_type));
    let message = match content_type {
        JSON => answer.text(),
        _ => net::Status::from_protobuf(&answer.body).unwrap().to_string(),
    };
    assert!(message.contains(expected), "{message}");
    assert_eq!(running.sink.calls(), 0);
    running.still_works().await;
}

async fn check_grpc(running: &Running, encoding: &str, body: &Bytes, status: i32, expected: &str) {
    let calls = running.sink.calls();
    let answer = export(running.grpc(), Signal::Metrics, &[("grpc-encoding", encoding)], body).await;
    assert_eq!((answer.http, answer.status), (200, Some(status)), "{}", answer.message);
    assert!(answer.message.contains(expected), "{}", answer.message);
    assert_eq!(running.sink.calls(), calls);
    running.still_works().await;
}

#[tokio::test]
async fn malformed_protobuf_over_http() {
    let running = Running::start().await;
    check_http(&running, PROTOBUF, "", "\x0a\x7ftruncated", "code = InvalidArgument").await;
}

#[tokio::test]
async fn malformed_protobuf_over_grpc() {
    let running = Running::start().await;
    let body = frame(0, b"\x0a\x7ftruncated");
    check_grpc(&running, "identity", &body, 13, "grpc: error unmarshalling request: ").await;
}

#[tokio::test]
async fn broken_gzip_over_http() {
    let running = Running::start().await;
    check_http(&running, PROTOBUF, "gzip", "no gzip at all", "gzip: invalid header").await;
    let running = Running::start().await;
    let mut body = Encoding::Gzip.compress(&metrics().to_protobuf(), None).unwrap();
    body.truncate(body.len() / 2);
    check_http(&running, PROTOBUF, "gzip", body, "unexpected EOF").await;
}

#[tokio::test]
async fn broken_gzip_over_grpc() {
    let running = Running::start().await;
    let body = frame(1, b"no gzip at all");
    let expected = "grpc: failed to decompress the received message: invalid gzip header";
    check_grpc(&running, "gzip", &body, 13, expected).await;
}

#[tokio::test]
async fn a_gzip_bomb_over_http() {
    let running = Running::start().await;
    check_http(&running, JSON, "gzip", bomb(Encoding::Gzip), TOO_LARGE_JSON).await;
}

#[tokio::test]
async fn a_zstd_bomb_over_http() {
    let running = Running::start().await;
    check_http(&running, JSON, "zstd", bomb(Encoding::Zstd), TOO_LARGE_JSON).await;
}

#[tokio::test]
async fn a_gzip_bomb_over_grpc() {
    let running = Running::start().await;
    let expected = "grpc: received message after decompression larger than max 4194304";
    check_grpc(&running, "gzip", &frame(1, &bomb(Encoding::Gzip)), 8, expected).await;
}

#[tokio::test]
async fn a_zstd_bomb_over_grpc() {
    let running = Running::start().await;
    let expected = "grpc: received message after decompression larger than max 4194304";
    check_grpc(&running, "zstd", &frame(1, &bomb(Encoding::Zstd)), 8, expected).await;
}

#[tokio::test]
async fn a_body_of_100_mb() {
    let running = Running::start().await;
    // Announced: refused before it is sent.
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 104857600\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("http: request body too large"),
        "{answer}"
    );
    drop(stream);
    running.still_works().await;

    // Not announced: refused at the limit.
    let mut stream = TcpStream::connect(running.http()).await.unwrap();
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    let mut written = 0;
    // The server stops reading; the write fails when it closes.
    while written < 100 && stream.write_all(&chunk).await.is_ok() {
        written += 1;
    }
    assert!((20..100).contains(&written), "{written} MiB were taken");
    running.still_works().await;
}

#[tokio::test]
async fn a_body_of_21_mib_is_told_so() {
    let running = Running::start().await;
    check_http(&running, JSON, "", vec![b' '; 21 << 20], TOO_LARGE_JSON).await;
}

#[tokio::test]
async fn a_body_at_the_limit() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', max_request_body_size: 1000}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let body = |len: usize| {
        let mut json = b"{}".to_vec();
        json.resize(len, b' ');
        json
    };
    for encoding in ["", "gzip"] {
        let headers = [("content-type", JSON), ("content-encoding", encoding)];
        let post = async |len: usize| {
            let body = match encoding {
                "" => body(len),
                _ => Encoding::Gzip.compress(&body(len), None).unwrap(),
            };
            running.post("/v1/metrics", &headers, body).await.status
        };
        assert_eq!((post(1000).await, post(1001).await), (200, 400), "{encoding:?}");
    }
    running.still_works().await;
}

#[tokio::test]
async fn deep_nesting_over_http() {
    let running = Running::start().await;
    check_http(&running, PROTOBUF, "", nested(10_000), "code = InvalidArgument").await;
    let running = Running::start().await;
    let depth = 100_000;
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"k","value":{}{}}}]}}}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(depth),
        "]}}".repeat(depth)
    );
    check_http(&running, JSON, "", json, r#"{"code":3, "message":""#).await;
}

#[tokio::test]
async fn deep_nesting_over_grpc() {
    let running = Running::start().await;
    check_grpc(&running, "identity", &frame(0, &nested(10_000)), 13, "error unmarshalling").await;
}

#[tokio::test]
async fn invalid_utf8() {
    // A resource with an attribute of the key FF FE.
    let body = b"\x0a\x08\x0a\x06\x0a\x04\x0a\x02\xff\xfe";
    let running = Running::start().await;
    check_http(&running, PROTOBUF, "", &body[..], "UTF-8").await;
    let running = Running::start().await;
    check_grpc(&running, "identity", &frame(0, body), 13, "UTF-8").await;
    let running = Running::start().await;
    check_http(&running, JSON, "", &b"{\"resourceMetrics\":[{\"schemaUrl\":\"\xff\"}]}"[..], r#"{"code":3"#)
        .await;
}

#[tokio::test]
async fn truncated_json() {
    let running = Running::start().await;
    let json = metrics().to_json();
    check_http(&running, JSON, "", json[..json.len() - 5].to_vec(), r#"{"code":3, "message":""#).await;
}

#[tokio::test]
async fn a_wrong_content_type() {
    let running = Running::start().await;
    for headers in [&[("content-type", "text/html")][..], &[]] {
        let answer = running.post("/v1/metrics", headers, metrics().to_protobuf()).await;
        assert_eq!((answer.status, answer.header("content-type")), (415, Some("text/plain")));
        let expected = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
        assert_eq!(answer.text(), expected);
    }
    // A server of HTTP/2 alone ends a connection of HTTP/1.1.
    let mut stream = TcpStream::connect(running.grpc()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    running.still_works().await;
}

#[tokio::test]
async fn an_unknown_path() {
    let running = Running::start().await;
    for path in ["/", "/v1/metrics/", "/v1/profiles", "/v1development/profiles"] {
        let answer = running.post(path, &[("content-type", PROTOBUF)], metrics().to_protobuf()).await;
        assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"), "{path}");
    }
    running.still_works().await;
}

#[tokio::test]
async fn a_wrong_method() {
    let running = Running::start().await;
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let answer = request(running.http(), method, "/v1/metrics", &[("content-type", PROTOBUF)], "").await;
        assert_eq!((answer.status, answer.header("content-type")), (405, Some("text/plain")), "{method}");
        assert_eq!(answer.text(), "405 method not allowed, supported: [POST]");
    }
    running.still_works().await;
}

#[tokio::test]
async fn an_unsupported_encoding_over_http() {
    for encoding in ["br", "identity"] {
        let running = Running::start().await;
        let expected = format!("unsupported Content-Encoding: {encoding}");
        check_http(&running, JSON, encoding, "{}", &expected).await;
        let headers = [("content-type", "text/html"), ("content-encoding", encoding)];
        let answer = running.post("/v1/metrics", &headers, "").await;
        let expected = r#"{"code": 13, "message": "failed to marshal error message"}"#;
        assert_eq!((answer.status, answer.text().as_str()), (500, expected));
    }
}

#[tokio::test]
async fn only_the_configured_encodings() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', compression_algorithms: [gzip]}}";
    let running = Running::with(yaml, RecordingSink::new()).await;
    let plain = running.post("/v1/metrics", &[("content-type", JSON)], "{}").await;
    assert_eq!(plain.status, 400);
    let gzip = Encoding::Gzip.compress(b"{}", None).unwrap();
    let headers = [("content-type", JSON), ("content-encoding", "gzip")];
    assert_eq!(running.post("/v1/metrics", &headers, gzip).await.status, 200);
}

#[tokio::test]
async fn an_unsupported_encoding_over_grpc() {
    let running = Running::start().await;
    let expected = r#"grpc: Decompressor is not installed for grpc-encoding "br""#;
    check_grpc(&running, "br", &frame(1, b"x"), 12, expected).await;
    check_grpc(&running, "identity", &frame(1, b"x"), 13, "compressed-flag but no grpc-encoding").await;
    check_grpc(&running, "gzip", &frame(7, b"x"), 13, "invalid compression flag: 7").await;
}

#[tokio::test]
async fn a_message_of_5_mib_over_grpc() {
    let running = Running::start().await;
    let body = frame(0, &vec![0; 5 << 20]);
    let expected = "grpc: received message larger than max (5242880 vs. 4194304)";
    check_grpc(&running, "identity", &body, 8, expected).await;

    let yaml = "protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 6}}";
    let large = Running::with(yaml, RecordingSink::new()).await;
    let mut message = vec![0xfa, 0x01, 0x80, 0x80, 0xc0, 0x02];
    message.resize(6 + (5 << 20), 0);
    assert_eq!(export(large.grpc(), Signal::Metrics, &[], &frame(0, &message)).await.status, Some(0));
}

#[tokio::test]
async fn frames_that_are_cut_or_too_many() {
    let running = Running::start().await;
    let whole = frame(0, &metrics().to_protobuf());
    check_grpc(&running, "identity", &whole.slice(..whole.len() - 1), 13, "Unexpected EOF").await;
    check_grpc(&running, "identity", &whole.slice(..3), 13, "Unexpected EOF").await;
    check_grpc(&running, "identity", &Bytes::new(), 13, "Missing request message").await;
    let twice = Bytes::from([whole.clone(), whole].concat());
    check_grpc(&running, "identity", &twice, 13, "more than one message").await;
    let whole = frame(1, &Encoding::SnappyFramed.compress(&metrics().to_protobuf(), None).unwrap());
    check_grpc(&running, "snappy", &whole.slice(..whole.len() - 1), 13, "").await;
    check_grpc(&running, "snappy", &whole.slice(..3), 13, "Unexpected EOF").await;
    check_grpc(&running, "snappy", &Bytes::new(), 13, "Missing request message").await;
    check_grpc(&running, "snappy", &Bytes::from([whole.clone(), whole].concat()), 13, "").await;
}

#[tokio::test]
async fn broken_snappy_over_grpc() {
    let running = Running::start().await;
    let expected = "grpc: failed to decompress the received message: snappy";
    check_grpc(&running, "snappy", &frame(1, b"no snappy at all"), 13, expected).await;
    let plain = frame(0, b"\x0a\x7ftruncated");
    check_grpc(&running, "snappy", &plain, 13, "grpc: error unmarshalling request: ").await;
}

#[tokio::test]
async fn a_snappy_bomb_over_grpc() {
    let running = Running::start().await;
    let bomb = Encoding::SnappyFramed.compress(&vec![0; 5 << 20], None).unwrap();
    let expected = "grpc: received message after decompression larger than max 4194304";
    check_grpc(&running, "snappy", &frame(1, &bomb), 8, expected).await;
    let body = frame(1, &vec![0; 5 << 20]);
    check_grpc(&running, "snappy", &body, 8, "grpc: received message larger than max 4194304").await;
}
