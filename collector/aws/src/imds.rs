//! Metadata: what an EC2 instance knows about itself.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::Builder;
use aws_config::imds::client::error::{ImdsError as SdkImdsError, TokenError};
use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use net::HttpClientConfig;
use serde::Deserialize;

use crate::http::Requests;

/// The longest that connecting and an answer take: metadata are one hop away, or not there at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The switch that the AWS SDKs share.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
/// The instance identity document.
const IDENTITY: &str = "/latest/dynamic/instance-identity/document";

/// What the instance identity document says. What it does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceIdentity {
    /// `i-0123456789abcdef0`
    pub instance_id: String,
    /// `m5.large`
    pub instance_type: String,
    /// `us-west-2`
    pub region: String,
    /// `us-west-2a`
    pub availability_zone: String,
    /// The primary IPv4 address.
    pub private_ip: String,
    /// The account, in digits.
    pub account_id: String,
    /// `ami-0123456789abcdef0`
    pub image_id: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
}

/// Why there are no metadata.
#[derive(Debug, thiserror::Error)]
pub enum ImdsError {
    /// The user does without.
    #[error("instance metadata are switched off by the environment variable AWS_EC2_METADATA_DISABLED")]
    Disabled,
    /// Nobody answers in time.
    #[error("no answer: outside EC2, or the instance's metadata hop limit is too low for containers")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The instance has no such metadata.
    #[error("the instance has no metadata {path}")]
    NotFound {
        /// What was asked for.
        path: String,
    },
    /// The service is there and says no.
    #[error(
        "instance metadata refuse to answer (status {status}): they are switched off for this instance, or something in \
         between forbids to ask"
    )]
    Denied {
        /// `401` or `403`.
        status: u16,
    },
    /// The service is there and does not work.
    #[error("instance metadata answer {path} with status {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// Neither success nor one of the above.
        status: u16,
    },
    /// An answer that is not understood.
    #[error("the instance metadata {path} are malformed")]
    Malformed {
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// EC2's instance metadata service, version 2. Clones share a token.
#[derive(Debug, Clone)]
pub struct Imds(
    /// None: switched off.
    Option<Client>,
);

impl Imds {
    /// The service of this instance. An attempt takes a second at most, and is repeated `retries` times.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn new(retries: u32) -> Result<Self, net::Error> {
        Ok(Self::with(&Requests::new(HttpClientConfig::default())?, retries))
    }

    /// The same over `requests`.
    pub(crate) fn with(requests: &Requests, retries: u32) -> Self {
        if std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self(None);
        }
        Self(Some(client(Client::builder(), requests, retries)))
    }

    /// Who this instance is.
    ///
    /// # Errors
    /// See [`ImdsError`].
    pub async fn identity(&self) -> Result<InstanceIdentity, ImdsError> {
        let document = self.get(IDENTITY).await?;
        serde_json::from_str(&document)
            .map_err(|error| ImdsError::Malformed { path: IDENTITY.to_owned(), source: error.into() })
    }

    /// The text at a path, such as `/latest/meta-data/hostname`.
    ///
    /// # Errors
    /// See [`ImdsError`].
    pub async fn get(&self, path: &str) -> Result<String, ImdsError> {
        let Some(client) = &self.0 else { return Err(ImdsError::Disabled) };
        client.get(path).await.map(String::from).map_err(|error| failure(path, error))
    }

    /// The region of this instance.
    pub(crate) async fn region(&self) -> Option<String> {
        let region = self.get("/latest/meta-data/placement/region").await;
        region
            .inspect_err(|error| {
                tracing::debug!(error = component::causes(error), "no region in instance metadata");
            })
            .ok()
    }
}

fn client(builder: Builder, requests: &Requests, retries: u32) -> Client {
    builder
        .configure(&ProviderConfig::without_region().with_http_client(requests.shared()))
        .max_attempts(retries.saturating_add(1))
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .operation_attempt_timeout(TIMEOUT)
        .build()
}

fn failure(path: &str, error: SdkImdsError) -> ImdsError {
    match &error {
        SdkImdsError::ErrorResponse(answer) => of_status(path, answer.response().status().as_u16()),
        SdkImdsError::FailedToLoadToken(_) => match token_status(&error) {
            // A success: without what belongs to a token.
            Some(200..=299) => {
                ImdsError::Malformed { path: "/latest/api/token".to_owned(), source: error.into() }
            }
            Some(status) => of_status("/latest/api/token", status),
            None => ImdsError::Unreachable(error.into()),
        },
        SdkImdsError::Unexpected(_) if !is_about_sending(&error) => {
            ImdsError::Malformed { path: path.to_owned(), source: error.into() }
        }
        _ => ImdsError::Unreachable(error.into()),
    }
}

fn of_status(path: &str, status: u16) -> ImdsError {
    let path = path.to_owned();
    match status {
        401 | 403 => ImdsError::Denied { status },
        404 => ImdsError::NotFound { path },
        _ => ImdsError::Status { path, status },
    }
}

/// The status of the answer to the request for a token, if there was one.
fn token_status(error: &(dyn std::error::Error + 'static)) -> Option<u16> {
    let failure = error.source()?.downcast_ref::<SdkError<TokenError, HttpResponse>>()?;
    Some(failure.raw_response()?.status().as_u16())
}

/// Whether a request or its answer did not come through.
fn is_about_sending(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<net::HttpFailure>() || error.is::<tokio::time::error::Elapsed>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
#[path = "imds_tests.rs"]
mod tests;
