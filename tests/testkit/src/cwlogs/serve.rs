//! Connections: answers, and what comes instead of them.

use std::sync::Arc;
use std::{future, io};

use bytes::Bytes;
use component::Host;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::fault::Effect;
use super::state::{Arrival, Refusal};

/// What a proxy answers when it does not reach the service.
const PAGE: &str =
    "<html>\r\n<head><title>Bad Gateway</title></head>\r\n<body>try later</body>\r\n</html>\r\n";
/// An answer that was cut.
const GARBAGE: &str = "{\"nextSequenceToken\": \"49\u{fffd}";

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, host: Host) {
    while let Ok((connection, _)) = listener.accept().await {
        let shared = shared.clone();
        host.spawn("CloudWatch Logs: connection", async move {
            // A client that goes away is no fault of ours.
            let _ = connected(connection, shared).await;
        });
    }
}

async fn connected(connection: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let connection = connection.into_std()?;
    let handle = Arc::new(connection.try_clone()?);
    let service = service_fn(move |request| answer(shared.clone(), handle.clone(), request));
    // A connection that breaks is the client's affair, or asked for by a rule.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(TcpStream::from_std(connection)?), service)
        .await;
    Ok(())
}

/// Ends the connection: what is left of it is closed with a reset.
fn reset(handle: &std::net::TcpStream) -> io::Error {
    let cut = handle.try_clone().and_then(TcpStream::from_std).and_then(|stream| stream.set_zero_linger());
    cut.err().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}

async fn answer(
    shared: Arc<Shared>,
    handle: Arc<std::net::TcpStream>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let arrival = Arrival::new(parts.headers, body);
    let operation = arrival.operation.clone();
    let effect = shared.lock().arrive(&arrival);
    match effect {
        Some(Effect::Error { status, code }) => {
            return Ok(refusal(&operation, Refusal { status, code, message: String::new() }));
        }
        Some(Effect::Html(status)) => return Ok(response(status, "text/html", PAGE.to_owned())),
        Some(Effect::ResetBefore) => return Err(reset(&handle)),
        Some(Effect::Silence) => return future::pending().await,
        _ => {}
    }
    let outcome = shared.lock().execute(arrival);
    match effect {
        Some(Effect::ResetAfter) => return Err(reset(&handle)),
        Some(Effect::NoAnswer) => return future::pending().await,
        Some(Effect::Garbage) => return Ok(response(200, JSON, GARBAGE.to_owned())),
        Some(Effect::Slow(duration)) => tokio::time::sleep(duration).await,
        _ => {}
    }
    let mut done = match outcome {
        Ok(done) => done,
        Err(refused) => return Ok(refusal(&operation, refused)),
    };
    match effect {
        Some(Effect::WithoutToken) => done.token = false,
        Some(Effect::Rejected(info)) => done.rejected = Some(info),
        _ => {}
    }
    done.put.into_iter().for_each(|put| shared.lock().answered(put));
    Ok(response(200, JSON, done.answer().to_string()))
}

/// The type of the service's own answers.
const JSON: &str = "application/x-amz-json-1.1";

fn refusal(operation: &str, refused: Refusal) -> Response<Full<Bytes>> {
    let Refusal { status, code, message } = refused;
    let message = if message.is_empty() { format!("{operation} failed") } else { message };
    response(status, JSON, json!({"__type": code, "message": message}).to_string())
}

fn response(status: u16, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}
