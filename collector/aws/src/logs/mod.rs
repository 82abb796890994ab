//! CloudWatch Logs: events into requests, in the queue's time and the service's limits.
//!
//! ```text
//! Pusher::push → Events (written once, as they stand in a request) → chunks by stream → queue: memory, or disk
//!     → body of whole chunks → signed request → answer: accepted, repeated, or dropped with a reason
//! ```
//!
//! | file | |
//! |---|---|
//! | `event` | the events of a push, written into chunks |
//! | `chunk` | up to 32 KiB of one stream's events: the unit of storage, sending and acknowledgement |
//! | `queue`, `lane` | what waits, by stream; when it is due; how much there may be |
//! | `place` | what a push takes up in the queue, and what it is answered |
//! | `body` | chunks into the body of a request |
//! | `deliver` | sends, makes what is missing, books the outcome |
//! | `store` | chunks on disk |
//! | `waiting` | pushes whose caller went away |

mod body;
mod chunk;
mod client;
mod deliver;
mod escape;
mod event;
mod lane;
mod limits;
mod place;
mod pusher;
mod queue;
mod store;
mod telemetry;
mod waiting;

pub use body::MAX_MESSAGE_BYTES;
pub use client::LogsError;
pub use event::{Events, HandOver, StreamChunks};
pub use limits::{GroupConfigError, check_retention, check_tags};
pub use pusher::{GroupConfig, Pusher, PusherConfig, user_agent};
