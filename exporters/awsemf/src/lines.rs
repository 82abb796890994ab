//! Events as lines of standard output or a file.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use component::{BoxError, ConsumeError};

use crate::config::OutputFileConfig;
use crate::file::FileOutput;
use crate::translate::EventSink;

/// The events of a batch, a line each.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) text: String,
    pub(crate) events: u64,
}

/// Where lines go.
pub(crate) enum Output {
    Stdout,
    File { config: OutputFileConfig, file: Arc<Mutex<Option<FileOutput>>> },
}

impl EventSink for Lines {
    const ESCAPED: bool = false;

    fn max_event_bytes(&self) -> Option<usize> {
        None
    }

    fn begin(&mut self, _group: &str, _stream: &str, _timestamp_ms: i64, _items: u32) -> Option<&mut String> {
        Some(&mut self.text)
    }

    fn end(&mut self, _plain_len: usize) -> bool {
        self.text.push('\n');
        self.events += 1;
        true
    }
}

impl Output {
    /// A file, opened later.
    pub(crate) fn file(config: Option<&OutputFileConfig>) -> Self {
        Self::File { config: config.cloned().unwrap_or_default(), file: Arc::default() }
    }

    /// Opens what has to be opened.
    pub(crate) fn open(&self) -> Result<(), BoxError> {
        if let Self::File { config, file } = self {
            let output = FileOutput::open(config)?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
        }
        Ok(())
    }

    /// Writes whole lines.
    pub(crate) async fn write(&self, lines: String) -> Result<(), ConsumeError> {
        if lines.is_empty() {
            return Ok(());
        }
        // A reader or a disk may take its time.
        match self {
            Self::Stdout => {
                let written = tokio::task::spawn_blocking(move || {
                    let mut stdout = std::io::stdout().lock();
                    stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
                });
                let what = "writing events to standard output failed";
                match written.await {
                    Ok(Ok(())) => Ok(()),
                    // Some lines may be out: the same again would double them.
                    Ok(Err(error)) => Err(ConsumeError::permanent(format!("{what}: {error}"))),
                    Err(error) => Err(ConsumeError::permanent(format!("{what}: {error}"))),
                }
            }
            Self::File { config, file } => {
                let file = file.clone();
                let written = tokio::task::spawn_blocking(move || {
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    file.as_mut().map_or(Ok(()), |file| file.write(&lines))
                });
                let what = format!("writing events to {:?} failed", config.path);
                match written.await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(ConsumeError::retryable(format!("{what}: {error}"))),
                    Err(error) => Err(ConsumeError::retryable(format!("{what}: {error}"))),
                }
            }
        }
    }
}
