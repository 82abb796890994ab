//! The command line: upstream's flags and subcommands.

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::{Result, anyhow};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// What the user asked for.
#[derive(Debug, Parser)]
#[command(name = "otelcol-insights", about, disable_version_flag = true, disable_help_subcommand = false)]
pub(crate) struct Cli {
    /// version for otelcol-insights
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// How long shutdown may take before what is left is given up
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) shutdown_timeout: std::time::Duration,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sources {
    /// Location of a config file or URI (file:, env:, yaml:); repeat for several, which are merged in order.
    /// Without it the built-in default configuration runs
    #[arg(long = "config", value_name = "URI", global = true)]
    pub(crate) configs: Vec<String>,
    /// Set arbitrary component config property; the component has to be defined in the config file and the flag
    /// has a higher precedence. Example --set=processors.batch.timeout=2s
    #[arg(long = "set", value_name = "KEY=VALUE", global = true, allow_hyphen_values = true)]
    pub(crate) sets: Vec<String>,
    /// Comma-delimited list of feature gate identifiers; prefix with '-' to disable the feature, '+' or no prefix
    /// to enable it
    #[arg(long = "feature-gates", value_name = "GATES", global = true, allow_hyphen_values = true)]
    pub(crate) feature_gates: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validates the config without running the collector
    Validate,
    /// Outputs available components in this collector distribution
    Components,
    /// Prints the collector's configuration after merging and expansion
    #[command(alias = "print-initial-config")]
    PrintConfig(PrintConfig),
    /// Display feature gates information
    Featuregate {
        /// One gate to be described
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PrintConfig {
    /// Whether secrets are shown
    #[arg(long, value_enum, default_value = "redacted")]
    pub(crate) mode: Mode,
    /// Output format
    #[arg(long, value_enum, default_value = "yaml")]
    pub(crate) format: Format,
    /// Validate before printing
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) validate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Redacted,
    Unredacted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// Reads the command line. Help is printed here and leaves nothing to do.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli> {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => Ok(cli),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print(&error.to_string())?;
            // Help was the whole task: what remains is a command line that asks for nothing.
            Err(Done.into())
        }
        Err(error) => Err(anyhow!(first_line(&error))),
    }
}

/// Nothing is left to do, successfully.
#[derive(Debug, thiserror::Error)]
#[error("done")]
pub(crate) struct Done;

/// Upstream's wording for the error that people meet; else the parser's first line without its own "error: ".
fn first_line(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(command)) = error.get(ContextKind::InvalidSubcommand)
    {
        return format!("unknown command {command:?} for \"otelcol-insights\"");
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let duration: confmap::GoDuration =
        text.parse().map_err(|error: confmap::DurationError| error.to_string())?;
    u64::try_from(duration.0)
        .map(std::time::Duration::from_nanos)
        .map_err(|_| "must not be negative".to_owned())
}

/// Writes to standard output: the product of a subcommand.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Tells the user what went wrong.
#[allow(clippy::print_stderr, reason = "the last word of a command")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("Error: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Cli> {
        parse(std::iter::once("otelcol-insights").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn flags_stand_before_and_behind_the_command() {
        let cli = parsed(&["--config", "a.yaml", "validate", "--set", "x.y=z", "--config=b.yaml"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Validate)));
        assert_eq!(cli.sources.sets, ["x.y=z"]);
        assert_eq!(cli.sources.configs, ["b.yaml"]);
    }

    #[test]
    fn a_comma_belongs_to_the_name() {
        let cli = parsed(&["--config", "a.yaml,b.yaml", "--config", "c"]).unwrap();
        assert_eq!(cli.sources.configs, ["a.yaml,b.yaml", "c"]);
    }

    #[test]
    fn errors_are_one_line() {
        let check = |arguments: &[&str], expected: &str| {
            assert_eq!(parsed(arguments).unwrap_err().to_string(), expected);
        };
        check(&["bogus"], r#"unknown command "bogus" for "otelcol-insights""#);
        check(&["--bogus"], "unexpected argument '--bogus' found");
        check(
            &["--shutdown-timeout", "1d"],
            "invalid value '1d' for '--shutdown-timeout <DURATION>': time: unknown unit \"d\" in duration \"1d\"",
        );
    }
}
