//! The host's name.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::Error;
use crate::sources::{Sources, read};

/// How long name servers have for one source: where they are gone, the next source should have its turn in time.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The name of the first source that has one.
pub(super) async fn find(order: &[String], sources: &dyn Sources) -> Result<String, Error> {
    let own = sources.uname().node;
    for source in order {
        let look = async {
            match source.as_str() {
                "os" => Some(own.clone()),
                "dns" => fully_qualified(&own, sources).await,
                "cname" => canonical(&own, sources).await.map(|(name, _)| name),
                "lookup" => reverse(&own, sources).await,
                _ => None,
            }
        };
        let name = timeout(PATIENCE, look).await.ok().flatten();
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            return Ok(name.trim_end_matches('.').to_owned());
        }
        tracing::debug!(source, "no name of the host here");
    }
    Err(Error::Hostname(order.join(", ")))
}

/// What the hosts file says first of the host, else its canonical name, else that of one of its addresses.
async fn fully_qualified(own: &str, sources: &dyn Sources) -> Option<String> {
    let (name, addresses) = canonical(own, sources).await?;
    if !name.is_empty() {
        return Some(name);
    }
    first_name(&addresses, sources).await
}

async fn canonical(own: &str, sources: &dyn Sources) -> Option<(String, Vec<IpAddr>)> {
    if own.is_empty() {
        return None;
    }
    match in_hosts(own, sources) {
        Some(found) => Some(found),
        None => sources.canonical(own).await,
    }
}

/// The name of one of the host's addresses.
async fn reverse(own: &str, sources: &dyn Sources) -> Option<String> {
    let (_, addresses) = canonical(own, sources).await?;
    first_name(&addresses, sources).await
}

async fn first_name(addresses: &[IpAddr], sources: &dyn Sources) -> Option<String> {
    for address in addresses {
        if let Some(name) = sources.name_of(*address).await {
            return Some(name);
        }
    }
    None
}

/// The first name of the line of the hosts file that has this one, and the addresses of all such lines.
fn in_hosts(own: &str, sources: &dyn Sources) -> Option<(String, Vec<IpAddr>)> {
    parse_hosts(&read(sources, "etc/hosts").ok()?, own)
}

fn parse_hosts(text: &str, own: &str) -> Option<(String, Vec<IpAddr>)> {
    let (mut name, mut addresses) = (None, Vec::new());
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let names: Vec<&str> = words.collect();
        if names.iter().any(|name| name.eq_ignore_ascii_case(own)) {
            addresses.push(address);
            name = name.or_else(|| names.first().map(|name| (*name).to_owned()));
        }
    }
    Some((name?, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::sources::Uname;

    fn host(hosts: &str) -> Fake {
        Fake { uname: Uname { node: "h".into(), ..Uname::default() }, ..Fake::default() }
            .with_file("etc/hosts", hosts)
    }

    async fn check(fake: Fake, order: &str, expected: Option<&str>) {
        let order: Vec<String> = order.split(' ').map(str::to_owned).collect();
        assert_eq!(find(&order, &fake).await.ok().as_deref(), expected, "{order:?}");
    }

    #[tokio::test]
    async fn sources_in_order() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 h.commented h\n10.0.0.1 h.example.com H # h\n";
        check(host(hosts), "dns os", Some("h.example.com")).await;
        check(host(hosts), "cname", Some("h.example.com")).await;
        check(host(hosts), "os dns", Some("h")).await;
        check(host(""), "dns os", Some("h")).await;
        check(host(""), "dns cname lookup", None).await;
        check(host(""), "nosuch os", Some("h")).await;
    }

    #[tokio::test]
    async fn name_servers() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let known = || {
            let mut fake = host("127.0.0.1 localhost");
            fake.canonical.insert("h".into(), ("h.of.dns.".into(), vec![address]));
            fake
        };
        check(known(), "dns os", Some("h.of.dns")).await;
        check(known(), "cname", Some("h.of.dns")).await;
        check(known(), "lookup", None).await;
        let mut both = known();
        both.names.insert(address, "h.reverse".into());
        check(both, "lookup os", Some("h.reverse")).await;
        let mut by_hosts = host("10.0.0.1 h");
        by_hosts.names.insert(address, "h.reverse".into());
        check(by_hosts, "lookup", Some("h.reverse")).await;
    }

    /// Name servers that are gone do not keep the other sources from being asked in time.
    #[tokio::test(start_paused = true)]
    async fn name_servers_that_are_gone() {
        let mut fake = host("127.0.0.1 localhost");
        fake.has_no_name_server = true;
        let begun = tokio::time::Instant::now();
        check(fake, "dns os", Some("h")).await;
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
