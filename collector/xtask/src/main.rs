//! Repository rules as code.
//!
//! `cargo xtask check` runs every rule and prints what breaks one. The same rules run as tests of this crate.

mod direction;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("check") => check(),
        _ => Err(anyhow::anyhow!("usage: cargo xtask check")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<()> {
    let root = root()?;
    let mut broken = direction::broken(&root)?;
    broken.extend(tidy::broken(&root)?);
    if broken.is_empty() {
        report("all repository rules hold");
        return Ok(());
    }
    bail!("{} broken:\n{}", broken.len(), broken.join("\n"))
}

/// The project's root folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("this crate lies two folders below the root")?.to_owned())
}

#[allow(clippy::print_stderr, reason = "a tool speaks to its user")]
fn report(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_point_one_way() {
        assert_eq!(direction::broken(&root().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(tidy::broken(&root().unwrap()).unwrap(), Vec::<String>::new());
    }
}
