//! The last point of every stream.

use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use pdata::metrics::{ExponentialHistogramDataPointView, HistogramDataPointView, Number};
use tokio::time::Instant;

use crate::config::InitialValue;
use crate::exponential::{self, Exponential};
use crate::histogram::{self, Histogram};
use crate::identity::Identity;

/// With more memory than this, new streams are not followed, so that labels without end cannot fill the machine.
const MAX_BYTES: usize = 256 << 20;
/// So many streams of one point, if most are, are worth a word.
const MANY_SINGLES: usize = 16;

/// Why a point has no delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is the first of its stream.
    Initial,
    /// The stream began anew.
    Reset,
    /// Its buckets are others than those of the last point.
    BucketMismatch,
    /// Too many streams are followed.
    Limit,
}

/// Which point is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) stream: Identity,
    /// Since when it adds up, Unix time in nanoseconds.
    pub(crate) start: u64,
    /// When it was, Unix time in nanoseconds.
    pub(crate) time: u64,
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Tracker {
    streams: HashTable<Stream>,
    /// What the streams take, and may take.
    bytes: usize,
    max_bytes: usize,
    initial_value: InitialValue,
    /// None for never.
    max_staleness: Option<Duration>,
    /// When the processor began, Unix time in nanoseconds.
    began: u64,
    /// What `Stream::seen` counts from.
    origin: Instant,
    now: u32,
    swept: u32,
}

#[derive(Debug)]
struct Stream {
    id: Identity,
    /// Of the last point.
    time: u64,
    last: Last,
    /// When the last point came, in seconds.
    seen: u32,
    /// Whether that was the first one.
    single: bool,
}

#[derive(Debug)]
enum Last {
    Int(i64),
    Double(f64),
    Histogram(Box<Histogram>),
    Exponential(Box<Exponential>),
}

impl Last {
    fn bytes(&self) -> usize {
        size_of::<Stream>()
            + match self {
                Self::Int(_) | Self::Double(_) => 0,
                Self::Histogram(histogram) => histogram.heap_bytes(),
                Self::Exponential(histogram) => histogram.heap_bytes(),
            }
    }
}

impl Tracker {
    /// Streams of a processor that begins at `began`, Unix time in nanoseconds.
    pub(crate) fn new(initial_value: InitialValue, max_staleness: Duration, began: u64) -> Self {
        Self {
            streams: HashTable::new(),
            bytes: 0,
            max_bytes: MAX_BYTES,
            initial_value,
            max_staleness: (!max_staleness.is_zero()).then_some(max_staleness),
            began,
            origin: Instant::now(),
            now: 0,
            swept: 0,
        }
    }

    /// Notes the time, and forgets the streams of which nothing was heard for too long.
    pub(crate) fn tick(&mut self) {
        self.now = u32::try_from(self.origin.elapsed().as_secs()).unwrap_or(u32::MAX);
        let Some(max_staleness) = self.max_staleness else { return };
        let age = |then: u32| Duration::from_secs(u64::from(self.now.saturating_sub(then)));
        if age(self.swept) < max_staleness {
            return;
        }
        let all = self.streams.len();
        let mut singles = 0;
        self.streams.retain(|stream| {
            let fresh = age(stream.seen) < max_staleness;
            singles += usize::from(!fresh && stream.single);
            fresh
        });
        if singles >= MANY_SINGLES && singles > all / 2 {
            tracing::warn!(
                streams = all,
                singles,
                "Most streams had one point only: where start times change with every point, each is the first of its stream"
            );
        }
        if self.streams.capacity() > 1024 && self.streams.len() < self.streams.capacity() / 4 {
            self.streams.shrink_to_fit(|stream| stream.id.0);
        }
        self.bytes = self.streams.iter().map(|stream| stream.last.bytes()).sum();
        self.swept = self.now;
    }

    /// How many streams are followed.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The change of a number with the start of its interval.
    pub(crate) fn number(&mut self, key: Key, value: Number) -> Result<(u64, Number), Reason> {
        let first = || match value {
            Number::Int(value) => Last::Int(value),
            Number::Double(value) => Last::Double(value),
        };
        let next = |last: &mut Last| match (std::mem::replace(last, first()), value) {
            (Last::Int(last), Number::Int(value)) if value >= last => {
                Ok(Number::Int(value.wrapping_sub(last)))
            }
            (Last::Double(last), Number::Double(value)) if value >= last => Ok(Number::Double(value - last)),
            _ => Err(Reason::Reset),
        };
        let (start, change) = self.advance(key, first, next)?;
        Ok((start, change.unwrap_or(value)))
    }

    /// The change of a histogram, its buckets in `counts`.
    pub(crate) fn histogram(
        &mut self,
        key: Key,
        point: &HistogramDataPointView<'_>,
        counts: &mut Vec<u64>,
    ) -> Result<(u64, histogram::Change), Reason> {
        let make = || Last::Histogram(Box::new(Histogram::new(point)));
        let next = |last: &mut Last| match last {
            Last::Histogram(last) => last.advance(point, counts),
            other => {
                *other = make();
                Err(Reason::Reset)
            }
        };
        let (start, change) = self.advance(key, make, next)?;
        Ok((start, change.unwrap_or_else(|| Histogram::whole(point, counts))))
    }

    /// The change of an exponential histogram.
    pub(crate) fn exponential(
        &mut self,
        key: Key,
        point: &ExponentialHistogramDataPointView<'_>,
    ) -> Result<(u64, exponential::Change), Reason> {
        let make = || Last::Exponential(Box::new(Exponential::new(point)));
        let next = |last: &mut Last| match last {
            Last::Exponential(last) => last.advance(point),
            other => {
                *other = make();
                Err(Reason::Reset)
            }
        };
        let (start, change) = self.advance(key, make, next)?;
        Ok((start, change.unwrap_or_else(|| Exponential::whole(point))))
    }

    /// Goes on to the next point of a stream, which is always the new baseline. `make` begins a stream, `next` is the change since
    /// the last point. Without a change, the whole point is it.
    fn advance<T>(
        &mut self,
        key: Key,
        make: impl FnOnce() -> Last,
        next: impl FnOnce(&mut Last) -> Result<T, Reason>,
    ) -> Result<(u64, Option<T>), Reason> {
        let Key { stream: id, start, time } = key;
        match self.streams.entry(id.0, |stream| stream.id == id, |stream| stream.id.0) {
            Entry::Occupied(mut known) => {
                let stream = known.get_mut();
                let before = stream.last.bytes();
                let interval = std::mem::replace(&mut stream.time, time);
                (stream.seen, stream.single) = (self.now, false);
                let change = next(&mut stream.last);
                self.bytes = (self.bytes + stream.last.bytes()).saturating_sub(before);
                if self.bytes > self.max_bytes {
                    self.bytes = self.bytes.saturating_sub(stream.last.bytes());
                    known.remove();
                }
                change.map(|change| (interval, Some(change)))
            }
            Entry::Vacant(place) => {
                let last = make();
                if self.bytes + last.bytes() > self.max_bytes {
                    return Err(Reason::Limit);
                }
                self.bytes += last.bytes();
                place.insert(Stream { id, time, last, seen: self.now, single: true });
                match self.initial_value {
                    InitialValue::Auto if start >= self.began && start != time => Ok((start, None)),
                    InitialValue::Auto | InitialValue::Drop => Err(Reason::Initial),
                    InitialValue::Keep => Ok((0, None)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_streams_are_followed() {
        let minute = Duration::from_secs(60);
        let mut tracker = Tracker::new(InitialValue::Drop, minute, 0);
        tracker.max_bytes = 2 * size_of::<Stream>();
        let send = |tracker: &mut Tracker, stream: u64, value: i64| {
            let key = Key { stream: Identity(stream, stream), start: 0, time: 5 };
            tracker.number(key, Number::Int(value)).map(|(_, change)| change)
        };
        assert_eq!(send(&mut tracker, 1, 10), Err(Reason::Initial));
        assert_eq!(send(&mut tracker, 2, 10), Err(Reason::Initial));
        assert_eq!(send(&mut tracker, 3, 10), Err(Reason::Limit));
        tokio::time::advance(minute / 2).await;
        tracker.tick();
        assert_eq!(send(&mut tracker, 1, 12), Ok(Number::Int(2)));
        assert_eq!(send(&mut tracker, 3, 12), Err(Reason::Limit));
        // The second one is forgotten, which makes room.
        tokio::time::advance(minute / 2).await;
        tracker.tick();
        assert_eq!((tracker.len(), tracker.bytes), (1, size_of::<Stream>()));
        assert_eq!(send(&mut tracker, 3, 12), Err(Reason::Initial));
        assert_eq!(send(&mut tracker, 1, 13), Ok(Number::Int(1)));
    }
}
