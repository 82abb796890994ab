//! OTLP/HTTP.

use bytes::Bytes;
use component::Code;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use net::{App, HttpRequest, RequestError, Status, WholeBody, clean_path, otlp, respond};
use pdata::{Batch, Signal};

use crate::config::HttpConfig;
use crate::intake::Intake;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// How bodies of requests and answers are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// The paths of the signals that have pipelines.
pub(crate) struct Paths {
    routes: Vec<(String, Signal)>,
    intake: Intake,
}

impl Paths {
    pub(crate) fn new(config: &HttpConfig, intake: Intake) -> Self {
        let paths = &config.paths;
        let routes = [
            (&paths.traces_url_path, Signal::Traces),
            (&paths.metrics_url_path, Signal::Metrics),
            (&paths.logs_url_path, Signal::Logs),
        ]
        .into_iter()
        .filter(|(_, signal)| intake.takes(*signal))
        .map(|(path, signal)| (path.as_str().to_owned(), signal))
        .collect();
        Self { routes, intake }
    }

    async fn receive(&self, signal: Signal, format: Format, request: HttpRequest) -> Response<WholeBody> {
        let client = net::client_info(
            request.peer,
            &request.parts.headers,
            request.parts.uri.authority().map(|authority| authority.as_str()),
            self.intake.include_metadata,
        );
        let body = match request.read_body().await {
            Ok(body) => body,
            Err(error) => return format.unreadable(&error),
        };
        let batch = match format {
            Format::Protobuf => Batch::from_protobuf(signal, body),
            Format::Json => Batch::from_json(signal, &body),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return format.bad_request(error.to_string()),
        };
        match self.intake.deliver(batch, client).await {
            Ok(()) => format.success(signal),
            Err(status) => format.failure(&status),
        }
    }
}

impl App for Paths {
    async fn handle(&self, request: HttpRequest) -> Response<WholeBody> {
        let path = request.parts.uri.path();
        if let Some(clean) = clean_path(path) {
            return redirect(&request.parts.uri, &clean);
        }
        let Some((_, signal)) = self.routes.iter().find(|(route, _)| route == path) else {
            return not_found();
        };
        if request.parts.method != Method::POST {
            return respond(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "405 method not allowed, supported: [POST]",
            );
        }
        match Format::of(&request.parts.headers) {
            Some(format) => self.receive(*signal, format, request).await,
            None => respond(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                TEXT,
                "415 unsupported media type, supported: [application/json, application/x-protobuf]",
            ),
        }
    }

    fn refuse(&self, request: &Parts, error: &RequestError) -> Response<WholeBody> {
        match Format::of(&request.headers) {
            Some(format) => format.unreadable(error),
            None => respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                JSON,
                r#"{"code": 13, "message": "failed to marshal error message"}"#,
            ),
        }
    }
}

impl Format {
    /// By the content type, whose parameters do not matter.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media_type = text.split_once(';').map_or(text, |(media_type, _)| media_type).trim();
        if media_type.eq_ignore_ascii_case(PROTOBUF) {
            Some(Self::Protobuf)
        } else if media_type.eq_ignore_ascii_case(JSON) {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn success(self, signal: Signal) -> Response<WholeBody> {
        match self {
            Self::Protobuf => respond(StatusCode::OK, PROTOBUF, otlp::response(signal)),
            Self::Json => respond(StatusCode::OK, JSON, Bytes::from_static(br#"{"partialSuccess":{}}"#)),
        }
    }

    /// The response to a request whose body cannot be read.
    fn unreadable(self, error: &RequestError) -> Response<WholeBody> {
        match error {
            RequestError::NoMemory => self.failure(&Status {
                retry_after: Some(net::OVERLOAD_RETRY_AFTER),
                ..Status::new(Code::Unavailable, error.to_string())
            }),
            error => self.bad_request(error.to_string()),
        }
    }

    fn bad_request(self, message: String) -> Response<WholeBody> {
        self.failure(&Status::new(Code::InvalidArgument, message))
    }

    fn failure(self, status: &Status) -> Response<WholeBody> {
        let http =
            StatusCode::from_u16(status.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self {
            Self::Protobuf => respond(http, PROTOBUF, status.to_protobuf()),
            Self::Json => respond(http, JSON, status.to_json()),
        };
        let may_wait = matches!(http, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(after) = status.retry_after.filter(|_| may_wait) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response
    }
}

fn not_found() -> Response<WholeBody> {
    let mut response = respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn redirect(uri: &Uri, path: &str) -> Response<WholeBody> {
    let location = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut response = Response::new(WholeBody::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
