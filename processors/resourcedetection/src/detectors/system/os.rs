//! The operating system.

use crate::detector::{Findings, Switches};
use crate::sources::{Sources, Uname, read};

/// Where a distribution says what it is, in order.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// What a distribution says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    name: String,
    id: String,
    version: String,
    version_id: String,
    pretty_name: String,
    build_id: String,
}

/// Adds what is known of the operating system.
pub(super) fn set(on: &impl Switches, sources: &dyn Sources, found: &mut Findings) {
    let text = OS_RELEASE.iter().find_map(|path| read(sources, path).ok());
    let (release, uname) = (Release::parse(&text.unwrap_or_default()), sources.uname());
    found.set_text(on, "os.description", &release.description(&uname));
    found.set_text(on, "os.name", release.platform());
    found.set_text(
        on,
        "os.version",
        if release.version_id.is_empty() { &uname.release } else { &release.version_id },
    );
    found.set_text(
        on,
        "os.build.id",
        if release.build_id.is_empty() { &uname.release } else { &release.build_id },
    );
}

impl Release {
    /// Reads an `os-release`: shell assignments of texts.
    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let field = match key.trim() {
                "NAME" => &mut release.name,
                "ID" => &mut release.id,
                "VERSION" => &mut release.version,
                "VERSION_ID" => &mut release.version_id,
                "PRETTY_NAME" => &mut release.pretty_name,
                "BUILD_ID" => &mut release.build_id,
                _ => continue,
            };
            *field = unquoted(value.trim());
        }
        release
    }

    /// What upstream's library calls the distribution.
    fn platform(&self) -> &str {
        match self.id.as_str() {
            "" => &self.name,
            "amzn" => "amazon",
            id => id,
        }
    }

    /// The distribution with its version, and the kernel.
    fn description(&self, uname: &Uname) -> String {
        let version = if self.version.is_empty() { &self.version_id } else { &self.version };
        let distribution = if self.name.is_empty() || version.is_empty() {
            self.pretty_name.clone()
        } else {
            format!("{} {version}", self.name)
        };
        let Uname { system, node, release, version, machine } = uname;
        let kernel = format!("{system} {node} {release} {version} {machine}");
        if distribution.is_empty() { kernel } else { format!("{distribution} ({kernel})") }
    }
}

fn unquoted(text: &str) -> String {
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let mut out = String::new();
    let mut characters = inner.unwrap_or(text).chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let uname = Uname {
            system: "Linux".into(),
            node: "n".into(),
            release: "r".into(),
            version: "v".into(),
            machine: "m".into(),
        };
        let check = |text: &str, expected: &str| {
            assert_eq!(Release::parse(text).description(&uname), expected, "{text}")
        };
        check("", "Linux n r v m");
        check(
            "NAME=\"Debian GNU/Linux\"\nVERSION=\"12 (bookworm)\"\n",
            "Debian GNU/Linux 12 (bookworm) (Linux n r v m)",
        );
        check("NAME=Alpine\nVERSION_ID=3.20\nPRETTY_NAME='x'", "Alpine 3.20 (Linux n r v m)");
        check("PRETTY_NAME=\"Some \\\"OS\\\"\"\n# c\njunk", "Some \"OS\" (Linux n r v m)");
    }
}
