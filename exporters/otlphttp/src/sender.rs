//! One attempt: a post and its answer.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use component::{BoxError, ConsumeError, Host, Settings, async_trait};
use helper::{SendError, Sender};
use http::Uri;
use jiff::Timestamp;
use net::{HttpClient, otlp};
use pdata::{Batch, Signal};
use tokio::time::Instant;

use crate::config::{Config, Encoding};
use crate::response;

/// Sends batches of one signal.
pub(crate) struct HttpSender {
    name: String,
    user_agent: String,
    config: Arc<Config>,
    signal: Signal,
    url: Uri,
    client: OnceLock<HttpClient>,
}

impl HttpSender {
    pub(crate) fn new(settings: &Settings, config: Arc<Config>, signal: Signal, url: Uri) -> Self {
        Self {
            name: format!("{}: {signal} client", settings.id),
            user_agent: otlp::user_agent(&settings.build),
            config,
            signal,
            url,
            client: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        let client = HttpClient::start(&self.config.client, host, &self.name, &self.user_agent).await?;
        self.client.set(client).map_err(|_| "started twice".into())
    }

    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        let client = self.client.get().ok_or_else(|| ConsumeError::permanent("exporter is not started"))?;
        let (content_type, body) = match self.config.encoding {
            Encoding::Proto => ("application/x-protobuf", batch.to_protobuf()),
            Encoding::Json => ("application/json", Bytes::from(batch.to_json())),
        };
        let answer = client
            .post(&self.url, content_type, body)
            .await
            .map_err(|error| ConsumeError::retryable(format!("failed to make an HTTP request: {error}")))?;
        if let Some(partial) = response::outcome(&self.url, self.signal, &answer, Timestamp::now())? {
            partial.warn(self.signal);
        }
        Ok(())
    }

    async fn shutdown(&self, _deadline: Instant) -> Result<(), BoxError> {
        if let Some(client) = self.client.get() {
            client.shutdown().await;
        }
        Ok(())
    }
}
