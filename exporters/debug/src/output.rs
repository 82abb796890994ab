//! Where the text goes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// The destinations of the output beside the collector's log.
#[derive(Default)]
pub(crate) struct Output(Mutex<Vec<Box<dyn Write + Send>>>);

/// Why a destination cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open output path {path:?} for appending")]
pub(crate) struct OpenError {
    path: String,
    #[source]
    source: io::Error,
}

impl Output {
    /// Opens everything.
    pub(crate) fn open(&self, paths: &[String]) -> Result<(), OpenError> {
        let opened: Result<Vec<_>, _> = paths.iter().map(|path| open(path)).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = opened?;
        Ok(())
    }

    /// Writes a line everywhere; the first failure is returned, after the others got theirs.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = Ok(());
        for writer in writers.iter_mut() {
            let line = format!("{text}\n");
            result = result.and(writer.write_all(line.as_bytes()).and_then(|()| writer.flush()));
        }
        result
    }

    /// Closes the files.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn open(path: &str) -> Result<Box<dyn Write + Send>, OpenError> {
    Ok(match path {
        "stdout" => Box::new(io::stdout()),
        "stderr" => Box::new(io::stderr()),
        path => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            Box::new(file.map_err(|source| OpenError { path: path.to_owned(), source })?)
        }
    })
}
