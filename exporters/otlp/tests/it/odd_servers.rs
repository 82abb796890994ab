//! Answers that no good server gives, and those of servers that are not gRPC's.

use std::net::SocketAddr;

use component::{Code, ConsumeError, Host};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use net::{Encoding, Handler, ServerBody, WholeBody};
use pdata::Signal;
use testkit::LogCapture;

use crate::peer::{Running, direct, serve};

/// Answers every request alike.
#[derive(Clone)]
struct Always {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Handler for Always {
    async fn handle(&self, _: Request<ServerBody>, _: Option<SocketAddr>) -> Response<WholeBody> {
        let body = WholeBody::new(self.body.clone()).with_trailers(self.trailers.clone());
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    fn refuse(&self, _: Request<()>) -> Response<WholeBody> {
        unreachable!("few requests are in progress")
    }
}

fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    headers.collect()
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &len[..], message].concat()
}

async fn send_to(server: Always, more: &str) -> Result<(), ConsumeError> {
    let host = Host::standalone();
    let server = serve(&host, "127.0.0.1:0", None, server).await;
    let running = Running::start(&direct(server.local_address(), more), Signal::Traces).await;
    let result = running.send(testkit::spans(5)).await;
    running.shutdown().await;
    result
}

#[tokio::test]
async fn what_is_no_grpc_goes_by_its_http_status() {
    let check = async |status: u16, permanent: bool, code: Code| {
        let server = Always {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map(&[("content-type", "text/html")]),
            body: b"<html>upstream connect error</html>".to_vec(),
            trailers: HeaderMap::new(),
        };
        let error = send_to(server, "").await.unwrap_err();
        assert_eq!((error.is_permanent(), error.code()), (permanent, code), "{error}");
        assert!(error.to_string().contains(&format!("HTTP status code received from server: {status}")));
    };
    check(503, false, Code::Unavailable).await;
    check(502, false, Code::Unavailable).await;
    check(429, false, Code::Unavailable).await;
    check(404, true, Code::Unimplemented).await;
    check(403, true, Code::PermissionDenied).await;
    check(500, true, Code::Unknown).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_permanent() {
    let check =
        async |body: Vec<u8>, trailers: &[(&'static str, &'static str)], code: Code, expected: &str| {
            let headers = map(&[("content-type", "application/grpc"), ("grpc-encoding", "gzip")]);
            let server = Always { status: StatusCode::OK, headers, body, trailers: map(trailers) };
            let error = send_to(server, "").await.unwrap_err();
            assert_eq!((error.is_permanent(), error.code()), (true, code), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
    let ok = [("grpc-status", "0")];
    let large = "grpc: received message larger than max (4194305 vs. 4194304)";
    check(frame(0, &vec![0; (4 << 20) + 1]), &ok, Code::ResourceExhausted, large).await;
    let bomb = Encoding::Gzip.compress(&vec![0; (4 << 20) + 1], None).unwrap();
    let large = "grpc: received message after decompression larger than max 4194304";
    check(frame(1, &bomb), &ok, Code::ResourceExhausted, large).await;
    let broken = "grpc: failed to decompress the received message: invalid gzip header";
    check(frame(1, b"no gzip at all"), &ok, Code::Internal, broken).await;
    check(frame(0, b""), &[], Code::Unknown, "missing grpc-status").await;
    check(Vec::new(), &ok, Code::Internal, "Missing response message").await;
    check(frame(0, b"").repeat(2), &ok, Code::Internal, "more than one message").await;
}

#[tokio::test]
async fn answers_are_decompressed() {
    for (name, encoding) in
        [("gzip", Encoding::Gzip), ("zstd", Encoding::Zstd), ("snappy", Encoding::SnappyFramed)]
    {
        let server = Always {
            status: StatusCode::OK,
            headers: map(&[("content-type", "application/grpc"), ("grpc-encoding", name)]),
            body: frame(1, &encoding.compress(b"\x0a\x09\x08\x02\x12\x05stale", None).unwrap()),
            trailers: map(&[("grpc-status", "0")]),
        };
        let log = LogCapture::begin();
        send_to(server, &format!(", compression: {name}")).await.unwrap();
        let line = log.find("Partial success response").unwrap();
        assert_eq!((line.field("dropped_spans"), line.field("reason")), ("2", "stale"), "{name}");
    }
}

#[tokio::test]
async fn a_failure_after_a_message_is_a_failure() {
    for encoding in ["identity", "snappy"] {
        let server = Always {
            status: StatusCode::OK,
            headers: map(&[("content-type", "application/grpc"), ("grpc-encoding", encoding)]),
            body: frame(0, b""),
            trailers: map(&[("grpc-status", "14"), ("grpc-message", "going%20away")]),
        };
        let error = send_to(server, "").await.unwrap_err();
        assert_eq!((error.is_permanent(), error.code()), (false, Code::Unavailable), "{encoding}");
        assert!(error.to_string().ends_with("going away"), "{error}");
    }
}
