//! Configurations in the forms that AWS publishes: refused for nothing but component types that this collector does not have.

#![expect(clippy::print_stderr, reason = "the counts of what is accepted")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use conformance::validation_errors;
use libtest_mimic::{Arguments, Failed, Trial};
use testkit::emf::directory;

/// Variables that the agent's deployments set, and those that a recorded configuration refers to.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("K8S_NODE_NAME", "node-1"),
    ("ENV_CREDENTIALS_ROLE_ARN", "arn:aws:iam::123456789012:role/agent"),
    ("ENV_LOG_STREAM_NAME", "stream"),
    ("ENV_REGION", "eu-west-1"),
];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("configurations");
    let mut trials = vec![
        trial("what_is_made_of_our_components_is_accepted", own.join("accepted"), true),
        trial("what_the_agent_makes_of_our_json_lacks_component_types_only", own.join("agent"), false),
    ];
    let name = "recorded_translations_of_the_agent_lack_component_types_only";
    trials.push(match directory("agent") {
        Some(directory) => trial(name, directory, false),
        None => Trial::test(format!("{name}: not at hand, set CONFORMANCE_VECTORS"), || Ok(()))
            .with_ignored_flag(true),
    });
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trial(name: &str, directory: PathBuf, all_accepted: bool) -> Trial {
    let group = name.to_owned();
    Trial::test(name, move || {
        check(&group, &directory, all_accepted).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn check(group: &str, directory: &Path, all_accepted: bool) -> Result<()> {
    let configurations = configurations(directory)?;
    ensure!(!configurations.is_empty(), "no configurations in {}", directory.display());
    let (mut accepted, mut wrong) = (0, Vec::new());
    for path in &configurations {
        let errors = validation_errors(path, &ENVIRONMENT)?;
        accepted += usize::from(errors.is_empty());
        let unexpected = errors.into_iter().filter(|error| all_accepted || !is_missing_type(error));
        wrong.extend(unexpected.map(|error| format!("{}: {error}", path.display())));
    }
    let total = configurations.len();
    eprintln!("{group}: {total} configurations, {accepted} accepted, {} other errors", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The YAML files of a directory, and `expected.yaml` of the directories in it.
fn configurations(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let expected = path.join("expected.yaml");
        if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        } else if expected.is_file() {
            found.push(expected);
        }
    }
    found.sort();
    Ok(found)
}

fn is_missing_type(error: &str) -> bool {
    error.contains(" unknown type: ")
}
