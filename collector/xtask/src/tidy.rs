//! Rules about files: length, where `unsafe` may stand, what every component's folder has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file of more lines than this is to be split by concern.
const MOST_LINES: usize = 800;

/// The sections that every component's README has.
const README_SECTIONS: [&str; 2] = ["## Options", "## Differences from upstream"];

/// One line per rule that is broken.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for folder in ["collector", "receivers", "processors", "exporters", "tests"] {
        let mut sources = Vec::new();
        collect_sources(&root.join(folder), &mut sources)?;
        for source in sources {
            check_source(root, &source, &mut broken)?;
        }
    }
    for folder in ["receivers", "processors", "exporters", "collector/extensions"] {
        for component in children(&root.join(folder))? {
            check_component(root, &component, &mut broken)?;
        }
    }
    Ok(broken)
}

fn collect_sources(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for path in children(folder)? {
        let generated = ["target", "testdata"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !generated {
            collect_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn check_source(root: &Path, path: &Path, broken: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let name = path.strip_prefix(root).unwrap_or(path).display();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        broken.push(format!("{name}: {lines} lines, at most {MOST_LINES}: split it by concern"));
    }
    let may_be_unsafe = ["collector/pdata", "collector/node", "collector/xtask"]
        .iter()
        .any(|folder| path.starts_with(root.join(folder)));
    if !may_be_unsafe && text.contains("allow(unsafe_code") {
        broken.push(format!("{name}: unsafe code belongs into pdata and node only"));
    }
    Ok(())
}

fn check_component(root: &Path, folder: &Path, broken: &mut Vec<String>) -> Result<()> {
    let name = folder.strip_prefix(root).unwrap_or(folder).display();
    let Ok(readme) = fs::read_to_string(folder.join("README.md")) else {
        broken.push(format!("{name}: has no README.md"));
        return Ok(());
    };
    for section in README_SECTIONS {
        if !readme.contains(section) {
            broken.push(format!("{name}/README.md: has no section {section:?}"));
        }
    }
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).context("manifest")?;
    if !manifest.contains("[lints]\nworkspace = true") {
        broken.push(format!("{name}: does not take the workspace's lints"));
    }
    Ok(())
}
