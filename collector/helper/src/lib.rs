//! What exporters and scrapers share: sending queue, batcher, retry, timeout, self-telemetry, the scraper loop.
//!
//! An exporter implements [`Sender`] (one attempt, nothing else) and wraps it:
//!
//! ```text
//! consume → queue → batcher → telemetry → retry → timeout → Sender::send
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use helper::{ExporterConfig, QueueConfig, RetryConfig, SendError, Sender, TimeoutConfig};
//!
//! struct Discard;
//!
//! #[component::async_trait]
//! impl Sender for Discard {
//!     async fn send(&self, _batch: pdata::Batch) -> Result<(), SendError> {
//!         Ok(())
//!     }
//! }
//!
//! fn create(settings: &component::Settings, signal: pdata::Signal) -> Arc<dyn component::Exporter> {
//!     let config = ExporterConfig {
//!         queue: QueueConfig::on(),
//!         retry: RetryConfig::default(),
//!         timeout: TimeoutConfig::default().limit(),
//!     };
//!     helper::exporter(settings, signal, Arc::new(Discard), config, Vec::new())
//! }
//! ```
//!
//! With `sending_queue::storage`, the queue is on disk: a request is written before it is accepted and stays there until it is
//! sent, refused for good, or given up after its retries. What a shutdown or a crash interrupts comes again, in order, with
//! the next start; of a request that was sent in part, all of it. The last few megabytes are in memory too and are not
//! read again. What is known of the client of a request is not kept, so that `partition::metadata_keys` tell nothing apart.
//!
//! What differs from upstream's exporter helper:
//!
//! | upstream | here |
//! |---|---|
//! | a request larger than the whole queue fails with a passing error, so a sender retries it for ever | a permanent error with the same text |
//! | a retried subset that fails counts the whole request as failed | only the items that failed count |
//! | an item larger than the batch `max_size` in bytes is dropped | it is sent alone |
//! | an attempt that hangs at shutdown is waited for without end | it is given up at the shutdown deadline; its items are counted as failed, unless they are on disk |
//! | what was being sent from a queue on disk when the process ended comes last | it comes first, where it was |
//! | what a shutdown interrupts in a queue on disk is logged as dropped and counted as failed | it is logged as kept, and not counted |
//! | a queue on disk keeps the client's metadata | it does not |

mod backoff;
mod batcher;
mod blocking;
mod config;
mod delivery;
mod disk;
mod exporter;
pub mod exposition;
pub mod files;
mod go_regex;
pub mod json;
mod log;
mod queue;
pub mod scraper;
pub mod storage;
pub mod text;

pub use backoff::Backoff;
pub use blocking::{blocking, wait_blocking};
pub use config::{BatchConfig, PartitionConfig, QueueConfig, RetryConfig, Sizer, TimeoutConfig};
pub use delivery::{SendError, Sender};
pub use exporter::{ExporterConfig, exporter};
pub use go_regex::{GoRegexError, go_pattern, go_regex};
pub use log::Origin;

#[doc(hidden)]
pub use tracing;
