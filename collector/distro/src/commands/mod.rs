//! The subcommands.

mod components;
mod featuregate;

use anyhow::Result;
use component::Gates;
use confmap::Redaction;

use crate::cli::{Cli, Command, Format, Mode, PrintConfig, Sources};
use crate::{cli, configuration, gates, run};

/// Does what the command line asks for.
pub(crate) fn execute(cli: Cli) -> Result<()> {
    let build = crate::build_info();
    if cli.version {
        return cli::print(&format!("{} version {}\n", build.command, build.version));
    }
    let (gates, warnings) = gates::check(&cli.sources.feature_gates)?;
    match cli.command {
        None => run::run(&cli.sources, cli.shutdown_timeout, gates, &warnings),
        Some(Command::Validate) => validate(&cli.sources, gates),
        Some(Command::Components) => cli::print(&components::list(&crate::components::registry(), &build)?),
        Some(Command::PrintConfig(options)) => print_config(&cli.sources, &options),
        Some(Command::Featuregate { id }) => cli::print(&featuregate::describe(id.as_deref())?),
    }
}

fn validate(sources: &Sources, gates: Gates) -> Result<()> {
    let conf = configuration::resolve(sources).map_err(|problems| configuration::invalid(&problems))?;
    let mut registry = crate::components::registry();
    registry.set_gates(gates);
    configuration::checked_plan(&conf, &registry).map(drop)
}

fn print_config(sources: &Sources, options: &PrintConfig) -> Result<()> {
    let conf = configuration::resolve(sources).map_err(|problems| configuration::invalid(&problems))?;
    if options.validate {
        configuration::checked_plan(&conf, &crate::components::registry())?;
    }
    let redaction = match options.mode {
        Mode::Redacted => Redaction::Redacted,
        Mode::Unredacted => Redaction::Unredacted,
    };
    let mut text = match options.format {
        Format::Yaml => conf.to_yaml(redaction),
        Format::Json => conf.to_json(redaction),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    cli::print(&text)
}
