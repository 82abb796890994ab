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
    /// Whether each item has a resource and a scope of its own while the passes run.
    flat: bool,
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
        // Where nothing above the items is written, they may as well share it.
        let is_flat = config.flatten_data && signal == Signal::Logs;
        program.flat = is_flat && program.passes.iter().any(Pass::writes_above);
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
    pub(crate) fn run(&self, batch: Batch) -> Result<Batch, ConsumeError> {
        if !self.flat {
            return self.run_passes(batch);
        }
        let mut joined = Batch::empty(batch.signal()).with_client(batch.client().cloned());
        self.run_on_each(batch.clone(), &mut joined)?;
        Ok(joined.group_by_attributes(&[]).batch.delivered_as(&batch))
    }

    /// Runs all passes on each item by itself. Halves are halved again, so that no byte is copied more than a few times.
    fn run_on_each(&self, mut batch: Batch, joined: &mut Batch) -> Result<(), ConsumeError> {
        if batch.items() > 1 {
            let first = batch.split_off_first(batch.items() / 2);
            self.run_on_each(first, joined)?;
            return self.run_on_each(batch, joined);
        }
        // Of the same signal: it is never handed back.
        drop(joined.append(self.run_passes(batch)?));
        Ok(())
    }

    fn run_passes(&self, mut batch: Batch) -> Result<Batch, ConsumeError> {
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
        self.open && next.open && self.context == next.context && !self.writes_above()
    }

    fn writes_above(&self) -> bool {
        self.statements.iter().any(|(_, statement)| statement.writes_above(&self.context))
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
