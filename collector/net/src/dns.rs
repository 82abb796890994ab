//! Questions to name servers that the system's own functions do not answer: canonical names, and names of addresses.
//!
//! A stub: it asks the servers of `resolv.conf` over UDP, one after the other, and believes what they say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// How long one server has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most servers and search domains that count, as in glibc.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 6;
/// The longest answer over UDP that is read.
const LONGEST: usize = 4096;
/// The length of the head of a message.
const HEAD: usize = 12;
/// The most jumps in one name: more are a loop.
const MOST_JUMPS: usize = 32;
/// The most aliases that are followed.
const MOST_ALIASES: usize = 16;
/// The types of records that are understood.
const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
/// Internet.
const CLASS: u16 = 1;

/// How names are resolved here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about, without the last dot, in lower case.
    pub name: String,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The name has this address.
    Address(IpAddr),
    /// The name is another one for this one.
    Alias(String),
    /// The address has this name.
    Name(String),
}

impl Resolver {
    /// What a `resolv.conf` says. Without a server in it, the one of this machine is asked.
    pub fn from_resolv_conf(text: &str) -> Self {
        let mut resolver = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone behind the address names an interface, which link-local servers need and others lack.
                    let address =
                        words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    resolver.servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => resolver.search = words.map(trimmed).collect(),
                Some("options") => {
                    let ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    resolver.ndots = ndots.unwrap_or(resolver.ndots).min(15);
                }
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        resolver.servers.truncate(MOST_SERVERS);
        resolver.search.truncate(MOST_SEARCHES);
        resolver
    }

    /// The same with other servers.
    #[must_use]
    pub fn with_servers(self, servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..self }
    }

    /// The name that has the addresses of `name`, without the last dot, and those addresses. Nothing if there are none.
    pub async fn canonical(&self, name: &str) -> Option<(String, Vec<IpAddr>)> {
        for candidate in self.candidates(name) {
            for kind in [A, AAAA] {
                let Some(records) = self.ask(&candidate, kind).await else { continue };
                let canonical = follow(&candidate, &records);
                let addresses: Vec<IpAddr> = addresses(&canonical, &records).collect();
                if !addresses.is_empty() {
                    return Some((canonical, addresses));
                }
            }
        }
        None
    }

    /// The name of an address, without the last dot.
    pub async fn name_of(&self, address: IpAddr) -> Option<String> {
        let records = self.ask(&reverse_name(address), PTR).await?;
        records.into_iter().find_map(|record| match record.data {
            Data::Name(name) => Some(name).filter(|name| !name.is_empty()),
            _ => None,
        })
    }

    /// The full names that a name may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        let bare = trimmed(name);
        if name.ends_with('.') || bare.is_empty() {
            return Vec::from_iter(Some(bare).filter(|name| !name.is_empty()));
        }
        let mut all: Vec<String> =
            self.search.iter().map(|domain| trimmed(&format!("{bare}.{domain}"))).collect();
        let at = if bare.matches('.').count() >= self.ndots { 0 } else { all.len() };
        all.insert(at, bare);
        all
    }

    /// The records of the first server that answers; nothing if none does, or if the name does not exist.
    async fn ask(&self, name: &str, kind: u16) -> Option<Vec<Record>> {
        for server in &self.servers {
            let id = (crate::random::unit() * 65536.0) as u16;
            let question = question(id, name, kind)?;
            match tokio::time::timeout(PATIENCE, exchange(*server, &question, id)).await {
                Ok(Ok(Some(records))) => return Some(records),
                // It knows that there is no such name.
                Ok(Ok(None)) => return None,
                Ok(Err(error)) => tracing::debug!(%error, %server, name, "asking the next name server"),
                Err(_) => tracing::debug!(%server, name, "a name server does not answer"),
            }
        }
        None
    }
}

/// Asks one server; nothing if there is no such name.
async fn exchange(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Option<Vec<Record>>> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0)).await?;
    // Only packets of this server arrive then.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = vec![0; LONGEST];
    loop {
        let len = socket.recv(&mut answer).await?;
        let answer = answer.get(..len).unwrap_or_default();
        if number(answer, 0) != Some(id) {
            continue;
        }
        return match code(answer) {
            Some(0) => Ok(records(answer)),
            // No such name.
            Some(3) => Ok(None),
            other => Err(std::io::Error::other(format!("it answers with code {other:?}"))),
        };
    }
}

/// The name that aliases lead to.
fn follow(name: &str, records: &[Record]) -> String {
    let mut now = name.to_owned();
    for _ in 0..MOST_ALIASES {
        let next = records.iter().find_map(|record| match &record.data {
            Data::Alias(target) if record.name == now => Some(target),
            _ => None,
        });
        match next {
            Some(next) => now.clone_from(next),
            None => break,
        }
    }
    now
}

fn addresses<'r>(name: &'r str, records: &'r [Record]) -> impl Iterator<Item = IpAddr> + 'r {
    records.iter().filter(move |record| record.name == name).filter_map(|record| match record.data {
        Data::Address(address) => Some(address),
        _ => None,
    })
}

/// The name under which the name of an address is found.
fn reverse_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let mut name = String::new();
            for byte in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            name + "ip6.arpa"
        }
    }
}

fn trimmed(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A message with one question, which asks the server to ask others; nothing if the name cannot be one.
fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEAD + name.len() + 6);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired, one question.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS.to_be_bytes());
    (name.len() <= 253).then_some(out)
}

/// What kind of answer a message is; nothing if it is none.
fn code(message: &[u8]) -> Option<u8> {
    let is_answer = message.get(2)? & 0x80 != 0;
    is_answer.then_some(message.get(3)? & 15)
}

/// The records in the answers of a message that are understood; nothing if the message is broken.
pub fn records(message: &[u8]) -> Option<Vec<Record>> {
    let (questions, answers) = (number(message, 4)?, number(message, 6)?);
    let mut at = HEAD;
    for _ in 0..questions {
        at = name_at(message, at)?.1 + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        let (name, end) = name_at(message, at)?;
        let (kind, class, len) =
            (number(message, end)?, number(message, end + 2)?, number(message, end + 8)?);
        let start = end + 10;
        at = start + usize::from(len);
        let data = message.get(start..at)?;
        let data = match kind {
            _ if class != CLASS => None,
            A => <[u8; 4]>::try_from(data).ok().map(|data| Data::Address(data.into())),
            AAAA => <[u8; 16]>::try_from(data).ok().map(|data| Data::Address(data.into())),
            CNAME => Some(Data::Alias(name_at(message, start)?.0)),
            PTR => Some(Data::Name(name_at(message, start)?.0)),
            _ => None,
        };
        found.extend(data.map(|data| Record { name, data }));
    }
    Some(found)
}

/// The name at a place, and where what follows it begins.
fn name_at(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut name) = (start, None, String::new());
    for _ in 0..MOST_JUMPS * 8 {
        let len = *message.get(at)?;
        match len {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(len))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                if name.len() > 1024 {
                    return None;
                }
                at += 1 + usize::from(len);
            }
            // The name goes on elsewhere.
            0xc0.. => {
                let target = usize::from(number(message, at)? & 0x3fff);
                end.get_or_insert(at + 2);
                at = target;
            }
            _ => return None,
        }
    }
    None
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let check = |text: &str, servers: &[&str], search: &[&str], ndots: usize| {
            let resolver = Resolver::from_resolv_conf(text);
            let found: Vec<String> = resolver.servers.iter().map(ToString::to_string).collect();
            assert_eq!((found.as_slice(), resolver.ndots), (servers.map_owned().as_slice(), ndots), "{text}");
            assert_eq!(resolver.search, search.map_owned(), "{text}");
        };
        check("", &["127.0.0.1:53"], &[], 1);
        check(
            "# c\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a.b. C\noptions edns0 ndots:5\n",
            &["10.0.0.2:53", "[fe80::1]:53"],
            &["a.b", "c"],
            5,
        );
        check("nameserver x\nnameserver 1.1.1.1\nsearch a\ndomain b", &["1.1.1.1:53"], &["b"], 1);
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn which_names_are_tried() {
        let resolver = Resolver::from_resolv_conf("search x.y z\noptions ndots:2");
        let check = |name: &str, expected: &[&str]| {
            assert_eq!(resolver.candidates(name), expected.map_owned(), "{name}")
        };
        check("a", &["a.x.y", "a.z", "a"]);
        check("A.b.c", &["a.b.c", "a.b.c.x.y", "a.b.c.z"]);
        check("a.", &["a"]);
        check("", &[]);
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(reverse_name("10.1.2.3".parse().unwrap()), "3.2.1.10.in-addr.arpa");
        assert_eq!(reverse_name("::ffff:10.1.2.3".parse().unwrap()), "3.2.1.10.in-addr.arpa");
        let long = reverse_name("2001:db8::1".parse().unwrap());
        assert!(long.starts_with("1.0.0.0.") && long.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{long}");
    }

    #[test]
    fn what_cannot_be_asked() {
        assert!(question(1, "a..b", A).is_none());
        assert!(question(1, &"a".repeat(64), A).is_none());
        assert!(question(1, &["a"; 200].join("."), A).is_none());
        assert!(question(1, "a.b", A).is_some());
    }

    #[test]
    fn loops_and_ends_are_no_names() {
        let head = |answers: u8| vec![0, 1, 0x80, 0, 0, 0, 0, answers, 0, 0, 0, 0];
        let mut message = head(1);
        message.extend_from_slice(&[0xc0, 12]);
        assert_eq!(records(&message), None, "a name that goes on at itself");
        message = head(1);
        message.extend_from_slice(&[3, b'a']);
        assert_eq!(records(&message), None, "cut off");
        assert_eq!(records(&head(0)), Some(vec![]));
        assert_eq!(records(&[]), None);
    }

    /// A server that knows one host by an alias, and its address by name.
    async fn serve(socket: UdpSocket) {
        let mut packet = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let asked = &packet[..len];
            let (name, end) = name_at(asked, HEAD).unwrap();
            let mut answer = asked[..end + 4].to_vec();
            answer[2] |= 0x80;
            let mut add = |kind: u16, owner: &[u8], data: &[u8]| {
                answer.extend_from_slice(owner);
                answer.extend_from_slice(&kind.to_be_bytes());
                answer.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                answer.extend_from_slice(data);
                answer[7] += 1;
            };
            match (name.as_str(), number(asked, end).unwrap()) {
                ("host.example", A) => {
                    add(CNAME, &[0xc0, 12], b"\x04Real\x07example\0");
                    add(A, b"\x04real\x07example\0", &[10, 0, 0, 7]);
                }
                ("7.0.0.10.in-addr.arpa", PTR) => add(PTR, &[0xc0, 12], b"\x04real\x07example\0"),
                _ => answer[3] |= 3,
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_is_asked() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let server = component::TaskSet::default().spawn("server", serve(socket));
        let resolver = Resolver::from_resolv_conf("search example").with_servers(vec![address]);
        let canonical = resolver.canonical("HOST").await;
        assert_eq!(canonical, Some(("real.example".to_owned(), vec!["10.0.0.7".parse().unwrap()])));
        assert_eq!(resolver.name_of("10.0.0.7".parse().unwrap()).await.as_deref(), Some("real.example"));
        assert_eq!(resolver.canonical("other").await, None);
        assert_eq!(resolver.name_of("10.0.0.8".parse().unwrap()).await, None);
        server.abort();
    }
}
