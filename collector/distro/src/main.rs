//! `otelcol-insights`: Container Insights and OpenTelemetry in one small collector.

mod cli;
mod commands;
mod components;
mod configuration;
mod gates;
mod run;

use std::process::ExitCode;
use std::sync::Arc;

use component::BuildInfo;

/// Small processes want their memory back: the default allocator keeps a heap per thread and returns little of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).and_then(commands::execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<cli::Done>() => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Which build this is.
fn build_info() -> Arc<BuildInfo> {
    Arc::new(BuildInfo {
        command: env!("CARGO_PKG_NAME").to_owned(),
        description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
