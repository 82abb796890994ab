//! Events as lines of standard output or a file.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use component::{BoxError, ConsumeError};

use crate::config::OutputFileConfig;
use crate::file::FileOutput;
use crate::translate::EventSink;

/// Text that is held before it is written.
const PIECE_BYTES: usize = 1 << 20;
/// Text that a batch may become at least.
const MIN_BATCH_BYTES: usize = 256 << 20;
/// Text that a batch may become, as a multiple of its own size.
const MAX_EXPANSION: usize = 32;

/// The events of a batch, a line each, on their way to the output.
pub(crate) struct Lines<'o> {
    output: &'o Output,
    text: String,
    /// Bytes of text that the batch may still become.
    budget: usize,
    /// Events in the text.
    held: u64,
    /// Events that were written.
    pub(crate) written: u64,
    /// Events that could not be written.
    pub(crate) failed: u64,
    error: Option<ConsumeError>,
}

/// A destination of lines.
pub(crate) enum Output {
    Stdout,
    File { config: OutputFileConfig, file: Mutex<Option<Box<FileOutput>>> },
}

impl<'o> Lines<'o> {
    /// The lines of a batch of `batch_bytes`.
    pub(crate) fn new(output: &'o Output, batch_bytes: usize) -> Self {
        let budget = batch_bytes.saturating_mul(MAX_EXPANSION).max(MIN_BATCH_BYTES);
        Self { output, text: String::new(), budget, held: 0, written: 0, failed: 0, error: None }
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// Of this write or an earlier one.
    pub(crate) fn flush(&mut self) -> Result<(), ConsumeError> {
        let events = std::mem::take(&mut self.held);
        if events > 0 {
            // A reader or a disk may take its time.
            match helper::blocking(|| self.output.write(&self.text)) {
                Ok(()) => self.written += events,
                Err(error) => {
                    self.failed += events;
                    self.error.get_or_insert(match error {
                        // The same batch again would double what is written.
                        ConsumeError::Retryable { reason, .. } if self.written > 0 => {
                            ConsumeError::permanent(reason)
                        }
                        error => error,
                    });
                }
            }
            self.text.clear();
        }
        self.error.clone().map_or(Ok(()), Err)
    }
}

impl EventSink for Lines<'_> {
    const ESCAPED: bool = false;

    fn max_event_bytes(&self) -> Option<usize> {
        None
    }

    fn is_exhausted(&self) -> bool {
        self.budget == 0 || self.error.is_some()
    }

    fn begin(&mut self, _group: &str, _stream: &str, _timestamp_ms: i64, _items: u32) -> Option<&mut String> {
        Some(&mut self.text)
    }

    fn end(&mut self, plain_len: usize) -> bool {
        self.text.push('\n');
        self.held += 1;
        self.budget = self.budget.saturating_sub(plain_len);
        if self.text.len() >= PIECE_BYTES {
            // The error is kept until the batch ends.
            let _ = self.flush();
        }
        true
    }
}

impl Output {
    /// A file, opened later.
    pub(crate) fn file(config: Option<&OutputFileConfig>) -> Self {
        Self::File { config: config.cloned().unwrap_or_default(), file: Mutex::default() }
    }

    /// Opens what has to be opened.
    pub(crate) fn open(&self) -> Result<(), BoxError> {
        if let Self::File { config, file } = self {
            let output = FileOutput::open(config)?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(output));
        }
        Ok(())
    }

    /// Writes whole lines; may block.
    fn write(&self, lines: &str) -> Result<(), ConsumeError> {
        match self {
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                // Some lines may be out: the same again would double them.
                let failed = |error| {
                    ConsumeError::permanent(format!("writing events to standard output failed: {error}"))
                };
                stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).map_err(failed)
            }
            Self::File { config, file } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let failed = |error| {
                    ConsumeError::retryable(format!("writing events to {:?} failed: {error}", config.path))
                };
                file.as_mut().map_or(Ok(()), |file| file.write(lines)).map_err(failed)
            }
        }
    }
}
