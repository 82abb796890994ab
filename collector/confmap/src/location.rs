//! Where a value was written, and the texts it was written in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A place in a source of configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The source's name: a file's path, `env:NAME`, `--set a.b`, or the name of a built-in configuration.
    pub source: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// The texts that were read, by the name of their source, kept so that a problem can show its line.
///
/// The content of environment variables is never kept: it is where secrets come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// None where two texts came under one name, so that none can be shown.
    texts: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

impl Location {
    /// A place in `source`; `line` and `column` count from 1.
    pub fn new(source: &Arc<str>, line: usize, column: usize) -> Self {
        Self { source: Arc::clone(source), line, column }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Sources {
    /// Keeps `text` under `name`. When a different text has that name already, neither is shown any more.
    pub fn insert(&mut self, name: Arc<str>, text: impl Into<Arc<str>>) {
        self.add(name, Some(text.into()));
    }

    /// The text of the source called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name)?.as_deref()
    }

    /// One line of a source, counted from 1, without its line break.
    pub fn line(&self, location: &Location) -> Option<&str> {
        self.get(&location.source)?.lines().nth(location.line.checked_sub(1)?)
    }

    /// Adds every text of `other`.
    pub(crate) fn extend(&mut self, other: &Sources) {
        for (name, text) in &other.texts {
            self.add(Arc::clone(name), text.clone());
        }
    }

    fn add(&mut self, name: Arc<str>, text: Option<Arc<str>>) {
        let kept = self.texts.entry(name).or_insert_with(|| text.clone());
        if *kept != text {
            *kept = None;
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.texts.keys()).finish()
    }
}
