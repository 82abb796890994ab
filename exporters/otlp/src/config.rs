//! What users write under `exporters: otlp_grpc:`.

use confmap::{Optional, Problems};
use helper::{QueueConfig, RetryConfig, TimeoutConfig};
use net::{GrpcClientConfig, GrpcTarget, Place};
use opentelemetry::KeyValue;
use serde::Deserialize;

/// The exporter's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(Delivery, TimeoutConfig, GrpcClientConfig)")]
pub struct Config {
    /// Where and how to connect.
    pub client: GrpcClientConfig,
    /// The limit of one attempt.
    pub timeout: TimeoutConfig,
    /// Queueing.
    pub sending_queue: Optional<QueueConfig>,
    /// Retries.
    pub retry_on_failure: RetryConfig,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Delivery {
    sending_queue: Optional<QueueConfig>,
    retry_on_failure: RetryConfig,
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.client.validate(problems);
        if let Some(queue) = self.sending_queue.as_ref() {
            problems.at("sending_queue", |problems| queue.validate(problems));
        }
        problems.at("retry_on_failure", |problems| self.retry_on_failure.validate(problems));
    }
}

impl Config {
    /// Where it sends, as labels of the exporter's own metrics.
    pub(crate) fn server_attributes(&self) -> Vec<KeyValue> {
        match GrpcTarget::parse(&self.client.endpoint).map(|target| target.place) {
            Ok(Place::Host(host, port)) => {
                vec![KeyValue::new("server_address", host), KeyValue::new("server_port", i64::from(port))]
            }
            Ok(Place::Unix(path)) => vec![KeyValue::new("server_address", path.display().to_string())],
            Err(_) => Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        (Delivery::default(), TimeoutConfig::default(), GrpcClientConfig::default()).into()
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self { sending_queue: QueueConfig::on(), retry_on_failure: RetryConfig::default() }
    }
}

impl From<(Delivery, TimeoutConfig, GrpcClientConfig)> for Config {
    fn from((delivery, timeout, client): (Delivery, TimeoutConfig, GrpcClientConfig)) -> Self {
        let Delivery { sending_queue, retry_on_failure } = delivery;
        Self { client, timeout, sending_queue, retry_on_failure }
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
        check("{endpoint: 'h:4317'}", "");
        check("{}", r#"endpoint: requires a non-empty "endpoint""#);
        check("{endpoint: h}", "endpoint: address h: missing port in address");
        check(
            "{endpoint: 'h:1', tls: {cert_file: c}}",
            "tls: for auth via TLS, provide both certificate and key, or neither",
        );
        check(
            "{endpoint: 'h:1', sending_queue: {queue_size: 0}}",
            "sending_queue: `queue_size` must be positive",
        );
    }

    #[test]
    fn squashed_keys_and_defaults() {
        let config: Config = confmap::from_yaml("{endpoint: 'h:1', timeout: 7s, sending_queue: }").unwrap();
        assert_eq!(config.timeout.limit(), Some(std::time::Duration::from_secs(7)));
        assert!(config.sending_queue.is_some());
        let config: Config =
            confmap::from_yaml("{endpoint: 'h:1', sending_queue: {enabled: false}}").unwrap();
        assert_eq!(config.timeout.limit(), Some(std::time::Duration::from_secs(5)));
        assert!(config.sending_queue.is_none());
        let unknown = confmap::from_yaml::<Config>("{endpoint: 'h:1', endpiont: x}").unwrap_err();
        assert!(unknown.to_string().contains("has invalid keys: endpiont"), "{unknown}");
        let balancer = confmap::from_yaml::<Config>("{balancer_name: bogus}").unwrap_err();
        assert!(balancer.to_string().contains("invalid balancer_name: bogus"), "{balancer}");
    }
}
