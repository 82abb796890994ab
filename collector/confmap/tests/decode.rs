//! Typed decoding: strictness, null, unknown keys, shared blocks, all problems at once.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "test helpers")]

use std::collections::BTreeMap;

use confmap::{ByteSize, Duration, Headers, Node, Problems, Secret, from_yaml};
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    level: Level,
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

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Basic,
    Detailed,
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
            level: Level::Detailed,
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
    check("level: basic", |s| s.level = Level::Basic);
    check("maybe: a", |s| s.maybe = Some("a".into()));
    check("secret: hunter2", |s| s.secret = Secret::new("hunter2"));
}

#[test]
fn byte_sizes() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        size: ByteSize,
    }
    for (yaml, expected) in [
        ("size: 5", 5),
        ("size: 1.5", 1),
        ("size: '7'", 7),
        ("size: 1kb", 1000),
        ("size: 1 KiB", 1024),
        ("size: 1.5MiB", 1_572_864),
        ("size: 2.gb", 2_000_000_000),
        ("size:", 0),
    ] {
        assert_eq!(from_yaml::<Config>(yaml).unwrap().size.bytes(), expected, "{yaml}");
    }
    for size in ["1k", "1B", "-1", "kb", "1kbb", "''", "1e3kb", "9999999999pib"] {
        let found = messages::<Config>(&format!("size: {size}"));
        let size = size.trim_matches('\'');
        assert!(found[0].ends_with(&format!("size: invalid byte size '{size}'")), "{found:?}");
    }
}

#[test]
fn settings_can_be_decoded_later() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        operators: Vec<Node>,
        any: Node,
    }
    let config: Config =
        from_yaml("operators:\n- type: a\n  endpoint: x\n- {endpiont: y, size: 1}\nany:").unwrap();
    assert!(config.any.is_null());
    assert_eq!(config.operators[0].get("type").unwrap().as_str(), Some("a"));
    let problems = confmap::decode::<Nested>(Some(&config.operators[1]), "operators[1]").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "yaml:4:4: operators[1]: has invalid keys: endpiont (did you mean `endpoint`?)"
    );
    assert!(serde_json::from_str::<Node>("5").is_err());
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
    check("level:", |_| {});
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
        messages::<Config>(
            "pairs:\n- {key: 1, range: [1, 2]}\n- {key: a, range: [x, 2]}\n- {range: [1, 2]}\n"
        ),
        [
            "yaml:2:9: pairs[0]::key: expected type 'string', got unconvertible type 'int'",
            "yaml:3:20: pairs[1]::range[0]: expected type 'uint8', got unconvertible type 'string'",
            "yaml:4:3: pairs[2]: missing key \"key\"",
        ]
    );
}

#[test]
fn enums_with_content() {
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Config {
        auth: Auth,
    }
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Auth {
        #[default]
        None,
        Basic(Nested),
        Limit(u8),
    }
    let auth = |yaml| from_yaml::<Config>(yaml).unwrap().auth;
    assert_eq!(auth("auth: none"), Auth::None);
    assert_eq!(auth("auth: {none: }"), Auth::None);
    assert_eq!(auth("auth: {basic: {size: 3}}"), Auth::Basic(Nested { size: 3, ..Nested::default() }));
    assert_eq!(auth("auth: {limit: 5}"), Auth::Limit(5));
    for (yaml, expected) in [
        ("auth: {basic: {sise: 3}}", "auth::basic: has invalid keys: sise (did you mean `size`?)"),
        (
            "auth: {basic: {size: a}}",
            "auth::basic::size: expected type 'uint8', got unconvertible type 'string'",
        ),
        ("auth: {limit: a}", "auth: expected type 'uint8', got unconvertible type 'string'"),
        ("auth: {none: 5}", "auth: value \"none\" has no settings"),
        ("auth: {a: 1, b: 2}", "auth: expected a map with exactly one key"),
        ("auth: 5", "auth: expected type 'string', got unconvertible type 'int'"),
    ] {
        let found = messages::<Config>(yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(expected), "{found:?}");
    }
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

const KEYS: [&str; 10] =
    ["text", "flag", "small", "list", "numbers", "map", "timeout", "nested", "kind", "unknown"];
const VALUES: [&str; 16] = [
    "",
    "a",
    "'5'",
    "5",
    "-1",
    "1e300",
    ".nan",
    "true",
    "5s",
    "[a, 1, ~]",
    "[]",
    "{}",
    "{a: 1}",
    "{size: x}",
    "{endpoint: , size: 300}",
    "[{name: a}]",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_accepted_or_reported_once(
        chosen in prop::collection::btree_map(0..KEYS.len(), 0..VALUES.len(), 0..8),
    ) {
        let yaml: String = chosen.iter().map(|(key, value)| format!("{}: {}\n", KEYS[*key], VALUES[*value])).collect();
        if let Err(problems) = from_yaml::<Scalars>(&yaml) {
            let mut found: Vec<_> = problems.iter().map(ToString::to_string).collect();
            prop_assert!(problems.iter().all(|problem| problem.location.is_some()), "{yaml}{found:?}");
            let all = found.len();
            found.sort();
            found.dedup();
            prop_assert_eq!(found.len(), all, "{}", yaml);
        }
    }
}
