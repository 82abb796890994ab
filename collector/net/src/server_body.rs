//! Bodies of requests as servers read them: counted, and ended when they make no progress.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use component::IntakePermit;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::body::BodyError;

/// Interval at which a body that is waited for is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit for the next piece of a body.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The same while the intake budget is short.
const SHORT_STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes per second that a body must have arrived with while the intake budget is short, once it is `MIN_RATE_AFTER` old.
const MIN_RATE: f64 = 64.0 * 1024.0;
const MIN_RATE_AFTER: Duration = Duration::from_secs(5);

/// The body of a request that a server reads.
#[derive(Debug)]
pub struct ServerBody {
    inner: Incoming,
    permit: Arc<IntakePermit>,
    /// A piece that was read before anybody asked for it.
    peeked: Option<Frame<Bytes>>,
    began: Instant,
    /// The end of the last piece.
    progress: Instant,
    received: usize,
    /// The next time at which a body that is waited for is looked at; made when it first is.
    check: Option<Pin<Box<Sleep>>>,
}

impl ServerBody {
    pub(crate) fn new(inner: Incoming, permit: Arc<IntakePermit>) -> Self {
        let now = Instant::now();
        Self { inner, permit, peeked: None, began: now, progress: now, received: 0, check: None }
    }

    /// The share of the request in the intake budget.
    pub fn permit(&self) -> &Arc<IntakePermit> {
        &self.permit
    }

    /// Waits for the first piece, which stays in the body.
    pub(crate) async fn peek(&mut self) -> Result<(), BodyError> {
        if self.peeked.is_none() && !self.inner.is_end_stream() {
            self.peeked =
                std::future::poll_fn(|context| Pin::new(&mut *self).poll_inner(context)).await.transpose()?;
        }
        Ok(())
    }

    fn poll_inner(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
                return Poll::Ready(frame.map(|frame| self.count(frame.map_err(BodyError::Broken)?)));
            }
            let check = self.check.get_or_insert_with(|| Box::pin(sleep(CHECK_INTERVAL)));
            ready!(check.as_mut().poll(context));
            check.as_mut().reset(Instant::now() + CHECK_INTERVAL);
            if let Some(error) = self.stalled() {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.received += bytes;
        self.progress = Instant::now();
        // A buffer that gathers a body is as large again while it grows.
        if self.permit.grow(2 * bytes) { Ok(frame) } else { Err(BodyError::NoMemory) }
    }

    /// The error of a body that makes no progress: one that the client may send again, if it only was in the way.
    fn stalled(&self) -> Option<BodyError> {
        let silent = self.progress.elapsed();
        let age = self.began.elapsed();
        let is_slow = age >= MIN_RATE_AFTER && (self.received as f64) < MIN_RATE * age.as_secs_f64();
        if silent >= STALL_TIMEOUT {
            return Some(BodyError::Stalled);
        }
        (self.permit.is_short() && (silent >= SHORT_STALL_TIMEOUT || is_slow)).then_some(BodyError::NoMemory)
    }
}

impl Body for ServerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.peeked.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.poll_inner(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.peeked.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.inner.size_hint();
        let peeked = self.peeked.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + peeked);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + peeked);
        }
        hint
    }
}
