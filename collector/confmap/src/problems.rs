//! What is wrong with a configuration: collected, never stopping at the first fault.

use std::fmt;

use crate::location::{Location, Sources};
use crate::resolve::Conf;

/// Separates the keys of a path, as upstream's messages do.
pub const DELIMITER: &str = "::";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place in the configuration: `exporters::awsemf/prod::metric_declarations[2]::dimensions`.
    /// Empty for a fault that belongs to no key.
    pub path: String,
    /// What is wrong, without the path.
    pub message: String,
    /// The place in a source, when known.
    pub location: Option<Location>,
    /// What to do about it: ``did you mean `endpoint`?``.
    pub help: Option<String>,
}

/// A collector of [`Problem`]s that knows the path it is at.
///
/// ```
/// use confmap::Problems;
///
/// let mut problems = Problems::default();
/// problems.at("exporters", |p| {
///     p.at("awsemf/prod", |p| {
///         p.index(2, |p| p.report("must not be empty"));
///     });
/// });
/// assert_eq!(problems.to_string(), "exporters::awsemf/prod[2]: must not be empty");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    path: String,
    sources: Sources,
}

impl Problem {
    /// A problem at `path`, without a place in a source and without help.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), location: None, help: None }
    }

    /// The same problem with its place in a source.
    #[must_use]
    pub fn with_location(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl Problems {
    /// An empty collector whose current path is `path`.
    pub fn rooted(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many problems were found.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The problems, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }

    /// The problems, in the order they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }

    /// The path that the next report is given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports `message` at the current path.
    pub fn report(&mut self, message: impl Into<String>) {
        self.found.push(Problem::new(self.path.clone(), message));
    }

    /// Reports `message` at the current path, with advice.
    pub fn report_with_help(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Problem::new(self.path.clone(), message).with_help(Some(help.into())));
    }

    /// Adds a problem as it is; its path is not touched.
    pub fn push(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Runs `check` one key further down.
    pub fn at<R>(&mut self, key: impl AsRef<str>, check: impl FnOnce(&mut Problems) -> R) -> R {
        let mark = self.path.len();
        if mark > 0 {
            self.path.push_str(DELIMITER);
        }
        self.path.push_str(key.as_ref());
        let result = check(self);
        self.path.truncate(mark);
        result
    }

    /// Runs `check` in the element `index` of the list at the current path.
    pub fn index<R>(&mut self, index: usize, check: impl FnOnce(&mut Problems) -> R) -> R {
        let mark = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = check(self);
        self.path.truncate(mark);
        result
    }

    /// Takes over the problems of `other`, with their own paths.
    pub fn merge(&mut self, other: Problems) {
        self.sources.extend(&other.sources);
        self.found.extend(other.found);
    }

    /// Gives every problem without a location the place of its path in `conf`, or of the nearest key above it,
    /// and keeps the texts of `conf` for [`Problems::render_snippets`].
    pub fn locate(&mut self, conf: &Conf) {
        for problem in &mut self.found {
            if problem.location.is_none() {
                problem.location = conf.locate(&problem.path);
            }
        }
        self.sources.extend(conf.sources());
    }

    /// The texts that the locations refer to, as far as they were kept.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    /// The collected problems.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    pub(crate) fn keep_sources(&mut self, sources: &Sources) {
        self.sources.extend(sources);
    }

    pub(crate) fn sort_by_location(&mut self) {
        // Stable, and only within one source: problems without a place keep theirs.
        self.found.sort_by(|a, b| match (&a.location, &b.location) {
            (Some(a), Some(b)) if a.source == b.source => (a.line, a.column).cmp(&(b.line, b.column)),
            (Some(a), Some(b)) => a.source.cmp(&b.source),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { found: vec![problem], ..Self::default() }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.found.extend(problems);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn display_puts_place_path_message_and_help_on_one_line() {
        let source: Arc<str> = "c.yaml".into();
        let problem = Problem::new("exporters::awsemf", "has invalid keys: regoin")
            .with_location(Some(Location::new(&source, 7, 5)))
            .with_help(Some("did you mean `region`?".into()));
        assert_eq!(
            problem.to_string(),
            "c.yaml:7:5: exporters::awsemf: has invalid keys: regoin (did you mean `region`?)"
        );
        assert_eq!(Problem::new("", "empty configuration file").to_string(), "empty configuration file");
    }

    #[test]
    fn the_path_is_restored() {
        let mut problems = Problems::rooted("exporters::otlp");
        problems.at("queue", |p| p.index(1, |p| p.report("a")));
        problems.report_with_help("b", "c");
        assert_eq!(problems.to_string(), "exporters::otlp::queue[1]: a\nexporters::otlp: b (c)");
    }
}
