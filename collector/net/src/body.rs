//! Bodies of requests and responses.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// A body that is known as a whole, with trailers.
#[derive(Debug, Default)]
pub struct WholeBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed; what was read of it is dropped.
    #[error("http: request body too large")]
    TooLarge,
    /// The connection failed or the peer gave up.
    #[error("{0}")]
    Broken(#[source] hyper::Error),
}

impl WholeBody {
    /// A body of `data`, empty or not.
    pub fn new(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self { data: (!data.is_empty()).then_some(data), trailers: None }
    }

    /// The same body with trailers behind it.
    #[must_use]
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

/// Reads a body of at most `limit` bytes. A body that comes in one piece is not copied.
///
/// # Errors
/// The body is larger than `limit` or breaks off.
pub async fn read_body<B>(mut body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut gathered = Gathered::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        if gathered.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        gathered.push(data, announced as usize);
    }
    Ok(gathered.into_bytes())
}

/// Pieces of a body: the first is kept as it is until a second comes.
#[derive(Debug, Default)]
struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

/// What is reserved ahead for a body that announces its size, at most: a peer that announces much and sends nothing
/// must not cost memory.
const MAX_RESERVED_AHEAD: usize = 1 << 20;

impl Gathered {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Adds a piece; `announced` is the size that the whole is said to have, or 0.
    fn push(&mut self, data: Bytes, announced: usize) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            let ahead = announced.min(MAX_RESERVED_AHEAD).max(self.first.len() + data.len());
            self.rest.reserve(ahead);
            self.rest.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.rest.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}
