//! `${…}` references: innermost first, whole values typed, embedded ones as text, `$$` for a dollar.

use crate::location::{Location, Sources};
use crate::node::{MAX_DEPTH, Node, NodeKind};
use crate::problems::{DELIMITER, Problem, Problems};
use crate::provider::{Environment, Retrieved, VariableState, parse_reference};
use crate::resolve::{Warning, WarningKind};

/// Rounds after which a value is taken to refer to itself.
const MAX_ROUNDS: usize = 1000;
/// Bounds on the whole configuration, for references that multiply themselves within the rounds.
const MAX_EXPANSIONS: usize = 100_000;
const MAX_EXPANDED_BYTES: usize = 64 << 20;
const TOO_MANY: &str = "too many recursive expansions";

/// Expands every leaf of a merged tree.
pub(crate) struct Expander<'e> {
    environment: &'e dyn Environment,
    expansions: usize,
    bytes: usize,
    pub(crate) problems: Problems,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) sources: Sources,
}

/// What became of one text in one round.
enum Outcome {
    Unchanged,
    Text(String),
    Value(Retrieved),
}

impl<'e> Expander<'e> {
    pub(crate) fn new(environment: &'e dyn Environment) -> Self {
        Self {
            environment,
            expansions: 0,
            bytes: 0,
            problems: Problems::default(),
            warnings: Vec::new(),
            sources: Sources::default(),
        }
    }

    /// Expands the values below `node`; a leaf that cannot be expanded is reported and left as it is.
    pub(crate) fn tree(&mut self, node: &mut Node, path: &mut String) {
        let NodeKind::Map(map) = &mut node.kind else {
            return self.leaf(node, path);
        };
        for (key, value) in map.entries_mut() {
            let mark = path.len();
            if mark > 0 {
                path.push_str(DELIMITER);
            }
            path.push_str(&key.name);
            self.tree(value, path);
            path.truncate(mark);
        }
    }

    fn leaf(&mut self, node: &mut Node, path: &str) {
        let depth = path.matches(DELIMITER).count();
        for _ in 0..MAX_ROUNDS {
            match self.round(node, depth) {
                Ok(true) => {}
                Ok(false) => return unescape(node),
                Err(mut problem) => {
                    path.clone_into(&mut problem.path);
                    problem.location = problem.location.or_else(|| node.span.clone());
                    return self.problems.push(problem);
                }
            }
        }
        self.problems.push(Problem::new(path, TOO_MANY).with_location(node.span.clone()));
    }

    /// Expands one reference in every text of a leaf; whether anything changed.
    fn round(&mut self, node: &mut Node, depth: usize) -> Result<bool, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::new("", TOO_MANY));
        }
        let mut changed = false;
        match &mut node.kind {
            NodeKind::String(text) => return self.text_node(&text.clone(), node),
            NodeKind::Seq(items) => {
                for item in items {
                    changed |= self.round(item, depth + 1)?;
                }
            }
            NodeKind::Map(map) => {
                for (_, value) in map.entries_mut() {
                    changed |= self.round(value, depth + 1)?;
                }
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Int(_) | NodeKind::Float(_) => {}
        }
        // The target's type is not known yet, so the text is kept up to date beside the parsed value.
        if let Some(original) = node.original.take() {
            node.original = match self.step(&original, node.span.as_ref()) {
                Ok(Outcome::Text(text)) => {
                    changed = true;
                    Some(text.into())
                }
                Ok(Outcome::Unchanged) => Some(original),
                Ok(Outcome::Value(_)) | Err(_) => None,
            };
        }
        Ok(changed)
    }

    fn text_node(&mut self, text: &str, node: &mut Node) -> Result<bool, Problem> {
        node.original = None;
        match self
            .step(text, node.span.as_ref())
            .map_err(|problem| problem.with_location(node.span.clone()))?
        {
            Outcome::Unchanged => Ok(false),
            Outcome::Text(text) => {
                node.kind = NodeKind::String(text);
                Ok(true)
            }
            Outcome::Value(Retrieved { value, text, .. }) => {
                // The reference is where a reader looks first; what is inside keeps its own places.
                node.kind = value.kind;
                node.original = Some(text);
                Ok(true)
            }
        }
    }

    fn step(&mut self, text: &str, place: Option<&Location>) -> Result<Outcome, Problem> {
        let Some(reference) = find_reference(text) else { return Ok(Outcome::Unchanged) };
        let inner = reference.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        let retrieved = self.retrieve(inner, place)?;
        if reference == text {
            self.spend(retrieved.text.len())?;
            return Ok(Outcome::Value(retrieved));
        }
        let occurrences = text.matches(reference).count();
        self.spend(text.len().saturating_add(occurrences.saturating_mul(retrieved.text.len())))?;
        Ok(Outcome::Text(text.replace(reference, &retrieved.text)))
    }

    fn retrieve(&mut self, reference: &str, place: Option<&Location>) -> Result<Retrieved, Problem> {
        let uri = parse_reference(reference)?;
        let retrieved = uri.retrieve(self.environment)?;
        if let Some(state) = retrieved.variable {
            self.warn(state, uri.variable_name(), place);
        }
        if uri.scheme != "env" {
            self.sources.insert(retrieved.source.clone(), retrieved.text.clone());
        }
        Ok(retrieved)
    }

    fn warn(&mut self, state: VariableState, name: &str, place: Option<&Location>) {
        let kind = match state {
            VariableState::Unset => WarningKind::UnsetVariable,
            VariableState::Empty => WarningKind::EmptyVariable,
        };
        let warning = Warning { kind, name: name.to_owned(), location: place.cloned() };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        self.expansions += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.expansions > MAX_EXPANSIONS || self.bytes > MAX_EXPANDED_BYTES {
            return Err(Problem::new("", TOO_MANY));
        }
        Ok(())
    }
}

/// The reference to expand next: up to the first `}`, from the last `${` before it. An escaped one ends the search.
fn find_reference(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (upto, after) = rest.split_at_checked(rest.find('}')? + 1)?;
        let Some(open) = upto.rfind("${") else {
            rest = after;
            continue;
        };
        let (before, reference) = upto.split_at_checked(open)?;
        let dollars = before.len() - before.trim_end_matches('$').len();
        return (dollars % 2 == 0).then_some(reference);
    }
}

/// `$$` to `$`, everywhere in a finished leaf.
fn unescape(node: &mut Node) {
    if let Some(original) = &mut node.original
        && original.contains("$$")
    {
        *original = original.replace("$$", "$").into();
    }
    match &mut node.kind {
        NodeKind::String(text) if text.contains("$$") => *text = text.replace("$$", "$"),
        NodeKind::Seq(items) => items.iter_mut().for_each(unescape),
        NodeKind::Map(map) => map.entries_mut().iter_mut().for_each(|(_, value)| unescape(value)),
        _ => {}
    }
}
