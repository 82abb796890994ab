//! Identifiers: `type` or `type/name`, and pipeline ids `signal` or `signal/name`.

use std::fmt;

use pdata::Signal;

/// The five kinds of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Brings data in.
    Receiver,
    /// Changes data on its way.
    Processor,
    /// Sends data out.
    Exporter,
    /// Both an exporter of one pipeline and a receiver of another.
    Connector,
    /// Stands beside the pipelines.
    Extension,
}

impl Kind {
    /// Lower case, singular: `receiver`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Connector => "connector",
            Self::Extension => "extension",
        }
    }

    /// The top-level configuration key: `receivers`.
    pub fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `type` or `type/name`, as written in the configuration with the white space around both halves removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    kind: String,
    name: Option<String>,
}

/// Why a text is not an identifier. The wording is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("id must not be empty")]
    Empty,
    /// Nothing stands before the slash.
    #[error("in {0:?} id: the part before / should not be empty")]
    EmptyType(String),
    /// Nothing stands after the slash.
    #[error("in {0:?} id: the part after / should not be empty")]
    EmptyName(String),
    /// The type is not letters, digits and underscores after a letter, or is longer than 63 characters.
    #[error("invalid character(s) in type {0:?}")]
    InvalidType(String),
    /// The name is too long or has separators, control characters or symbols.
    #[error("invalid character(s) in name {0:?}")]
    InvalidName(String),
    /// The pipeline's signal is none of ours.
    #[error("unknown pipeline signal: {0:?}")]
    UnknownSignal(String),
    /// Profiles are a signal of upstream's alpha gate.
    #[error(
        "profiling signal support is at alpha level, gated under the \"service.profilesSupport\" feature gate"
    )]
    Profiles,
}

impl ComponentId {
    /// An id without a name.
    pub fn of_type(kind: &str) -> Self {
        Self { kind: kind.to_owned(), name: None }
    }

    /// Parses `type` or `type/name`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (kind, name) = split(text)?;
        if !is_type(kind) {
            return Err(IdError::InvalidType(kind.to_owned()));
        }
        Ok(Self { kind: kind.to_owned(), name: name.map(str::to_owned) })
    }

    /// The part before the slash.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The part after the slash.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.name.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// `signal` or `signal/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId {
    signal: Signal,
    name: Option<String>,
}

impl PipelineId {
    /// Parses `metrics`, `logs/audit`, …
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (signal, name) = split(text)?;
        let signal = match signal {
            "metrics" => Signal::Metrics,
            "logs" => Signal::Logs,
            "traces" => Signal::Traces,
            "profiles" => return Err(IdError::Profiles),
            other => return Err(IdError::UnknownSignal(other.to_owned())),
        };
        Ok(Self { signal, name: name.map(str::to_owned) })
    }

    /// What flows through the pipeline.
    pub fn signal(&self) -> Signal {
        self.signal
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signal.as_str())?;
        self.name.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Splits at the first slash and checks the name.
fn split(text: &str) -> Result<(&str, Option<&str>), IdError> {
    let Some((first, name)) = text.split_once('/') else {
        let first = text.trim();
        return if first.is_empty() { Err(IdError::Empty) } else { Ok((first, None)) };
    };
    let (first, name) = (first.trim(), name.trim());
    if first.is_empty() {
        Err(IdError::EmptyType(text.to_owned()))
    } else if name.is_empty() {
        Err(IdError::EmptyName(text.to_owned()))
    } else if !is_name(name) {
        Err(IdError::InvalidName(name.to_owned()))
    } else {
        Ok((first, Some(name)))
    }
}

fn is_type(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Upstream refuses Unicode's separators, controls and symbols. The standard library knows the first two; of the
/// symbols, those of ASCII are the ones that a person can type by accident.
fn is_name(text: &str) -> bool {
    const ASCII_SYMBOLS: &str = "$+<=>^`|~";
    text.len() <= 1024
        && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !ASCII_SYMBOLS.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_ids() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = ComponentId::parse(text).map(|id| id.to_string()).map_err(|e| e.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        };
        check("otlp", Ok("otlp"));
        check(" otlp / a/b ", Ok("otlp/a/b"));
        check("", Err("id must not be empty"));
        check("/x", Err(r#"in "/x" id: the part before / should not be empty"#));
        check("x/", Err(r#"in "x/" id: the part after / should not be empty"#));
        check("1x", Err(r#"invalid character(s) in type "1x""#));
        check("a-b", Err(r#"invalid character(s) in type "a-b""#));
        check("a/b c", Err(r#"invalid character(s) in name "b c""#));
        check("a/b+c", Err(r#"invalid character(s) in name "b+c""#));
        check(&"a".repeat(64), Err(&format!("invalid character(s) in type {:?}", "a".repeat(64))));
    }

    #[test]
    fn pipeline_ids() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = PipelineId::parse(text).map(|id| id.to_string()).map_err(|e| e.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        };
        check("metrics", Ok("metrics"));
        check("logs/x", Ok("logs/x"));
        check("trace", Err(r#"unknown pipeline signal: "trace""#));
        assert_eq!(PipelineId::parse("profiles"), Err(IdError::Profiles));
    }
}
