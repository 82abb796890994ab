//! From sources to one resolved tree.

use std::fmt;
use std::sync::Arc;

use crate::expand::Expander;
use crate::location::{Location, Sources};
use crate::merge;
use crate::node::{Map, Node, NodeKind};
use crate::print::Redaction;
use crate::problems::{Problem, Problems};
use crate::provider::{Environment, Retrieved, Uri, VariableState};
use crate::yaml;

/// Collects the sources of a configuration and resolves them: read, merge, expand.
///
/// ```
/// use confmap::{Resolver, System};
///
/// let conf = Resolver::default()
///     .builtin("default", "receivers: {otlp: {}}\nexporters: {debug: }\n")
///     .set("exporters.debug.verbosity=detailed")
///     .resolve(&System)
///     .unwrap();
/// assert_eq!(conf.get(&["exporters", "debug", "verbosity"]).unwrap().as_str(), Some("detailed"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    configs: Vec<Source>,
    sets: Vec<String>,
}

#[derive(Clone, Debug)]
enum Source {
    Uri(String),
    Builtin(Arc<str>, Arc<str>),
}

/// A resolved configuration: merged, expanded, not yet decoded.
#[derive(Clone, Default)]
pub struct Conf {
    root: Node,
    sources: Sources,
    warnings: Vec<Warning>,
}

/// Something to log once there is a logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The variable.
    pub name: String,
    /// Where it is referred to.
    pub location: Option<Location>,
}

/// The kinds of [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// A variable that is not set; upstream logs it as a warning.
    UnsetVariable,
    /// A variable that is set to nothing; upstream logs it as information.
    EmptyVariable,
}

impl Resolver {
    /// Adds the value of one `--config` flag: a path or a URI.
    #[must_use]
    pub fn config(mut self, uri: impl Into<String>) -> Self {
        self.configs.push(Source::Uri(uri.into()));
        self
    }

    /// Adds the value of one `--set` flag: `a.b.c=value`. Applied after every configuration.
    #[must_use]
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.sets.push(assignment.into());
        self
    }

    /// Adds a configuration that is part of the program; `name` stands for it in messages.
    #[must_use]
    pub fn builtin(mut self, name: &str, yaml: &str) -> Self {
        self.configs.push(Source::Builtin(name.into(), yaml.into()));
        self
    }

    /// Reads, merges and expands everything.
    ///
    /// # Errors
    /// All problems of all sources; when every source could be read, all references that could not be expanded.
    pub fn resolve(&self, environment: &dyn Environment) -> Result<Conf, Problems> {
        let mut conf = Conf::default();
        let mut problems = Problems::default();
        let mut root = Map::default();
        if self.configs.is_empty() {
            problems.report("at least one config flag must be provided");
        }
        for source in &self.configs {
            match conf.load(source, environment) {
                Ok(map) => merge::merge(&mut root, map),
                Err(problem) => problems.push(problem),
            }
        }
        for assignment in &self.sets {
            match conf.load_set(assignment) {
                Ok(map) => merge::merge(&mut root, map),
                Err(problem) => problems.push(problem),
            }
        }
        conf.root = Node::new(NodeKind::Map(root));
        if problems.is_empty() {
            let mut expander = Expander::new(environment);
            expander.tree(&mut conf.root, &mut String::new());
            merge::split_keys(&mut conf.root);
            conf.warnings.append(&mut expander.warnings);
            conf.sources.extend(&expander.sources);
            problems = expander.problems;
        }
        if problems.is_empty() {
            return Ok(conf);
        }
        problems.keep_sources(&conf.sources);
        Err(problems)
    }
}

impl Conf {
    /// Wraps a tree that was made elsewhere; nothing is expanded.
    pub fn from_node(root: Node) -> Self {
        Self { root, ..Self::default() }
    }

    /// The whole tree; a mapping.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The node at `path`, key by key.
    pub fn get(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, key| node.get(key))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.root.as_map().is_none_or(Map::is_empty)
    }

    /// The place of a [`Problem::path`], or of the nearest key above it.
    pub fn locate(&self, path: &str) -> Option<Location> {
        self.root.nearest(path)
    }

    /// The texts of files, built-in configurations and `--set` flags.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What to log once there is a logger.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn load(&mut self, source: &Source, environment: &dyn Environment) -> Result<Map, Problem> {
        match source {
            Source::Uri(text) => {
                let uri = Uri::of_config(text)?;
                let retrieved = uri.retrieve(environment)?;
                if let Some(state) = retrieved.variable {
                    self.warnings.push(Warning::new(state, uri.variable_name()));
                }
                if uri.scheme != "env" {
                    self.sources.insert(Arc::clone(&retrieved.source), Arc::clone(&retrieved.text));
                }
                as_map(retrieved)
            }
            Source::Builtin(name, text) => self.load_text(name, text),
        }
    }

    fn load_set(&mut self, assignment: &str) -> Result<Map, Problem> {
        let Some((key, value)) = assignment.split_once('=') else {
            let message = format!("invalid argument {assignment:?} for \"--set\" flag: missing equal sign");
            return Err(Problem::new("", message));
        };
        let key = key.trim();
        let name: Arc<str> = format!("--set {key}").into();
        let text: Arc<str> = format!("{}: {}", key.replace('.', "::"), value.trim()).into();
        self.load_text(&name, &text)
    }

    fn load_text(&mut self, name: &Arc<str>, text: &Arc<str>) -> Result<Map, Problem> {
        self.sources.insert(Arc::clone(name), Arc::clone(text));
        let mut value = yaml::parse(name, text).map_err(|error| error.into_problem(name))?;
        merge::split_keys(&mut value);
        as_map(Retrieved {
            value,
            text: Arc::clone(text),
            source: Arc::clone(name),
            yaml_error: None,
            variable: None,
        })
    }
}

impl fmt::Debug for Conf {
    /// The redacted tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json(Redaction::Redacted))
    }
}

impl Warning {
    fn new(state: VariableState, name: &str) -> Self {
        let kind = match state {
            VariableState::Unset => WarningKind::UnsetVariable,
            VariableState::Empty => WarningKind::EmptyVariable,
        };
        Self { kind, name: name.to_owned(), location: None }
    }

    /// The message to log, with the variable's name as the attribute `name`.
    pub fn message(&self) -> &'static str {
        match self.kind {
            WarningKind::UnsetVariable => "Configuration references unset environment variable",
            WarningKind::EmptyVariable => "Configuration references empty environment variable",
        }
    }
}

fn as_map(retrieved: Retrieved) -> Result<Map, Problem> {
    if let Some(error) = retrieved.yaml_error {
        return Err(error.into_problem(&retrieved.source));
    }
    let kind = retrieved.value.go_type();
    match retrieved.value.kind {
        NodeKind::Null => Ok(Map::default()),
        NodeKind::Map(map) => Ok(map),
        _ => Err(Problem::new("", format!("retrieved value (type={kind}) cannot be used as a Conf"))
            .with_location(retrieved.value.span.or_else(|| Some(Location::new(&retrieved.source, 1, 1))))
            .with_help(Some("a configuration is a mapping with keys such as `receivers`".to_owned()))),
    }
}
