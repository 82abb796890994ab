//! The names of the clients' directories.

use std::fmt::Write as _;

use component::{ComponentId, Kind};
use sha2::{Digest as _, Sha256};

/// File systems take 255 bytes.
const MOST_BYTES: usize = 250;

/// Upstream's name for the file of a client, `kind_type_name[_storage]`, and `.d`: a directory stands beside a file that
/// upstream's collector may have left.
pub(crate) fn of_client(kind: Kind, id: &ComponentId, storage: &str) -> String {
    let mut raw = format!("{kind}_{}_{}", id.kind(), id.name().unwrap_or_default());
    if !storage.is_empty() {
        raw.push('_');
        raw.push_str(storage);
    }
    let mut name = sanitize(&raw);
    if name.len() > MOST_BYTES {
        name = Sha256::digest(raw).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    }
    name + ".d"
}

/// Letters, digits, dots, hyphens and underscores stay; anything else becomes `~` and four hexadecimal digits or more.
fn sanitize(raw: &str) -> String {
    raw.chars().fold(String::with_capacity(raw.len()), |mut name, c| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            name.push(c);
        } else {
            let _ = write!(name, "~{:04X}", u32::from(c));
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |id: &str, storage: &str, expected: &str| {
            let id = ComponentId::parse(id).unwrap();
            assert_eq!(of_client(Kind::Exporter, &id, storage), expected);
        };
        check("otlp", "", "exporter_otlp_.d");
        check("otlp", "metrics", "exporter_otlp__metrics.d");
        check("otlp/b", "metrics", "exporter_otlp_b_metrics.d");
        check("otlp/../x", "", "exporter_otlp_..~002Fx.d");
        check("otlp/ü", "", "exporter_otlp_~00FC.d");
        let long =
            of_client(Kind::Exporter, &ComponentId::parse(&format!("otlp/{}", "n".repeat(300))).unwrap(), "");
        assert_eq!(long.len(), 64 + 2);
    }
}
