//! What users write under `exporters: otlp_http:`.

use confmap::{Optional, Problems};
use helper::{QueueConfig, RetryConfig};
use http::Uri;
use net::HttpClientConfig;
use opentelemetry::KeyValue;
use pdata::Signal;
use serde::Deserialize;

/// The exporter's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(Own, HttpClientConfig)")]
pub struct Config {
    /// Where and how to connect.
    pub client: HttpClientConfig,
    /// URLs that replace those made of the base URL.
    pub endpoints: SignalEndpoints,
    /// How bodies are encoded.
    pub encoding: Encoding,
    /// Queueing.
    pub sending_queue: Optional<QueueConfig>,
    /// Retries.
    pub retry_on_failure: RetryConfig,
}

/// URLs of single signals, used as they are.
#[derive(Debug, Clone, Default)]
pub struct SignalEndpoints {
    /// `traces_endpoint`
    pub traces: String,
    /// `metrics_endpoint`
    pub metrics: String,
    /// `logs_endpoint`
    pub logs: String,
    /// `profiles_endpoint`: understood; there are no pipelines of profiles.
    pub profiles: String,
}

/// How bodies are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Encoding {
    /// Protobuf.
    #[default]
    Proto,
    /// OTLP/JSON.
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Own {
    traces_endpoint: String,
    metrics_endpoint: String,
    logs_endpoint: String,
    profiles_endpoint: String,
    encoding: Encoding,
    sending_queue: Optional<QueueConfig>,
    retry_on_failure: RetryConfig,
}

/// Why a signal has no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        let SignalEndpoints { traces, metrics, logs, profiles } = &self.endpoints;
        let all = [
            ("endpoint", &self.client.endpoint),
            ("traces_endpoint", traces),
            ("metrics_endpoint", metrics),
            ("logs_endpoint", logs),
            ("profiles_endpoint", profiles),
        ];
        if all.iter().all(|(_, url)| url.is_empty()) {
            problems.report("at least one endpoint must be specified");
        }
        for (key, url) in all {
            if !url.is_empty()
                && let Err(reason) = parse(url)
            {
                problems.at(key, |p| p.report(format!("{key} must be a valid URL: {reason}")));
            }
        }
        self.client.validate(problems);
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
        problems.at("retry_on_failure", |problems| self.retry_on_failure.validate(problems));
    }
}

impl Config {
    /// Where a signal is sent.
    ///
    /// # Errors
    /// There is neither a base URL nor one of the signal.
    pub fn url(&self, signal: Signal) -> Result<Uri, UrlError> {
        let own = match signal {
            Signal::Traces => &self.endpoints.traces,
            Signal::Metrics => &self.endpoints.metrics,
            Signal::Logs => &self.endpoints.logs,
        };
        let text = match (own.as_str(), self.client.endpoint.as_str()) {
            ("", "") => {
                return Err(UrlError(format!("either endpoint or {signal}_endpoint must be specified")));
            }
            ("", base) => format!("{}{}", base.trim_end_matches('/'), net::otlp::http_path(signal)),
            (own, _) => own.to_owned(),
        };
        parse(&text).map_err(UrlError)
    }
}

/// Where it sends, as labels of the exporter's own metrics.
pub(crate) fn server_attributes(url: &Uri) -> Vec<KeyValue> {
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    vec![
        KeyValue::new("server_address", url.host().unwrap_or_default().to_owned()),
        KeyValue::new("server_port", i64::from(port)),
        KeyValue::new("url_path", url.path().to_owned()),
    ]
}

fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        Some(other) => Err(format!("unsupported protocol scheme {other:?}")),
        None => Err("a URL starts with http:// or https://".into()),
    }
}

impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "proto" => Ok(Self::Proto),
            "json" => Ok(Self::Json),
            _ => Err(format!("invalid encoding type: {name}")),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        (Own::default(), HttpClientConfig::default()).into()
    }
}

impl Default for Own {
    fn default() -> Self {
        Self {
            traces_endpoint: String::new(),
            metrics_endpoint: String::new(),
            logs_endpoint: String::new(),
            profiles_endpoint: String::new(),
            encoding: Encoding::Proto,
            sending_queue: QueueConfig::on(),
            retry_on_failure: RetryConfig::default(),
        }
    }
}

impl From<(Own, HttpClientConfig)> for Config {
    fn from((own, client): (Own, HttpClientConfig)) -> Self {
        Self {
            client,
            endpoints: SignalEndpoints {
                traces: own.traces_endpoint,
                metrics: own.metrics_endpoint,
                logs: own.logs_endpoint,
                profiles: own.profiles_endpoint,
            },
            encoding: own.encoding,
            sending_queue: own.sending_queue,
            retry_on_failure: own.retry_on_failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use component::Config as _;

    use super::*;

    #[test]
    fn problems() {
        let check = |yaml: &str, expected: &str| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.to_string(), expected, "{yaml}");
        };
        check("{endpoint: 'http://h:4318'}", "");
        check("{logs_endpoint: 'https://h/x'}", "");
        check("{}", "at least one endpoint must be specified");
        check(
            "{endpoint: 'h:4318'}",
            "endpoint: endpoint must be a valid URL: a URL starts with http:// or https://",
        );
        check(
            "{logs_endpoint: 'ftp://h'}",
            r#"logs_endpoint: logs_endpoint must be a valid URL: unsupported protocol scheme "ftp""#,
        );
        check(
            "{endpoint: 'http://h', retry_on_failure: {enabled: false, randomization_factor: 2}}",
            "retry_on_failure: 'randomization_factor' must be within [0, 1]",
        );
    }

    #[test]
    fn urls() {
        let check = |yaml: &str, signal: Signal, expected: Result<&str, &str>| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let got = config.url(signal).map(|url| url.to_string()).map_err(|error| error.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{yaml}");
        };
        check("{endpoint: 'http://h:4318'}", Signal::Traces, Ok("http://h:4318/v1/traces"));
        check("{endpoint: 'http://h:4318/'}", Signal::Metrics, Ok("http://h:4318/v1/metrics"));
        check("{endpoint: 'https://h/otlp/'}", Signal::Logs, Ok("https://h/otlp/v1/logs"));
        check("{endpoint: 'http://h', logs_endpoint: 'http://l/x'}", Signal::Logs, Ok("http://l/x"));
        check(
            "{logs_endpoint: 'http://l/x'}",
            Signal::Traces,
            Err("either endpoint or traces_endpoint must be specified"),
        );
    }

    #[test]
    fn encodings() {
        let json: Config = confmap::from_yaml("{encoding: json}").unwrap();
        assert_eq!(json.encoding, Encoding::Json);
        let error = confmap::from_yaml::<Config>("{encoding: xml}").unwrap_err();
        assert!(error.to_string().contains("invalid encoding type: xml"), "{error}");
    }
}
