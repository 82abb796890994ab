//! What users write under `extensions: file_storage:`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use confmap::{Duration, Problems};
use serde::Deserialize;

/// The extension's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where the clients' directories are.
    pub directory: PathBuf,
    /// Whether `directory` is made where it is missing.
    pub create_directory: bool,
    /// The permissions of a directory that is made, octal.
    pub directory_permissions: String,
    /// How long to wait for another process that still uses a client's directory.
    pub timeout: Duration,
    /// Whether what is written must survive a loss of power.
    pub fsync: bool,
    /// How many bytes a client may keep; 0 for any.
    pub max_size: u64,
    /// Understood, without effect: damage never keeps a client from starting.
    pub recreate: bool,
    /// Understood, without effect: files that are not needed are deleted at once.
    pub compaction: Compaction,
}

/// `compaction`: understood, without effect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Whether upstream compacts at start.
    pub on_start: bool,
    /// Whether upstream compacts when a file has become emptier.
    pub on_rebound: bool,
    /// Where upstream puts its temporary files.
    pub directory: PathBuf,
    /// From which size of a file upstream compacts.
    pub rebound_needed_threshold_mib: i64,
    /// Below how much content upstream compacts.
    pub rebound_trigger_threshold_mib: i64,
    /// How much upstream copies at a time.
    pub max_transaction_size: i64,
    /// How often upstream looks.
    pub check_interval: Duration,
    /// Whether upstream deletes temporary files at start.
    pub cleanup_on_start: bool,
}

const DIRECTORY: &str = "/var/lib/otelcol/file_storage";

impl Config {
    /// `directory_permissions` as a number, if it is one.
    pub(crate) fn permissions(&self) -> Option<u32> {
        u32::from_str_radix(&self.directory_permissions, 8).ok()
    }

    fn check_directory(&self, path: &Path, problems: &mut Problems) {
        let shown = path.display();
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => problems.report(format!("{shown} is not a directory")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.create_directory => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => problems.report(format!(
                "directory must exist: stat {shown}: no such file or directory. You can enable the create_directory option to automatically create it"
            )),
            Err(error) => problems.report(format!("problem accessing configured directory: {shown}: {error}")),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.at("directory", |problems| self.check_directory(&self.directory, problems));
        let compaction = &self.compaction;
        if (compaction.on_start || compaction.on_rebound) && compaction.directory != self.directory {
            problems.at("compaction", |problems| {
                problems.at("directory", |problems| self.check_directory(&compaction.directory, problems));
            });
        }
        if compaction.max_transaction_size < 0 {
            problems.report("max transaction size for compaction cannot be less than 0");
        }
        if compaction.on_rebound && compaction.check_interval == Duration::ZERO {
            problems.report("compaction check interval must be positive when rebound compaction is set");
        }
        if self.create_directory {
            match self.permissions() {
                None => problems.report(format!(
                    "directory_permissions value must be a valid octal representation: {:?}",
                    self.directory_permissions
                )),
                Some(permissions) if permissions & !0o777 != 0 => {
                    problems.report("directory_permissions contain invalid bits for file access");
                }
                Some(_) => {}
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: DIRECTORY.into(),
            create_directory: false,
            directory_permissions: "0750".into(),
            timeout: Duration::from_secs(1),
            fsync: false,
            max_size: 0,
            recreate: false,
            compaction: Compaction::default(),
        }
    }
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            on_start: false,
            on_rebound: false,
            directory: DIRECTORY.into(),
            rebound_needed_threshold_mib: 100,
            rebound_trigger_threshold_mib: 10,
            max_transaction_size: 65536,
            check_interval: Duration::from_secs(5),
            cleanup_on_start: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use component::Config as _;

    use super::*;

    #[test]
    fn what_is_refused() {
        let check = |yaml: &str, expected: &str| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            config.validate(&mut problems);
            assert_eq!(problems.to_string(), expected, "{yaml}");
        };
        check("{directory: /}", "");
        check("{directory: /nowhere, create_directory: true}", "");
        check("{directory: /, compaction: {on_start: true, directory: /tmp}}", "");
        check(
            "{directory: /nowhere}",
            "directory: directory must exist: stat /nowhere: no such file or directory. \
             You can enable the create_directory option to automatically create it",
        );
        check("{directory: /proc/self/status}", "directory: /proc/self/status is not a directory");
        check(
            "{directory: /, compaction: {on_rebound: true, directory: /proc/self/status}}",
            "compaction::directory: /proc/self/status is not a directory",
        );
        check(
            "{directory: /, compaction: {max_transaction_size: -1}}",
            "max transaction size for compaction cannot be less than 0",
        );
        check(
            "{directory: /, compaction: {on_rebound: true, directory: /, check_interval: 0s}}",
            "compaction check interval must be positive when rebound compaction is set",
        );
        check(
            "{directory: /, create_directory: true, directory_permissions: rwx}",
            "directory_permissions value must be a valid octal representation: \"rwx\"",
        );
        check(
            "{directory: /, create_directory: true, directory_permissions: '7777'}",
            "directory_permissions contain invalid bits for file access",
        );
    }

    #[test]
    fn defaults() {
        let config: Config = confmap::from_yaml("{}").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.permissions(), Some(0o750));
    }
}
