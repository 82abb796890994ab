//! Interfaces and their addresses, of the files that the kernel shows.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::sources::{Sources, read};

/// The flags of an interface, as in Linux' `if.h`.
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;

/// What the host has of a network.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    /// Of interfaces that are up and no loopback.
    pub(super) addresses: Vec<String>,
    /// Of the same, in upper case with hyphens.
    pub(super) macs: Vec<String>,
    /// The names of all interfaces.
    pub(super) interfaces: Vec<String>,
}

impl Network {
    pub(super) fn read(sources: &dyn Sources) -> Self {
        let directory = std::fs::read_dir(sources.root().join("sys/class/net"));
        let entries = directory.map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        let interfaces: BTreeMap<String, bool> = entries
            .into_iter()
            // A file of the bonding driver is among the folders.
            .filter(|entry| entry.path().is_dir())
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let flags = read(sources, &format!("sys/class/net/{name}/flags")).unwrap_or_default();
                (name, is_used(&flags))
            })
            .collect();
        let used = |name: &str| interfaces.get(name).copied().unwrap_or(false);
        let mut addresses = ipv4(&read(sources, "proc/net/fib_trie").unwrap_or_default());
        addresses.extend(ipv6(&read(sources, "proc/net/if_inet6").unwrap_or_default(), used));
        let macs = interfaces.keys().filter(|name| used(name)).filter_map(|name| {
            let mac = read(sources, &format!("sys/class/net/{name}/address")).ok()?;
            Some(mac.trim().to_ascii_uppercase().replace(':', "-")).filter(|mac| !mac.is_empty())
        });
        Self { addresses, macs: macs.collect(), interfaces: interfaces.keys().cloned().collect() }
    }
}

/// Whether an interface of these flags is up and no loopback.
fn is_used(flags: &str) -> bool {
    let flags =
        flags.trim().strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    flags & UP != 0 && flags & LOOPBACK == 0
}

/// The host's own addresses of a `fib_trie`: routes to what is local, which interfaces that are down do not have.
fn ipv4(text: &str) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.filter(|address| !address.is_loopback())
        {
            let address = address.to_string();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses
}

/// The addresses of an `if_inet6` whose interfaces are used.
fn ipv6(text: &str, used: impl Fn(&str) -> bool) -> Vec<String> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        words.next_back().filter(|name| used(name))?;
        let address = Ipv6Addr::from_bits(bits);
        (!address.is_loopback()).then(|| address.to_string())
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let check = |flags: &str, expected: bool| assert_eq!(is_used(flags), expected, "{flags}");
        check("0x1003\n", true);
        check("0x9\n", false);
        check("0x1002\n", false);
        check("", false);
        check("0xzz", false);
    }

    #[test]
    fn addresses_of_version_4() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    \u{20}    |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.7\n        /32 host LOCAL\n\
                    \u{20}    |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n\
                    \u{20}    |-- junk\n        /32 host LOCAL\n";
        assert_eq!(ipv4(text), ["10.0.0.7"]);
        assert_eq!(ipv4(""), [""; 0]);
    }

    #[test]
    fn addresses_of_version_6() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                    fe80000000000000c86e7dfffe284066 08 40 20 80 down0\njunk\n\n";
        assert_eq!(ipv6(text, |name| name == "eth0"), ["fe80::fc:ff:fe00:1"]);
        assert_eq!(ipv6(text, |_| true).len(), 2, "loopback never");
    }
}
