//! Reading, changing and dropping anything in a batch, without decoding it.
//!
//! [`Batch::rewrite`] walks from the resources down to the items and shows each to a [`Rewrite`] as a [`Place`]: the item with
//! everything above it. What is not changed is not copied: a changed message is written anew in the middle of the bytes
//! around it, and chunks in which nothing changed stay as they are.
//! [`Batch::group_by_attributes`] puts items under other resources.

mod field;
mod place;
mod point;
mod regroup;
mod walk;

use smallvec::SmallVec;

use crate::Batch;

pub use field::{Field, Part};
pub use place::{DataKind, Place};
pub use point::{Change, Point};
pub use regroup::Regrouped;

/// How far down a [`Place`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A resource.
    Resource,
    /// An instrumentation scope.
    Scope,
    /// A metric; metrics only.
    Metric,
    /// A data point, a log record or a span.
    Item,
    /// An event of a span; traces only.
    Event,
}

/// What becomes of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, and what is in it is shown next.
    Descend,
    /// It stays with all that is in it.
    Keep,
    /// It goes with all that is in it. What contains nothing any more goes too; a span without events stays.
    Drop,
}

/// What is done at each place.
pub trait Rewrite {
    /// Called for everything that contains something before what is in it.
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict;
}

impl<F: FnMut(Level, &mut Place<'_>) -> Verdict> Rewrite for F {
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict {
        self(level, place)
    }
}

impl Batch {
    /// Lets `rewrite` change and drop what is in the batch.
    #[must_use]
    pub fn rewrite(mut self, rewrite: &mut impl Rewrite) -> Batch {
        let mut chunks = SmallVec::new();
        for chunk in self.chunks.drain(..) {
            let chunk = walk::chunk(self.signal, &chunk, rewrite).unwrap_or(chunk);
            if chunk.encoded_len() > 0 {
                chunks.push(chunk);
            }
        }
        self.chunks = chunks;
        self.items = self.chunks.iter().map(|chunk| chunk.items).sum();
        self
    }
}
