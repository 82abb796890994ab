//! Where configuration comes from: `file:`, `env:`, `yaml:`.

use std::io;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::node::{Node, NodeKind};
use crate::problems::Problem;
use crate::yaml::{self, YamlError};

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The outside world as configuration sees it.
pub trait Environment {
    /// The content of a file.
    ///
    /// # Errors
    /// Whatever kept the file from being read.
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The value of an environment variable, or `None` when it is not set.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The process's real files and environment variables. Files over 16 MiB are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// `scheme:rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) scheme: String,
    pub(crate) rest: String,
}

/// What a URI stands for.
pub(crate) struct Retrieved {
    /// The parsed value; text that is no YAML, or YAML text, is the text itself.
    pub(crate) value: Node,
    pub(crate) text: Arc<str>,
    pub(crate) source: Arc<str>,
    /// Why the text is only text.
    pub(crate) yaml_error: Option<YamlError>,
    pub(crate) variable: Option<VariableState>,
}

/// An environment variable worth a word in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VariableState {
    Unset,
    Empty,
}

impl Environment for System {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
        }
        Ok(content)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
}

impl Uri {
    /// Splits at the first colon; a scheme has at least two characters.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let mut bytes = scheme.bytes();
        let fits = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && scheme.len() >= 2
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
        fits.then(|| Self { scheme: scheme.to_owned(), rest: rest.to_owned() })
    }

    /// The value of `--config`: no colon, or one drive letter before it, means a file.
    pub(crate) fn of_config(text: &str) -> Result<Self, Problem> {
        let drive = matches!(text.as_bytes(), [b'A'..=b'z', b':', ..]);
        if drive || !text.contains(':') {
            return Ok(Self { scheme: "file".to_owned(), rest: text.to_owned() });
        }
        let uri = Self::parse(text).ok_or_else(|| Problem::new("", format!("invalid uri: {text:?}")))?;
        match uri.scheme.as_str() {
            "file" | "env" | "yaml" | "http" | "https" => Ok(uri),
            _ => Err(Problem::new("", format!("unsupported scheme on URI {text:?}"))),
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.scheme, self.rest)
    }

    /// Fetches and parses.
    pub(crate) fn retrieve(&self, environment: &dyn Environment) -> Result<Retrieved, Problem> {
        match self.scheme.as_str() {
            "file" => self.retrieve_file(environment),
            "env" => self.retrieve_variable(environment),
            "yaml" => retrieved("yaml:".into(), self.rest.as_str().into(), None),
            "http" | "https" => Err(Problem::new(
                "",
                format!(
                    "the scheme {:?} is not available in this distribution (uri {:?})",
                    self.scheme,
                    self.text()
                ),
            )
            .with_help(Some("download the file first and give its path".to_owned()))),
            _ => Err(self.unknown_scheme()),
        }
    }

    fn retrieve_file(&self, environment: &dyn Environment) -> Result<Retrieved, Problem> {
        let unreadable = |why: String| {
            Problem::new("", format!("unable to read the file {}: open {}: {why}", self.text(), self.rest))
        };
        let content =
            environment.read_file(Path::new(&self.rest)).map_err(|error| unreadable(system_words(&error)))?;
        let text = String::from_utf8(content).map_err(|error| {
            unreadable(format!("invalid UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        retrieved(self.rest.as_str().into(), text.into(), None)
    }

    fn retrieve_variable(&self, environment: &dyn Environment) -> Result<Retrieved, Problem> {
        let (name, default) = match self.rest.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (self.rest.as_str(), None),
        };
        if !is_variable_name(name) {
            return Err(Problem::new(
                "",
                format!(
                    "environment variable {name:?} has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
                ),
            ));
        }
        let (value, state) = match (environment.variable(name), default) {
            (Some(value), _) => {
                let state = value.is_empty().then_some(VariableState::Empty);
                (value, state)
            }
            (None, Some(default)) => (default.to_owned(), None),
            (None, None) => (String::new(), Some(VariableState::Unset)),
        };
        retrieved(format!("env:{name}").into(), value.into(), state)
    }

    fn unknown_scheme(&self) -> Problem {
        let Self { scheme, .. } = self;
        Problem::new("", format!("scheme {scheme:?} is not supported for uri {:?}", self.text()))
            .with_help(default_hint(&self.text()))
    }

    /// The name of the variable that an `env:` URI reads.
    pub(crate) fn variable_name(&self) -> &str {
        self.rest.split_once(":-").map_or(self.rest.as_str(), |(name, _)| name)
    }
}

/// A reference inside a value: `env:` unless it has a scheme.
pub(crate) fn parse_reference(text: &str) -> Result<Uri, Problem> {
    if !text.contains(':') {
        return Ok(Uri { scheme: "env".to_owned(), rest: text.to_owned() });
    }
    let uri = Uri::parse(text).ok_or_else(|| match default_hint(text) {
        Some(help) => {
            let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
            Problem::new("", format!("scheme {scheme:?} is not supported for uri {text:?}"))
                .with_help(Some(help))
        }
        None => Problem::new("", format!("invalid uri: {text:?}")),
    })?;
    if uri.rest.contains('$') {
        return Err(Problem::new("", format!("the uri {text:?} contains unsupported characters ('$')")));
    }
    Ok(uri)
}

/// Advice for `${NAME:-default}`, which only works with the scheme written out.
fn default_hint(text: &str) -> Option<String> {
    let (name, default) = text.split_once(":-")?;
    is_variable_name(name).then(|| format!("write ${{env:{name}:-{default}}}"))
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn retrieved(
    source: Arc<str>,
    text: Arc<str>,
    variable: Option<VariableState>,
) -> Result<Retrieved, Problem> {
    let (value, yaml_error) = match yaml::parse(&source, &text) {
        Ok(Node { kind: NodeKind::String(_), .. }) => (Node::new(NodeKind::String(text.to_string())), None),
        Ok(mut value) => {
            crate::merge::split_keys(&mut value);
            (value, None)
        }
        Err(error) if error.is_rejection() => return Err(error.into_problem(&source)),
        Err(error) => (Node::new(NodeKind::String(text.to_string())), Some(error)),
    };
    Ok(Retrieved { value, text, source, yaml_error, variable })
}

/// The operating system's own words, as Go prints them.
fn system_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_values() {
        for (input, expected) in [
            ("collector.yaml", Ok(("file", "collector.yaml"))),
            ("file:/etc/c.yaml", Ok(("file", "/etc/c.yaml"))),
            (r"C:\c.yaml", Ok(("file", r"C:\c.yaml"))),
            ("a.yaml,b.yaml", Ok(("file", "a.yaml,b.yaml"))),
            ("env:MY_YAML", Ok(("env", "MY_YAML"))),
            ("yaml:a::b: c", Ok(("yaml", "a::b: c"))),
            ("foo:bar", Err("unsupported scheme on URI \"foo:bar\"")),
            ("a_b:c", Err("invalid uri: \"a_b:c\"")),
        ] {
            let found = Uri::of_config(input);
            let found = found.as_ref().map(|uri| (uri.scheme.as_str(), uri.rest.as_str()));
            assert_eq!(found.map_err(|problem| problem.message.as_str()), expected, "{input}");
        }
    }

    #[test]
    fn references() {
        for (input, expected) in [
            ("X", Ok("env:X".to_owned())),
            ("env:X:-d", Ok("env:X:-d".to_owned())),
            ("X:-d", Err("scheme \"X\" is not supported for uri \"X:-d\" (write ${env:X:-d})".to_owned())),
            (
                "MY_X:-d",
                Err("scheme \"MY_X\" is not supported for uri \"MY_X:-d\" (write ${env:MY_X:-d})".to_owned()),
            ),
            ("env:$X", Err("the uri \"env:$X\" contains unsupported characters ('$')".to_owned())),
            ("1:2", Err("invalid uri: \"1:2\"".to_owned())),
        ] {
            let found = parse_reference(input);
            assert_eq!(
                found.map(|uri| uri.text()).map_err(|problem| problem.to_string()),
                expected,
                "{input}"
            );
        }
    }
}
