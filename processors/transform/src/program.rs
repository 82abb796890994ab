//! The statements of a signal, and how they run.

use component::ConsumeError;
use confmap::Problems;
use ottl::{Condition, Context, Env, ErrorMode, EvalError, Group, Statement};
use pdata::rewrite::{Place, Rewrite, Verdict};
use pdata::{Batch, Signal};

use crate::Config;

/// All statements of a signal, in passes: each goes through the whole batch before the next begins.
#[derive(Debug, Default)]
pub(crate) struct Program {
    passes: Vec<Pass>,
}

#[derive(Debug)]
struct Pass {
    context: Context,
    error_mode: ErrorMode,
    /// One of them must hold, if there are any.
    conditions: Vec<(String, Condition)>,
    statements: Vec<(String, Statement)>,
    /// Whether statements of a list without groups may join.
    open: bool,
}

/// A pass on its way through a batch.
struct Run<'p> {
    pass: &'p Pass,
    error: Option<ConsumeError>,
}

impl Program {
    /// The statements that are free of problems; the others are reported.
    pub(crate) fn new(config: &Config, signal: Signal, problems: &mut Problems) -> Self {
        let (key, groups) = config.statements(signal);
        let mut program = Self::default();
        problems.at(key, |problems| {
            for group in groups.statements(signal, problems) {
                problems.index(group.index, |problems| program.add(&group, config.error_mode, problems));
            }
        });
        program
    }

    fn add(&mut self, group: &Group, error_mode: ErrorMode, problems: &mut Problems) {
        let mut pass = Pass {
            context: group.context,
            error_mode: group.error_mode.unwrap_or(error_mode),
            conditions: Vec::new(),
            statements: Vec::new(),
            open: !group.is_group,
        };
        let mut each =
            |key: &str, texts: &[String], add: &mut dyn FnMut(&str) -> Result<(), ottl::ParseError>| {
                for (index, text) in texts.iter().enumerate() {
                    let mut check = |problems: &mut Problems| {
                        if let Err(error) = add(text) {
                            problems.report(format!("{text:?}: {error}"));
                        }
                    };
                    if group.is_group {
                        problems.at(key, |problems| problems.index(index, check));
                    } else {
                        check(problems);
                    }
                }
            };
        each("conditions", &group.conditions, &mut |text| {
            pass.conditions.push((text.to_owned(), Condition::parse(text, &group.context)?));
            Ok(())
        });
        each("statements", &group.statements, &mut |text| {
            pass.statements.push((text.to_owned(), Statement::parse(text, &group.context)?));
            Ok(())
        });
        match self.passes.last_mut() {
            Some(last) if last.takes(&pass) => last.statements.append(&mut pass.statements),
            _ => self.passes.push(pass),
        }
    }

    /// Runs all passes.
    pub(crate) fn run(&self, mut batch: Batch) -> Result<Batch, ConsumeError> {
        for pass in &self.passes {
            let mut run = Run { pass, error: None };
            batch = batch.rewrite(&mut run);
            if let Some(error) = run.error {
                return Err(error);
            }
        }
        Ok(batch)
    }
}

impl Pass {
    /// Whether another pass may run in the same walk: what this one does to an item is not seen by another item.
    fn takes(&self, next: &Pass) -> bool {
        let writes_above = self.statements.iter().any(|(_, statement)| statement.writes_above(&self.context));
        self.open && next.open && self.context == next.context && !writes_above
    }
}

impl Run<'_> {
    /// Notes an error; whether the pass goes on.
    fn goes_on(&mut self, what: &str, text: &str, error: &EvalError) -> bool {
        match self.pass.error_mode {
            ErrorMode::Silent => true,
            ErrorMode::Ignore => {
                tracing::warn!(statement = text, %error, "failed to {what}");
                true
            }
            ErrorMode::Propagate => {
                self.error = Some(ConsumeError::permanent(format!("failed to {what}: {text}, {error}")));
                false
            }
        }
    }

    fn applies(&mut self, env: &Env<'_, '_>) -> bool {
        let pass = self.pass;
        for (text, condition) in &pass.conditions {
            match condition.holds(env) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    if !self.goes_on("eval condition", text, &error) {
                        return false;
                    }
                }
            }
        }
        pass.conditions.is_empty()
    }
}

impl Rewrite for Run<'_> {
    fn visit(&mut self, level: pdata::rewrite::Level, place: &mut Place<'_>) -> Verdict {
        if self.error.is_some() {
            return Verdict::Keep;
        }
        let pass = self.pass;
        if level < pass.context.level() {
            return Verdict::Descend;
        }
        let mut env = Env::new(place);
        if self.applies(&env) {
            for (text, statement) in &pass.statements {
                if let Err(error) = statement.run(&mut env)
                    && !self.goes_on("execute statement", text, &error)
                {
                    break;
                }
            }
        }
        Verdict::Keep
    }
}
