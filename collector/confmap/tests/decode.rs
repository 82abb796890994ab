//! Typed decoding: strictness, null, unknown keys, shared blocks, all problems at once.

use std::collections::{BTreeMap, HashMap};

use confmap::{Duration, Headers, Optional, Problems, Secret, from_yaml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Scalars {
    text: String,
    flag: bool,
    signed: i64,
    small: u32,
    float: f64,
    list: Vec<String>,
    numbers: Vec<u16>,
    map: BTreeMap<String, String>,
    timeout: Duration,
    #[serde(with = "confmap::duration")]
    plain: std::time::Duration,
    nested: Nested,
    maybe: Option<String>,
    kind: Kind,
    secret: Secret,
    headers: Headers,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Nested {
    endpoint: String,
    size: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Gzip,
    Zstd,
    #[serde(rename = "none", alias = "")]
    Plain,
}

impl Default for Scalars {
    fn default() -> Self {
        Self {
            text: "default".into(),
            flag: true,
            signed: 7,
            small: 7,
            float: 7.0,
            list: vec!["default".into()],
            numbers: vec![7],
            map: [("default".to_owned(), "x".to_owned())].into(),
            timeout: Duration::from_secs(7),
            plain: std::time::Duration::from_secs(7),
            nested: Nested { endpoint: "parent".into(), size: 7 },
            maybe: None,
            kind: Kind::Gzip,
            secret: Secret::default(),
            headers: Headers::default(),
        }
    }
}

impl Default for Nested {
    fn default() -> Self {
        Self { endpoint: "own".into(), size: 1 }
    }
}

fn messages<T: DeserializeOwned + Default + std::fmt::Debug>(yaml: &str) -> Vec<String> {
    from_yaml::<T>(yaml).expect_err(yaml).iter().map(ToString::to_string).collect()
}

fn check(yaml: &str, change: impl FnOnce(&mut Scalars)) {
    let mut expected = Scalars::default();
    change(&mut expected);
    assert_eq!(from_yaml::<Scalars>(yaml).unwrap(), expected, "{yaml}");
}

fn refuse(yaml: &str, message: &str) {
    let found = messages::<Scalars>(yaml);
    assert_eq!(found.len(), 1, "{yaml}: {found:?}");
    assert!(found[0].contains(message), "{yaml}: {found:?} should contain {message:?}");
}

#[test]
fn values() {
    check("", |_| {});
    check("{}", |_| {});
    check("text: a", |s| s.text = "a".into());
    check("text: '5'", |s| s.text = "5".into());
    check("flag: False", |s| s.flag = false);
    check("signed: 010", |s| s.signed = 8);
    check("signed: 0x10", |s| s.signed = 16);
    check("signed: 1_000", |s| s.signed = 1000);
    check("signed: 10.9", |s| s.signed = 10);
    check("signed: -1.9", |s| s.signed = -1);
    check("float: 3", |s| s.float = 3.0);
    check("list: [a, b]", |s| s.list = vec!["a".into(), "b".into()]);
    check("list: a,b", |s| s.list = vec!["a".into(), "b".into()]);
    check("list: ''", |s| s.list = vec![]);
    check("list: []", |s| s.list = vec![]);
    check("map: {a: b}", |s| s.map = [("a".to_owned(), "b".to_owned())].into());
    check("timeout: 1h30m", |s| s.timeout = Duration::from_secs(5400));
    check("timeout: 5", |s| s.timeout = std::time::Duration::from_nanos(5).into());
    check("timeout: 1e9", |s| s.timeout = Duration::from_secs(1));
    check("plain: 250ms", |s| s.plain = std::time::Duration::from_millis(250));
    check("nested: {size: 3}", |s| s.nested = Nested { size: 3, ..Nested::default() });
    check("kind: zstd", |s| s.kind = Kind::Zstd);
    check("maybe: a", |s| s.maybe = Some("a".into()));
    check("secret: hunter2", |s| s.secret = Secret::new("hunter2"));
}

#[test]
fn null() {
    check("text:", |s| s.text = String::new());
    check("flag:", |s| s.flag = false);
    check("signed:", |s| s.signed = 0);
    check("small: ~", |s| s.small = 0);
    check("float: null", |s| s.float = 0.0);
    check("timeout:", |s| s.timeout = Duration::ZERO);
    check("plain:", |s| s.plain = std::time::Duration::ZERO);
    check("kind:", |s| s.kind = Kind::Plain);
    check("maybe:", |_| {});
    check("list:", |_| {});
    check("numbers:", |_| {});
    check("map:", |_| {});
    check("nested:", |_| {});
    check("list:\nnumbers:\nnested:\ntext: a", |s| s.text = "a".into());
}

#[test]
fn type_mismatches() {
    refuse("text: 4317", "text: expected type 'string', got unconvertible type 'int'");
    refuse("text: true", "expected type 'string', got unconvertible type 'bool'");
    refuse("text: [a]", "expected type 'string', got unconvertible type '[]interface {}'");
    refuse("signed: '5'", "expected type 'int64', got unconvertible type 'string'");
    refuse("signed: true", "expected type 'int64', got unconvertible type 'bool'");
    for flag in ["'true'", "yes", "on", "1"] {
        refuse(&format!("flag: {flag}"), "expected type 'bool', got unconvertible type '");
    }
    refuse("small: -1", "cannot parse value as 'uint32': -1 overflows uint");
    refuse("small: 4294967297", "cannot parse value as 'uint32': 4294967297 overflows uint32");
    refuse("small: .inf", "cannot parse value as 'uint32': inf overflows int");
    refuse("signed: 18446744073709551615", "cannot parse value as 'int64'");
    refuse("float: '1'", "expected type 'float64', got unconvertible type 'string'");
    refuse("timeout: '5'", "time: missing unit in duration \"5\"");
    refuse("timeout: 1d", "time: unknown unit \"d\" in duration \"1d\"");
    refuse("timeout: ''", "time: invalid duration \"\"");
    refuse("timeout: -2s", "negative duration \"-2s\" is not allowed");
    refuse("timeout: true", "expected type 'time.Duration', got unconvertible type 'bool'");
    refuse("list: 5", "source data must be an array or slice, got int");
    refuse("list: {a: b}", "source data must be an array or slice, got map");
    refuse("numbers: 1,2", "source data must be an array or slice, got string");
    refuse("map: a", "expected a map or struct, got \"string\"");
    refuse("nested: [a]", "expected a map or struct, got \"slice\"");
    refuse("nested: a", "expected a map or struct, got \"string\"");
    refuse("kind: gzpi", "unknown value \"gzpi\" (valid values: gzip, zstd, none) (did you mean `gzip`?)");
    refuse("batch", "expected type 'map[string]interface {}', got unconvertible type 'string'");
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let found = messages::<Scalars>(
        "nested:\n  endpiont: x\n  size: 300\ntext: 1\nlist: [a, 2, b, 3]\nmap: {a: 1}\nzzz: 1\ntimeuot: 5s\nflag:\n",
    );
    assert_eq!(
        found,
        [
            "yaml:2:3: nested: has invalid keys: endpiont (did you mean `endpoint`?)",
            "yaml:3:9: nested::size: cannot parse value as 'uint8': 300 overflows uint8",
            "yaml:4:7: text: expected type 'string', got unconvertible type 'int'",
            "yaml:5:11: list[1]: expected type 'string', got unconvertible type 'int'",
            "yaml:5:17: list[3]: expected type 'string', got unconvertible type 'int'",
            "yaml:6:10: map::a: expected type 'string', got unconvertible type 'int'",
            "yaml:7:1: has invalid keys: zzz",
            "yaml:8:1: has invalid keys: timeuot (did you mean `timeout`?)",
        ]
    );
}

#[test]
fn paths_start_where_the_block_stands() {
    let node = confmap::Node::from_yaml("c.yaml", "metric_declarations:\n- dimensions: [[A], 5]\n").unwrap();
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        metric_declarations: Vec<Declaration>,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Declaration {
        dimensions: Vec<Vec<String>>,
    }
    let problems = confmap::decode::<Config>(Some(&node), "exporters::awsemf/prod").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "c.yaml:2:21: exporters::awsemf/prod::metric_declarations[0]::dimensions[1]: \
         source data must be an array or slice, got int"
    );
}

#[test]
fn a_container_is_not_blamed_for_what_failed_below_it() {
    #[derive(Debug, Default, Deserialize)]
    struct Config {
        #[expect(dead_code)]
        #[serde(default)]
        pairs: Vec<Required>,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code)]
    struct Required {
        key: String,
        range: [u8; 2],
    }
    assert_eq!(
        messages::<Config>("pairs:\n- {key: 1, range: [1, 2]}\n- {key: a, range: [x, 2]}\n- {range: [1, 2]}\n"),
        [
            "yaml:2:9: pairs[0]::key: expected type 'string', got unconvertible type 'int'",
            "yaml:3:20: pairs[1]::range[0]: expected type 'uint8', got unconvertible type 'string'",
            "yaml:4:3: pairs[2]: missing key \"key\"",
        ]
    );
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
        from_yaml("{namespace: n, region: r, max_retries: 5, insecure: true, ciphers: , dimensions: a}").unwrap();
    let mut expected = Exporter::default();
    expected.own = Own { namespace: "n".into(), dimensions: vec!["a".into()] };
    expected.session = Session { region: Region { region: "r".into() }, retries: Retries { max_retries: 5 } };
    expected.tls.insecure = true;
    assert_eq!(exporter, expected);
    assert_eq!(from_yaml::<Exporter>("").unwrap(), Exporter::default());
    assert_eq!(from_yaml::<HashMap<String, Exporter>>("a:").unwrap()["a"], Exporter::default());
}

#[test]
fn shared_blocks_report_every_problem() {
    assert_eq!(
        messages::<Exporter>("namespace: 1\nmax_retires: 3\ninsecure: 1\nmax_retries: -1\nzzz: 1\nregion: [a]\n"),
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
        messages::<Sections>("queue: {enabled: 'no', sizes: 1}\nretry: {enabled: 1}\nshared: {enabled: 5, regoin: x}"),
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

// Secrets.

#[test]
fn headers_in_both_forms() {
    for yaml in ["headers: {a: x, b: y}", "headers: [{name: a, value: x}, {name: b, value: y}]"] {
        let headers = from_yaml::<Scalars>(yaml).unwrap().headers;
        let found: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(found, [("a", "x"), ("b", "y")], "{yaml}");
        assert_eq!(format!("{headers:?}"), r#"{"a": [REDACTED], "b": [REDACTED]}"#);
        assert_eq!(serde_json::to_string(&headers).unwrap(), r#"{"a":"[REDACTED]","b":"[REDACTED]"}"#);
    }
    refuse("headers: {a: 5}", "headers::a: expected type 'string', got unconvertible type 'int'");
    refuse(
        "headers: [{name: a, value: x}, {name: a, value: y}]",
        "headers: duplicate keys in map-style list: [a]",
    );
    refuse("headers: [{nam: a}]", "headers[0]: has invalid keys: nam (did you mean `name`?)");
}

#[test]
fn secrets_are_never_shown() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?} {secret}"), "[REDACTED] [REDACTED]");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[REDACTED]\"");
    let problems: Problems = from_yaml::<Scalars>("secret: [hunter2]\nheaders: hunter2").unwrap_err();
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
}
