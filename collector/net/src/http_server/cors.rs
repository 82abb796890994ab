//! Cross-origin resource sharing, as upstream's library answers it (rs/cors).

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::body::WholeBody;
use crate::config::CorsConfig;

/// What every request may have: the library's defaults.
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];
const ALWAYS_ALLOWED_HEADERS: [&str; 4] = ["accept", "content-type", "x-requested-with", "origin"];
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

pub(super) struct Cors {
    /// Lower case; `None` for any origin.
    origins: Option<Vec<String>>,
    /// Lower case; `None` for any header.
    headers: Option<Vec<String>>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// Whether a browser asks before the real request.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// `None` if nothing is allowed.
    pub(super) fn new(config: &CorsConfig) -> Option<Self> {
        if config.allowed_origins.is_empty() {
            if !config.allowed_headers.is_empty() {
                tracing::warn!(
                    "The CORS configuration specifies allowed headers but no allowed origins, and is therefore ignored."
                );
            }
            return None;
        }
        let lower = |list: &[String]| -> Option<Vec<String>> {
            let any = list.iter().any(|entry| entry == "*");
            (!any).then(|| list.iter().map(|entry| entry.to_lowercase()).collect())
        };
        let exposed = Some(config.exposed_headers.join(", ")).filter(|list| !list.is_empty());
        Some(Self {
            origins: lower(&config.allowed_origins),
            headers: lower(&config.allowed_headers),
            exposed: exposed.and_then(|list| HeaderValue::try_from(list).ok()),
            max_age: Some(config.max_age).filter(|age| *age != 0).map(|age| HeaderValue::from(age.max(0))),
        })
    }

    /// The answer to a preflight request; without permissions if the origin may not.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> Response<WholeBody> {
        let mut response = Response::new(WholeBody::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        out.insert(header::VARY, PREFLIGHT_VARY);
        let Some(origin) = self.allowed_origin(headers) else { return response };
        let Some(method) = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD) else { return response };
        let method_allowed =
            method.to_str().is_ok_and(|method| METHODS.contains(&method) || method == "OPTIONS");
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if !method_allowed || !wanted.is_none_or(|wanted| self.allows_headers(wanted)) {
            return response;
        }
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(age) = &self.max_age {
            out.insert(header::ACCESS_CONTROL_MAX_AGE, age.clone());
        }
        response
    }

    /// What is added to the answer of a real request.
    pub(super) fn actual(&self, headers: &HeaderMap) -> HeaderMap {
        let mut out = HeaderMap::new();
        out.insert(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.allowed_origin(headers) else { return out };
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Some(exposed) = &self.exposed {
            out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        out
    }

    /// The value of `Access-Control-Allow-Origin`, if the request has an origin that may.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let Some(patterns) = &self.origins else { return Some(HeaderValue::from_static("*")) };
        let text = origin.to_str().ok()?.to_lowercase();
        patterns.iter().any(|pattern| matches(pattern, &text)).then(|| origin.clone())
    }

    fn allows_headers(&self, wanted: &HeaderValue) -> bool {
        let Some(allowed) = &self.headers else { return true };
        let Ok(wanted) = wanted.to_str() else { return false };
        wanted
            .split(',')
            .map(|name| name.trim().to_lowercase())
            .filter(|name| !name.is_empty())
            .all(|name| ALWAYS_ALLOWED_HEADERS.contains(&name.as_str()) || allowed.contains(&name))
    }
}

/// Whether `text` is what `pattern` says; the first `*` of a pattern stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], headers: &[&str]) -> Cors {
        let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Cors::new(&CorsConfig {
            allowed_origins: list(origins),
            allowed_headers: list(headers),
            exposed_headers: Vec::new(),
            max_age: 7,
        })
        .unwrap()
    }

    fn asks(origin: &str, method: &str, headers: &str) -> HeaderMap {
        let mut out = HeaderMap::new();
        out.insert(header::ORIGIN, origin.parse().unwrap());
        out.insert(header::ACCESS_CONTROL_REQUEST_METHOD, method.parse().unwrap());
        out.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, headers.parse().unwrap());
        out
    }

    #[test]
    fn preflights() {
        let check = |cors: &Cors, asked: HeaderMap, expected: Option<&str>| {
            let response = cors.preflight(&asked);
            assert_eq!(response.status(), 204);
            assert_eq!(response.headers().get(header::VARY), Some(&PREFLIGHT_VARY));
            let origin = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(origin.map(|value| value.to_str().unwrap()), expected, "{asked:?}");
            assert_eq!(response.headers().contains_key(header::ACCESS_CONTROL_MAX_AGE), expected.is_some());
        };
        let some = cors(&["https://*.example.com"], &["X-Own"]);
        check(&some, asks("https://a.example.com", "POST", "x-own"), Some("https://a.example.com"));
        check(&some, asks("https://a.example.com", "POST", "content-type"), Some("https://a.example.com"));
        check(&some, asks("https://a.example.com", "POST", "x-other"), None);
        check(&some, asks("https://a.example.com", "DELETE", ""), None);
        check(&some, asks("https://example.org", "POST", ""), None);
        check(&cors(&["*"], &["*"]), asks("null", "POST", "x-other"), Some("*"));
    }

    #[test]
    fn nothing_allowed_is_off() {
        assert!(Cors::new(&CorsConfig::default()).is_none());
    }

    #[test]
    fn real_requests() {
        let some = cors(&["https://a"], &[]);
        let mut asked = HeaderMap::new();
        assert_eq!(some.actual(&asked).len(), 1);
        asked.insert(header::ORIGIN, "https://a".parse().unwrap());
        assert_eq!(some.actual(&asked).get(header::ACCESS_CONTROL_ALLOW_ORIGIN), asked.get(header::ORIGIN));
        asked.insert(header::ORIGIN, "https://b".parse().unwrap());
        assert_eq!(some.actual(&asked).len(), 1);
    }
}
