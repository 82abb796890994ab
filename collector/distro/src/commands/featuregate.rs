//! `featuregate`: the gates that are understood.

use anyhow::{Context, Result};

use crate::gates::{GATES, Gate, Stage};

/// A table of all gates, or one gate's details.
pub(crate) fn describe(id: Option<&str>) -> Result<String> {
    let Some(id) = id else {
        let mut text = row("ID", "Enabled", "Stage", "Description");
        text.extend(
            GATES.iter().map(|gate| row(gate.id, enabled(gate), gate.stage.as_str(), gate.description)),
        );
        return Ok(text);
    };
    let gate =
        GATES.iter().find(|gate| gate.id == id).with_context(|| format!("feature {id:?} not found"))?;
    Ok(format!(
        "Feature: {}\nEnabled: {}\nStage: {}\nDescription: {}\n",
        gate.id,
        enabled(gate),
        gate.stage.as_str(),
        gate.description
    ))
}

fn enabled(gate: &Gate) -> &'static str {
    if gate.stage == Stage::Beta { "true" } else { "false" }
}

fn row(id: &str, enabled: &str, stage: &str, description: &str) -> String {
    format!("{id:<64} {enabled:<8} {stage:<8} {description}\n")
}
