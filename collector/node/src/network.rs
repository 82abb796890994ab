//! Network counters per interface: `/proc/<pid>/net/dev`.

use crate::error::ParseError;
use crate::text::{lines, not_a_number, number, words};

/// Interfaces whose names begin with one of these, in any letter case, are not reported: loopback and the host's ends
/// of container links.
pub const IGNORED_INTERFACE_PREFIXES: &[&str] = &["lo", "veth", "docker", "nerdctl"];

/// A name, eight receive columns, eight transmit columns.
const COLUMNS: usize = 17;

/// Counters of one network interface since it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name, such as `eth0`.
    pub name: Box<str>,
    /// What it received.
    pub rx: Traffic,
    /// What it sent.
    pub tx: Traffic,
}

/// Counters of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets lost to errors.
    pub errors: u64,
    /// Packets dropped for lack of room.
    pub dropped: u64,
}

/// Whether an interface is left out of the reports; see [`IGNORED_INTERFACE_PREFIXES`].
#[must_use]
pub fn is_ignored_interface(name: &[u8], prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// `/proc/<pid>/net/dev`: the interfaces of that process's network namespace, without the ignored ones.
///
/// # Errors
/// A line of another shape voids the file, as its other lines are then not to be trusted:
/// [`ParseError::FieldCount`] or [`ParseError::NotANumber`]; [`ParseError::Missing`] without the two header lines.
pub fn parse_net_dev(bytes: &[u8], ignored_prefixes: &[&str]) -> Result<Vec<Interface>, ParseError> {
    let mut lines = lines(bytes).enumerate();
    if lines.by_ref().take(2).count() < 2 {
        return Err(ParseError::Missing { what: "the header" });
    }
    let mut interfaces = Vec::new();
    for (index, line) in lines {
        if let Some(interface) = parse_line(index + 1, line, ignored_prefixes)? {
            interfaces.push(interface);
        }
    }
    Ok(interfaces)
}

fn parse_line(line: usize, bytes: &[u8], ignored_prefixes: &[&str]) -> Result<Option<Interface>, ParseError> {
    // The colon may touch the first number. A name holds none (dev_valid_name in net/core/dev.c).
    let colon = bytes.iter().rposition(|&byte| byte == b':');
    let (name, columns) =
        colon.and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?))).unwrap_or_default();
    let columns: Vec<&[u8]> = words(columns).collect();
    let found = 1 + columns.len();
    let name = name.trim_ascii();
    if found != COLUMNS || name.is_empty() {
        return Err(ParseError::FieldCount { line, found, expected: COLUMNS });
    }
    if is_ignored_interface(name, ignored_prefixes) {
        return Ok(None);
    }
    let (rx, tx) = columns.split_at(8);
    let name = String::from_utf8_lossy(name).into_owned().into_boxed_str();
    Ok(Some(Interface { name, rx: traffic(rx)?, tx: traffic(tx)? }))
}

fn traffic(columns: &[&[u8]]) -> Result<Traffic, ParseError> {
    let column = |index: usize, what| {
        let word = columns.get(index).copied().unwrap_or_default();
        number(word).ok_or_else(|| not_a_number(what, word))
    };
    Ok(Traffic {
        bytes: column(0, "bytes")?,
        packets: column(1, "packets")?,
        errors: column(2, "errs")?,
        dropped: column(3, "drop")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    \
        packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

    fn interface(name: &str, rx: [u64; 4], tx: [u64; 4]) -> Interface {
        let traffic =
            |[bytes, packets, errors, dropped]: [u64; 4]| Traffic { bytes, packets, errors, dropped };
        Interface { name: name.into(), rx: traffic(rx), tx: traffic(tx) }
    }

    #[test]
    fn net_dev() {
        fn check(body: &str, expected: Result<&[Interface], &str>) {
            let text = format!("{HEADER}{body}");
            let actual =
                parse_net_dev(text.as_bytes(), IGNORED_INTERFACE_PREFIXES).map_err(|error| error.to_string());
            assert_eq!(actual.as_deref(), expected.map_err(str::to_owned).as_deref(), "{body:?}");
        }
        check(
            "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n  \
             eth0: 155673081    5918    1    2    3     4          5         6   320995    2791    7    8    9     10       11          12\n\
             vethf00:1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\nDocker0: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n\
             eni0a1b:18446744073709551615 1 0 0 0 0 0 0 2 3 0 0 0 0 0 0\n",
            Ok(&[
                interface("eth0", [155_673_081, 5918, 1, 2], [320_995, 2791, 7, 8]),
                interface("eni0a1b", [u64::MAX, 1, 0, 0], [2, 3, 0, 0]),
            ]),
        );
        check("", Ok(&[]));
        check("eth0: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", Err("line 3 has 16 fields instead of 17"));
        check("eth0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", Err("line 3 has 1 fields instead of 17"));
        check("eth0: 1 1 -1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", Err("errs is not a number: \"-1\""));
        check("eth0: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n\n", Err("line 4 has 1 fields instead of 17"));
        // Cut short: the interfaces before the cut are whole.
        check(
            "eth0: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\neth1: 1 1",
            Ok(&[interface("eth0", [1, 1, 1, 1], [1, 1, 1, 1])]),
        );
    }

    #[test]
    fn a_file_without_header_is_refused() {
        for text in ["", "\n", "Inter-|\n face"] {
            assert_eq!(parse_net_dev(text.as_bytes(), &[]), Err(ParseError::Missing { what: "the header" }));
        }
    }

    #[test]
    fn ignored() {
        fn check(name: &str, expected: bool) {
            assert_eq!(is_ignored_interface(name.as_bytes(), IGNORED_INTERFACE_PREFIXES), expected, "{name}");
        }
        check("lo", true);
        check("LO", true);
        check("veth12ab", true);
        check("nerdctl0", true);
        check("eth0", false);
        check("l", false);
        check("", false);
    }
}
