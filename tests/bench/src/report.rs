//! The numbers as a Markdown table, with what they were measured on.

use std::fmt::Write as _;

/// One number.
#[derive(Debug)]
pub struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// A number without a target.
    pub fn new(what: &str, value: f64, unit: &'static str) -> Self {
        Self { what: what.to_owned(), value, unit, target: None }
    }

    /// The same, that should not be lower than `target`.
    #[must_use]
    pub fn at_least(self, target: f64) -> Self {
        Self { target: Some(Target::AtLeast(target)), ..self }
    }

    /// The same, that should not be higher than `target`.
    #[must_use]
    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(Target::AtMost(target)), ..self }
    }

    /// The number.
    pub fn value(&self) -> f64 {
        self.value
    }

    fn verdict(&self) -> String {
        let met = |met: bool| if met { "met" } else { "**missed**" };
        match self.target {
            None => "–".to_owned(),
            Some(Target::AtLeast(target)) => format!("≥ {target}: {}", met(self.value >= target)),
            Some(Target::AtMost(target)) => format!("≤ {target}: {}", met(self.value <= target)),
        }
    }
}

/// The table.
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from("| What | Measured | Target |\n| --- | --- | --- |\n");
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {:.3} {} | {} |", row.what, row.value, row.unit, row.verdict());
    }
    out
}

/// Processor model, cores and kernel.
pub fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}
