//! One attempt: a call, its status, its partial success.

use std::sync::{Arc, OnceLock};

use component::{BoxError, Code, ConsumeError, Host, Settings, async_trait};
use helper::{SendError, Sender};
use net::otlp::{self, PartialSuccess};
use net::{GrpcClient, Status};
use pdata::{Batch, Signal};
use tokio::time::Instant;

use crate::Config;

/// Sends batches of one signal.
pub(crate) struct GrpcSender {
    name: String,
    user_agent: String,
    config: Arc<Config>,
    signal: Signal,
    client: OnceLock<GrpcClient>,
}

impl GrpcSender {
    pub(crate) fn new(settings: &Settings, config: Arc<Config>, signal: Signal) -> Self {
        Self {
            name: format!("{}: {signal} client", settings.id),
            user_agent: otlp::user_agent(&settings.build),
            config,
            signal,
            client: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Sender for GrpcSender {
    async fn start(&self, host: &Host) -> Result<(), BoxError> {
        let config = &self.config;
        let timeout = config.timeout.limit();
        let client = GrpcClient::start(&config.client, host, &self.name, &self.user_agent, timeout).await?;
        self.client.set(client).map_err(|_| "started twice".into())
    }

    async fn send(&self, batch: Batch) -> Result<(), SendError> {
        let client = self.client.get().ok_or_else(|| ConsumeError::permanent("exporter is not started"))?;
        let response = client
            .unary(otlp::grpc_path(self.signal), batch.to_protobuf())
            .await
            .map_err(ConsumeError::from)?;
        let partial = PartialSuccess::from_protobuf(&response, self.signal).map_err(|error| {
            let message = format!("grpc: failed to unmarshal the received message: {error}");
            ConsumeError::from(Status::new(Code::Internal, message))
        })?;
        if let Some(partial) = partial {
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
