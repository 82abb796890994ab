//! Problems with the line they are on.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::location::{Location, Sources};
use crate::problems::{Problem, Problems};
use crate::redact;

impl Problems {
    /// All problems as plain text, each with its line of `sources` and a caret under the place.
    ///
    /// The value on a line that names a secret is not shown.
    pub fn render_snippets(&self, sources: &Sources) -> String {
        let mut out = String::new();
        for problem in self {
            if !out.is_empty() {
                out.push_str("\n\n");
            }
            out.push_str(&render(problem, sources));
        }
        out
    }
}

fn render(problem: &Problem, sources: &Sources) -> String {
    let located = problem.location.as_ref().and_then(|place| Some((place, sources.line(place)?)));
    let Some((place, line)) = located else { return problem.to_string() };
    let title = match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("{path}: {}", problem.message),
    };
    let line = mask(line);
    let snippet = Snippet::source(&line)
        .line_start(place.line)
        .path(&*place.source)
        .annotation(AnnotationKind::Primary.span(token(&line, place)));
    let mut group = Level::ERROR.primary_title(title).element(snippet);
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help));
    }
    Renderer::plain().render(&[group])
}

/// The bytes of the word at `place`.
fn token(line: &str, place: &Location) -> std::ops::Range<usize> {
    let start =
        line.char_indices().nth(place.column.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    let rest = line.get(start..).unwrap_or_default();
    let end = rest.find([' ', ',', ':', '}', ']', '#']).filter(|end| *end > 0).unwrap_or(rest.len());
    start..start + end
}

fn mask(line: &str) -> String {
    if !redact::mentions_secret(line) {
        return line.to_owned();
    }
    match line.split_once(": ") {
        Some((key, _)) => format!("{key}: {}", crate::secret::REDACTED),
        None if line.trim_end().ends_with(':') => line.to_owned(),
        None => crate::secret::REDACTED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn shows_the_line() {
        let mut sources = Sources::default();
        let name: Arc<str> = "c.yaml".into();
        sources.insert(Arc::clone(&name), "exporters:\n  awsemf:\n    regoin: x\n    password: 5\n");
        let problem = |line, column, message: &str, help: Option<&str>| {
            Problem::new("exporters::awsemf", message)
                .with_location(Some(Location::new(&name, line, column)))
                .with_help(help.map(str::to_owned))
        };
        let mut problems = Problems::default();
        problems.push(problem(3, 5, "has invalid keys: regoin", Some("did you mean `region`?")));
        problems.push(problem(4, 15, "bad", None));
        problems.push(Problem::new("", "no place"));
        let expected = "\
error: exporters::awsemf: has invalid keys: regoin
 --> c.yaml:3:5
  |
3 |     regoin: x
  |     ^^^^^^
  |
  = help: did you mean `region`?

error: exporters::awsemf: bad
 --> c.yaml:4:15
  |
4 |     password: [REDACTED]
  |               ^^^^^^^^^

no place";
        assert_eq!(problems.render_snippets(&sources), expected);
    }
}
