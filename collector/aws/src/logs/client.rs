//! Requests to CloudWatch Logs.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::Client as SdkClient;
use aws_sdk_cloudwatchlogs::config::Builder;
use aws_sdk_cloudwatchlogs::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_cloudwatchlogs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::display::DisplayErrorContext;

use super::event::EventBatch;
use crate::Session;

/// A variable that beats the configured endpoint, as in all AWS SDKs.
const SERVICE_ENDPOINT: &str = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS";
/// Codes that say: too fast.
const THROTTLING: [&str; 13] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "EC2ThrottledException",
];
/// Codes of states that pass: with fresh credentials, or when a parallel request is done.
const PASSING: [&str; 7] = [
    "ServiceUnavailableException",
    "OperationAbortedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestTimeout",
    "RequestTimeoutException",
    "PriorRequestNotComplete",
];

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogsError {
    /// There is no such group or stream.
    #[error("{0}")]
    NotFound(String),
    /// The group or stream is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The account sends too fast.
    #[error("{0}")]
    Throttled(String),
    /// The service, the network or the credentials are in a state that passes.
    #[error("{0}")]
    Unavailable(String),
    /// The same request would fail again.
    #[error("{0}")]
    Permanent(String),
}

/// How many events of an accepted request the service did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejected {
    /// Older than 14 days.
    pub too_old: u64,
    /// More than two hours ahead.
    pub too_new: u64,
    /// Older than the retention of the group.
    pub expired: u64,
}

/// Sends requests.
///
/// The SDK's typed client for now; nothing outside this file knows.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    sdk: SdkClient,
}

/// Adds headers: that events are EMF, before signing, and who we are, afterwards.
#[derive(Debug)]
struct Headers {
    user_agent: String,
}

impl LogsError {
    /// Whether a later attempt may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable(_))
    }
}

impl Client {
    /// `user_agent` is appended to the SDK's own.
    pub(crate) fn new(session: &Session, user_agent: String) -> Self {
        let mut config = Builder::from(&session.sdk).interceptor(Headers { user_agent });
        if std::env::var_os(SERVICE_ENDPOINT).is_none() {
            config.set_endpoint_url(
                session.endpoint.clone().or_else(|| session.sdk.endpoint_url().map(str::to_owned)),
            );
        }
        Self { sdk: SdkClient::from_conf(config.build()) }
    }

    /// Sends the events of a batch.
    pub(crate) async fn put_events(&self, batch: &EventBatch) -> Result<Rejected, LogsError> {
        let events = batch
            .events()
            .map(|(timestamp, message)| {
                InputLogEvent::builder().timestamp(timestamp).message(message).build().map_err(unbuilt)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let request = self.sdk.put_log_events().log_group_name(batch.group()).log_stream_name(batch.stream());
        let answer = request.set_log_events(Some(events)).send().await.map_err(|error| classify(&error))?;
        let Some(info) = answer.rejected_log_events_info() else { return Ok(Rejected::default()) };
        let index = |index: Option<i32>| index.and_then(|index| u64::try_from(index).ok());
        Ok(Rejected {
            too_old: index(info.too_old_log_event_end_index()).unwrap_or(0),
            too_new: index(info.too_new_log_event_start_index())
                .map_or(0, |start| (batch.len() as u64).saturating_sub(start)),
            expired: index(info.expired_log_event_end_index()).unwrap_or(0),
        })
    }

    pub(crate) async fn create_group(
        &self,
        group: &str,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Result<(), LogsError> {
        let tags = tags.map(|tags| tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        let request = self.sdk.create_log_group().log_group_name(group).set_tags(tags);
        request.send().await.map(drop).map_err(|error| classify(&error))
    }

    pub(crate) async fn create_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        let request = self.sdk.create_log_stream().log_group_name(group).log_stream_name(stream);
        request.send().await.map(drop).map_err(|error| classify(&error))
    }

    pub(crate) async fn put_retention(&self, group: &str, days: i32) -> Result<(), LogsError> {
        let request = self.sdk.put_retention_policy().log_group_name(group).retention_in_days(days);
        request.send().await.map(drop).map_err(|error| classify(&error))
    }
}

impl Intercept for Headers {
    fn name(&self) -> &'static str {
        "otelcol-insights headers"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("x-amzn-logs-format", "json/emf");
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let full = match headers.get("user-agent") {
            Some(sdk) => format!("{sdk} {}", self.user_agent),
            None => self.user_agent.clone(),
        };
        headers.try_insert("user-agent", full)?;
        Ok(())
    }
}

fn unbuilt(error: BuildError) -> LogsError {
    LogsError::Permanent(error.to_string())
}

fn classify<E>(error: &SdkError<E, HttpResponse>) -> LogsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let text = DisplayErrorContext(error).to_string();
    let SdkError::ServiceError(service) = error else {
        return match error {
            SdkError::ConstructionFailure(_) => LogsError::Permanent(text),
            _ => LogsError::Unavailable(text),
        };
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let text = match service.err().message() {
        Some(message) => format!("{code}: {message}"),
        None if code.is_empty() => format!("HTTP status {status}"),
        None => code.to_owned(),
    };
    match code {
        "ResourceNotFoundException" => LogsError::NotFound(text),
        "ResourceAlreadyExistsException" => LogsError::AlreadyExists(text),
        code if THROTTLING.contains(&code) || status == 429 => LogsError::Throttled(text),
        code if PASSING.contains(&code) || status >= 500 => LogsError::Unavailable(text),
        _ => LogsError::Permanent(text),
    }
}
