//! Bodies of requests and responses.

use std::convert::Infallible;
use std::fmt;
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

/// A body in pieces that are sent one after the other, without being joined and with their length announced.
#[derive(Default)]
pub struct PiecesBody {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
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
    /// The memory for requests in progress is used up.
    #[error("too many requests are in progress, try again later")]
    NoMemory,
    /// Nothing more of it came in time.
    #[error("the rest of the request body did not arrive in time")]
    Stalled,
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error)
    }
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

impl From<Vec<Bytes>> for PiecesBody {
    fn from(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into_iter(), left }
    }
}

impl From<Bytes> for PiecesBody {
    fn from(whole: Bytes) -> Self {
        Self::from(vec![whole])
    }
}

impl fmt::Debug for PiecesBody {
    /// The length alone: bodies may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PiecesBody({} bytes)", self.left)
    }
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.find(|piece| !piece.is_empty());
        self.left = self.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads a body of at most `limit` bytes. A body that comes in one piece is not copied.
///
/// # Errors
/// The body is larger than `limit` or breaks off.
pub async fn read_body<B>(mut body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    BodyError: From<B::Error>,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut gathered = Gathered::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::from)?.into_data() else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_go_out_as_they_are() {
        let pieces = ["a", "", "bc", ""].map(|piece| Bytes::from_static(piece.as_bytes()));
        let mut body = PiecesBody::from(pieces.to_vec());
        assert_eq!(format!("{body:?}"), "PiecesBody(3 bytes)");
        let mut sent = Vec::new();
        while !body.is_end_stream() {
            let before = body.size_hint().exact().unwrap();
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(body.size_hint().exact(), Some(before - piece.len() as u64));
            sent.push(piece);
        }
        assert_eq!(sent, ["a", "bc"]);
        assert!(body.frame().await.is_none());
        assert!(PiecesBody::from(Bytes::new()).is_end_stream());
    }
}
