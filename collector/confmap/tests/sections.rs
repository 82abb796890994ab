//! Blocks that share a mapping, and sections that may be absent.

#![expect(clippy::expect_used, reason = "test helpers")]

use std::collections::HashMap;

use confmap::{Optional, from_yaml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

fn messages<T: DeserializeOwned + Default + std::fmt::Debug>(yaml: &str) -> Vec<String> {
    from_yaml::<T>(yaml).expect_err(yaml).iter().map(ToString::to_string).collect()
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Nested {
    endpoint: String,
    size: u8,
}

// Shared blocks.

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, from = "(Own, Session, Tls)")]
struct Exporter {
    own: Own,
    session: Session,
    tls: Tls,
}

impl Default for Exporter {
    fn default() -> Self {
        (Own::default(), Session::default(), Tls::default()).into()
    }
}

impl From<(Own, Session, Tls)> for Exporter {
    fn from((own, session, tls): (Own, Session, Tls)) -> Self {
        Self { own, session, tls }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Own {
    namespace: String,
    dimensions: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "(Region, Retries)")]
struct Session {
    region: Region,
    retries: Retries,
}

impl From<(Region, Retries)> for Session {
    fn from((region, retries): (Region, Retries)) -> Self {
        Self { region, retries }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Region {
    region: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Retries {
    max_retries: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max_retries: 2 }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Tls {
    insecure: bool,
    ciphers: Vec<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { insecure: false, ciphers: vec!["default".into()] }
    }
}

#[test]
fn shared_blocks_read_one_mapping() {
    let exporter: Exporter =
        from_yaml("{namespace: n, region: r, max_retries: 5, insecure: true, ciphers: , dimensions: a}")
            .unwrap();
    let expected = Exporter {
        own: Own { namespace: "n".into(), dimensions: vec!["a".into()] },
        session: Session { region: Region { region: "r".into() }, retries: Retries { max_retries: 5 } },
        tls: Tls { insecure: true, ..Tls::default() },
    };
    assert_eq!(exporter, expected);
    assert_eq!(from_yaml::<Exporter>("").unwrap(), Exporter::default());
    assert_eq!(from_yaml::<HashMap<String, Exporter>>("a:").unwrap()["a"], Exporter::default());
}

#[test]
fn shared_blocks_report_every_problem() {
    assert_eq!(
        messages::<Exporter>(
            "namespace: 1\nmax_retires: 3\ninsecure: 1\nmax_retries: -1\nzzz: 1\nregion: [a]\n"
        ),
        [
            "yaml:1:12: expected type 'string', got unconvertible type 'int'",
            "yaml:2:1: has invalid keys: max_retires (did you mean `max_retries`?)",
            "yaml:3:11: expected type 'bool', got unconvertible type 'int'",
            "yaml:4:14: cannot parse value as 'uint32': -1 overflows uint",
            "yaml:5:1: has invalid keys: zzz",
            "yaml:6:9: expected type 'string', got unconvertible type '[]interface {}'",
        ]
        .map(|line| {
            let key = match line.split(' ').next().unwrap() {
                "yaml:1:12:" => "namespace: ",
                "yaml:3:11:" => "insecure: ",
                "yaml:4:14:" => "max_retries: ",
                "yaml:6:9:" => "region: ",
                _ => "",
            };
            let (place, message) = line.split_once(' ').unwrap();
            format!("{place} {key}{message}")
        })
    );
}

#[test]
fn only_structs_can_share() {
    #[derive(Debug, Default, Deserialize)]
    #[expect(dead_code)]
    struct Shared(Own, HashMap<String, String>);
    assert_eq!(
        messages::<Shared>("a: b"),
        ["yaml:1:1: only structs with named fields can share one mapping"]
    );
}

// Optional sections.

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Sections {
    queue: Optional<Queue>,
    retry: Optional<Retry>,
    tls: Option<Optional<Tls>>,
    shared: Optional<Exporter>,
    #[serde(deserialize_with = "grpc")]
    grpc: Optional<Nested>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Queue {
    size: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Retry {
    enabled: bool,
    limit: u32,
}

impl Default for Sections {
    fn default() -> Self {
        Self {
            queue: Optional::some(Queue::default()),
            retry: Optional::none(),
            tls: None,
            shared: Optional::none(),
            grpc: Optional::none(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 1000 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { enabled: true, limit: 3 }
    }
}

fn grpc<'de, D: Deserializer<'de>>(section: D) -> Result<Optional<Nested>, D::Error> {
    confmap::over(section, &["endpoint: localhost:4317", "size: 9"])
}

#[test]
fn optional_sections() {
    let queue = |yaml| from_yaml::<Sections>(yaml).unwrap().queue.into_option();
    assert_eq!(queue(""), Some(Queue { size: 1000 }));
    assert_eq!(queue("queue:"), Some(Queue { size: 1000 }));
    assert_eq!(queue("queue: {}"), Some(Queue { size: 1000 }));
    assert_eq!(queue("queue: {size: 5}"), Some(Queue { size: 5 }));
    assert_eq!(queue("queue: {enabled: true, size: 5}"), Some(Queue { size: 5 }));
    assert_eq!(queue("queue: {enabled: false, size: 5}"), None);

    let retry = |yaml| from_yaml::<Sections>(yaml).unwrap().retry.into_option();
    assert_eq!(retry(""), None);
    assert_eq!(retry("retry:"), Some(Retry { enabled: true, limit: 3 }));
    assert_eq!(retry("retry: {enabled: false}"), Some(Retry { enabled: false, limit: 3 }));

    let tls = |yaml| from_yaml::<Sections>(yaml).unwrap().tls.and_then(Optional::into_option);
    assert_eq!(tls("tls:"), None);
    assert_eq!(tls("tls: {}"), Some(Tls::default()));
    assert_eq!(tls("tls: {enabled: false}"), None);

    let shared = |yaml| from_yaml::<Sections>(yaml).unwrap().shared.into_option();
    assert_eq!(shared("shared:"), Some(Exporter::default()));
    assert_eq!(shared("shared: {enabled: false, region: x}"), None);
    assert_eq!(shared("shared: {region: x}").unwrap().session.region.region, "x");

    let grpc = |yaml| from_yaml::<Sections>(yaml).unwrap().grpc.into_option();
    let nested = |endpoint: &str, size| Some(Nested { endpoint: endpoint.into(), size });
    assert_eq!(grpc(""), None);
    assert_eq!(grpc("grpc:"), nested("localhost:4317", 9));
    assert_eq!(grpc("grpc: {size: 3}"), nested("localhost:4317", 3));
    assert_eq!(grpc("grpc: {endpoint: }"), nested("", 9));
    assert_eq!(grpc("grpc: {enabled: false}"), None);
}

#[test]
fn optional_section_problems() {
    assert_eq!(
        messages::<Sections>(
            "queue: {enabled: 'no', sizes: 1}\nretry: {enabled: 1}\nshared: {enabled: 5, regoin: x}"
        ),
        [
            "yaml:1:18: queue::enabled: unexpected type string for 'enabled': value expected 'true' or 'false'",
            "yaml:1:24: queue: has invalid keys: sizes (did you mean `size`?)",
            "yaml:2:18: retry::enabled: expected type 'bool', got unconvertible type 'int'",
            "yaml:3:19: shared::enabled: unexpected type int for 'enabled': value expected 'true' or 'false'",
            "yaml:3:22: shared: has invalid keys: regoin (did you mean `region`?)",
        ]
    );
    assert_eq!(
        messages::<Sections>("grpc:\n  enpoint: x\n  size: a\n"),
        [
            "yaml:2:3: grpc: has invalid keys: enpoint (did you mean `endpoint`?)",
            "yaml:3:9: grpc::size: expected type 'uint8', got unconvertible type 'string'",
        ]
    );
}

#[test]
fn defaults_of_the_place_work_for_shared_blocks() {
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(from = "(Own, LongRetries)")]
    struct Client {
        retries: u32,
    }
    #[derive(Debug, Default)]
    struct LongRetries(Retries);
    impl<'de> Deserialize<'de> for LongRetries {
        fn deserialize<D: Deserializer<'de>>(member: D) -> Result<Self, D::Error> {
            confmap::over(member, &["max_retries: 9"]).map(Self)
        }
    }
    impl From<(Own, LongRetries)> for Client {
        fn from((_, LongRetries(retries)): (Own, LongRetries)) -> Self {
            Self { retries: retries.max_retries }
        }
    }
    assert_eq!(from_yaml::<Client>("namespace: x").unwrap(), Client { retries: 9 });
    assert_eq!(from_yaml::<Client>("max_retries: 4").unwrap(), Client { retries: 4 });
    assert_eq!(
        messages::<Client>("max_retry: 4"),
        ["yaml:1:1: has invalid keys: max_retry (did you mean `max_retries`?)"]
    );
}
