//! What EC2 says of this instance: the names in its tags, and its volumes.

mod ask;
mod jitter;
mod persistent;
mod volumes;
mod watch;

pub(crate) use ask::{Aws, Questions};
pub(crate) use persistent::Persistent;
pub(crate) use volumes::{Volumes, has_unnamed_volumes};
pub(crate) use watch::{Facts, Watching};
