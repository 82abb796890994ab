//! The load generator: ready-made OTLP requests over gRPC, several under way at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::{Buf as _, BufMut as _, Bytes};
use component::TaskSet;
use http::uri::PathAndQuery;
use pdata::Batch;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

/// Requests under way at once.
const CONCURRENCY: usize = 4;

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Data points that were accepted.
    pub points: u64,
    /// The time it took.
    pub elapsed: Duration,
}

/// Sends `batches` in turn for `duration` and waits for the last answer. Every request must be accepted.
pub async fn metrics(address: SocketAddr, batches: &[Batch], duration: Duration) -> Result<Sent> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await.context("connect")?;
    let requests: Vec<(Bytes, u64)> =
        batches.iter().map(|batch| (batch.to_protobuf(), batch.items() as u64)).collect();
    let (tasks, started) = (TaskSet::default(), Instant::now());
    let senders: Vec<_> = (0..CONCURRENCY)
        .map(|_| tasks.spawn("sender", send(channel.clone(), requests.clone(), started + duration)))
        .collect();
    let mut points = 0;
    for sender in senders {
        points += sender.await??;
    }
    Ok(Sent { points, elapsed: started.elapsed() })
}

async fn send(channel: Channel, requests: Vec<(Bytes, u64)>, until: Instant) -> Result<u64> {
    let path = PathAndQuery::from_static("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    let mut client = Grpc::new(channel);
    let mut points = 0;
    for (request, items) in requests.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        client.ready().await?;
        client.unary(tonic::Request::new(request.clone()), path.clone(), Raw).await?;
        points += items;
    }
    Ok(points)
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}
