//! What one decoding remembers from attempt to attempt.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Write as _;

use super::error::DecodeError;
use crate::location::Location;
use crate::problems::{DELIMITER, Problem, Problems};

/// Problems found so far and what is left out because of them.
#[derive(Default)]
pub(crate) struct Context {
    found: RefCell<Vec<Problem>>,
    /// Paths of values that failed.
    skipped: RefCell<HashSet<String>>,
    /// Paths of unknown keys, which are met again in every attempt.
    unknown: RefCell<HashSet<String>>,
    /// Struct visitor and field for which null keeps the default.
    null_keeps: RefCell<HashSet<(&'static str, String)>>,
}

/// Where a value stands, as a chain up the stack.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    segment: Segment<'p>,
}

#[derive(Clone, Copy)]
enum Segment<'p> {
    Root(&'p str),
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) fn root(path: &'p str) -> Self {
        Self { parent: None, segment: Segment::Root(path) }
    }

    pub(crate) fn key<'c>(&'c self, name: &'c str) -> Path<'c> {
        Path { parent: Some(self), segment: Segment::Key(name) }
    }

    pub(crate) fn index(&self, index: usize) -> Path<'_> {
        Path { parent: Some(self), segment: Segment::Index(index) }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.segment {
            Segment::Root(path) => out.push_str(path),
            Segment::Key(name) => {
                if !out.is_empty() {
                    out.push_str(DELIMITER);
                }
                out.push_str(name);
            }
            Segment::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "[{index}]");
            }
        }
    }
}

impl Context {
    pub(crate) fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// How much the attempts so far have taught; every failed attempt adds to it.
    pub(crate) fn lessons(&self) -> usize {
        self.skipped.borrow().len() + self.null_keeps.borrow().len()
    }

    pub(crate) fn into_problems(self) -> Problems {
        let mut problems = Problems::default();
        problems.extend(self.found.into_inner());
        problems.sort_by_location();
        problems
    }

    /// Reports a fresh error at `path` and leaves that value out from now on.
    pub(crate) fn attribute(
        &self,
        path: &Path<'_>,
        place: Option<&Location>,
        error: DecodeError,
    ) -> DecodeError {
        let DecodeError::Fresh { message, help } = error else { return DecodeError::Handled };
        let path = path.render();
        let mut found = self.found.borrow_mut();
        // A container that misses what was left out below it is not at fault itself.
        let is_consequence = found.iter().any(|problem| is_below(&problem.path, &path));
        if !is_consequence {
            let problem = Problem::new(path.clone(), message).with_location(place.cloned()).with_help(help);
            found.push(problem);
        }
        self.skipped.borrow_mut().insert(path);
        DecodeError::Handled
    }

    pub(crate) fn is_skipped(&self, path: &Path<'_>) -> bool {
        let skipped = self.skipped.borrow();
        !skipped.is_empty() && skipped.contains(&path.render())
    }

    /// Reports a key that nothing reads, once.
    pub(crate) fn unknown_key(
        &self,
        path: &Path<'_>,
        key: &crate::node::Key,
        known: &mut dyn Iterator<Item = &str>,
    ) {
        let message = format!("has invalid keys: {}", key.name);
        if self.unknown.borrow_mut().insert(path.key(&key.name).render()) {
            let help = crate::suggest::nearest(&key.name, known);
            let problem =
                Problem::new(path.render(), message).with_location(key.span.clone()).with_help(help);
            self.found.borrow_mut().push(problem);
        }
    }

    pub(crate) fn null_keeps(&self, visitor: &'static str, field: &str) -> bool {
        let known = self.null_keeps.borrow();
        !known.is_empty() && known.contains(&(visitor, field.to_owned()))
    }

    /// Learns that null leaves this field at its default, for the next attempt.
    pub(crate) fn keep_on_null(&self, visitor: &'static str, field: &str) -> DecodeError {
        self.null_keeps.borrow_mut().insert((visitor, field.to_owned()));
        DecodeError::Handled
    }
}

fn is_below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| {
        rest.starts_with(DELIMITER) || rest.starts_with('[') || (ancestor.is_empty() && !rest.is_empty())
    })
}
