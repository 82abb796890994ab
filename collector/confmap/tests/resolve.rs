//! Sources, merge, expansion and printing, from flags to the resolved tree.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::collections::HashMap;
use std::io;
use std::path::Path;

use confmap::{Conf, Environment, Node, NodeKind, Redaction, Resolver, WarningKind, decode};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

#[derive(Default)]
struct World {
    files: HashMap<String, String>,
    variables: HashMap<String, String>,
}

impl World {
    fn file(mut self, name: &str, content: &str) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

impl Environment for World {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        content.map(|text| text.clone().into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

fn world() -> World {
    World::default()
        .variable("A", "ay")
        .variable("B", "bee")
        .variable("EMPTY", "")
        .variable("AB", "both")
        .variable("NAME", "B")
        .variable("SELF", "${env:SELF}")
        .variable("DOUBLING", "${env:DOUBLING}${env:DOUBLING}")
        .variable("GROWING", "[${env:GROWING}, ${env:GROWING}]")
        .variable("DEEPER", "[${env:DEEPER}]")
        .variable("INDIRECT", "${env:B}")
        .variable("DOLLAR", "a$x")
        .variable("DOLLARS", "a$$b")
        .file("/p", "content\n")
        .file("/m", "k: v\nn: ${env:B}\n")
}

fn value(text: &str) -> Result<Node, String> {
    let yaml = format!("yaml:x: {}", serde_json::to_string(text).unwrap());
    match Resolver::default().config(yaml).resolve(&world()) {
        Ok(conf) => Ok(conf.get(&["x"]).unwrap().clone()),
        Err(problems) => {
            Err(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn as_text(node: &Node) -> String {
    let mut map = confmap::Map::default();
    map.insert("x", node.clone());
    let node = Node::new(NodeKind::Map(map));
    decode::<HashMap<String, String>>(Some(&node), "").unwrap().remove("x").unwrap()
}

#[test]
fn expansion_of_text() {
    for (input, expected) in [
        ("plain", "plain"),
        ("${A}", "ay"),
        ("${env:A}", "ay"),
        ("${env:UNSET:-d}", "d"),
        ("${env:EMPTY:-d}", ""),
        ("${env:UNSET:-}", ""),
        ("${env:UNSET}", ""),
        ("x${env:UNSET}y", "xy"),
        ("${env:UNSET:-${B}}", "bee"),
        ("${A${NAME}}", "both"),
        ("${INDIRECT}", "bee"),
        ("x${INDIRECT}y", "xbeey"),
        ("$A", "$A"),
        ("$$A", "$A"),
        ("pa$word", "pa$word"),
        ("pa$$word", "pa$word"),
        ("$${A}", "${A}"),
        ("$${env:A}", "${env:A}"),
        ("$$${A}", "$ay"),
        ("$$${env:A}", "$ay"),
        ("$$$${A}", "$${A}"),
        ("$${A} ${env:B}", "${A} ${env:B}"),
        ("${env:B} $${A}", "bee ${A}"),
        ("${env:B} $${env:B}", "bee $bee"),
        ("${A", "${A"),
        ("A}", "A}"),
        ("} ${A}", "} ay"),
        ("${A}}", "ay}"),
        ("${DOLLAR}", "a$x"),
        ("${DOLLARS}", "a$b"),
        ("${file:/p}", "content\n"),
        ("<${file:/p}>", "<content\n>"),
        ("${yaml:5}", "5"),
    ] {
        assert_eq!(value(input).map(|node| as_text(&node)), Ok(expected.to_owned()), "{input}");
    }
}

#[test]
fn expansion_failures() {
    for (input, expected) in [
        ("${X:-d}", "scheme \"X\" is not supported for uri \"X:-d\""),
        ("${foo:bar}", "scheme \"foo\" is not supported for uri \"foo:bar\""),
        ("${}", "environment variable \"\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        (
            "${env:1x}",
            "environment variable \"1x\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$",
        ),
        ("${env:$A}", "the uri \"env:$A\" contains unsupported characters ('$')"),
        ("${SELF}", "too many recursive expansions"),
        ("x${SELF}", "too many recursive expansions"),
        ("${DOUBLING}", "too many recursive expansions"),
        ("${GROWING}", "too many recursive expansions"),
        ("${DEEPER}", "too many recursive expansions"),
        ("${file:/none}", "unable to read the file file:/none: open /none: no such file or directory"),
        (
            "${https://h/c}",
            "the scheme \"https\" is not available in this distribution (uri \"https://h/c\")",
        ),
    ] {
        assert_eq!(value(input).map(|node| as_text(&node)), Err(expected.to_owned()), "{input}");
    }
}

#[test]
fn failures_are_located_and_helped() {
    let world = world().file("c.yaml", "a:\n  b: ${X:-d}\n  c: [1, '${env:1}']\n");
    let problems = Resolver::default().config("c.yaml").resolve(&world).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "c.yaml:2:6: a::b: scheme \"X\" is not supported for uri \"X:-d\" (write ${env:X:-d})\n\
         c.yaml:3:10: a::c: environment variable \"1\" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
    );
    assert!(problems.render_snippets(problems.sources()).contains("2 |   b: ${X:-d}"));
}

/// What a field of type `T` makes of a variable's content.
fn typed<T: DeserializeOwned + Default>(content: &str) -> Result<T, String> {
    let world = World::default().variable("V", content);
    let conf = Resolver::default().config("yaml:x: ${env:V}").resolve(&world).unwrap();
    match decode::<HashMap<String, T>>(Some(conf.root()), "") {
        Ok(mut map) => Ok(map.remove("x").unwrap()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn typing_of_expanded_values() {
    for content in
        ["0123", "\"0123\"", "true", "t", "yes", "on", "1", "[a, b]", "a,b", "{k: v}", "", "a: b: c", "\t"]
    {
        assert_eq!(typed::<String>(content), Ok(content.to_owned()));
    }
    assert_eq!(typed("0123"), Ok(83_i64));
    assert!(
        typed::<i64>("\"0123\"")
            .unwrap_err()
            .contains("expected type 'int64', got unconvertible type 'string'")
    );
    assert!(typed::<i64>("true").is_err());
    assert_eq!(typed("1"), Ok(1_i64));
    assert_eq!(typed(""), Ok(0_i64));
    assert_eq!(typed("true"), Ok(true));
    assert_eq!(typed(""), Ok(false));
    assert_eq!(typed("#x"), Ok(Some("#x".to_owned())));
    assert_eq!(typed("#x"), Ok(Some(0_i64)));
    assert_eq!(typed::<Option<String>>(""), Ok(None));
    for content in ["t", "yes", "on", "1", "0123", "[a, b]", "a,b", "{k: v}"] {
        assert!(typed::<bool>(content).is_err(), "{content}");
    }
    assert_eq!(typed("[a, b]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(typed("a,b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(typed("[01, 2]"), Ok(vec![1_u8, 2]));
    assert_eq!(typed("{k: v}"), Ok(HashMap::from([("k".to_owned(), "v".to_owned())])));
    assert_eq!(typed("5s"), Ok(confmap::Duration::from_secs(5)));
}

/// A list element that is an identifier of its own type, as pipeline lists have.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Id(String);

#[test]
fn lists_of_identifiers_must_be_lists() {
    let error = typed::<Vec<Id>>("otlp,otlp/2").unwrap_err();
    assert!(error.contains("source data must be an array or slice, got string"), "{error}");
    assert_eq!(typed("[otlp, otlp/2]"), Ok(vec![Id("otlp".into()), Id("otlp/2".into())]));
}

fn resolve(resolver: Resolver, world: &World) -> Conf {
    resolver.resolve(world).unwrap()
}

#[test]
fn structures_are_expanded_in_place() {
    let conf =
        resolve(Resolver::default().config("yaml:a: {m: '${file:/m}', l: ['${A}', '${B}']}"), &world());
    assert_eq!(conf.root(), &Node::from_yaml("", "a: {m: {k: v, n: bee}, l: [ay, bee]}").unwrap());
    // Keys and comments are left alone.
    let conf = resolve(Resolver::default().config("yaml:${A}: 1 # ${X:-d}"), &world());
    assert_eq!(conf.get(&["${A}"]).unwrap().kind, NodeKind::Int(1));
}

#[test]
fn sources_are_merged_in_order() {
    let world = World::default()
        .file("a.yaml", "exporters: {debug: {verbosity: detailed}, nop: {}}\nlist: [a]\n")
        .file("b.yaml", "exporters: {debug: }\nlist: [b]\n")
        .file("empty.yaml", "# nothing\n")
        .variable("YAML", "c: {d: 1}");
    let conf = resolve(
        Resolver::default()
            .set("c.d=[x, y]")
            .config("a.yaml")
            .config("file:b.yaml")
            .config("empty.yaml")
            .config("env:YAML")
            .config("yaml:service::telemetry::logs::level: debug")
            .set("exporters.otlp.endpoint = h:1")
            .set("z.y="),
        &world,
    );
    let expected = "
exporters: {debug: , nop: {}, otlp: {endpoint: 'h:1'}}
list: [b]
c: {d: [x, y]}
service: {telemetry: {logs: {level: debug}}}
z: {y: }
";
    assert_eq!(conf.root(), &Node::from_yaml("", expected).unwrap());
    assert_eq!(conf.locate("exporters::nop").unwrap().to_string(), "a.yaml:1:43");
    assert_eq!(
        conf.locate("exporters::otlp::endpoint").unwrap().source.as_ref(),
        "--set exporters.otlp.endpoint"
    );
    assert_eq!(conf.locate("list[0]").unwrap().to_string(), "b.yaml:2:8");
}

#[test]
fn sources_that_cannot_be_used() {
    let world = World::default()
        .file("tab.yaml", "receivers:\n\totlp:\n")
        .file("twice.yaml", "receivers: {}\nb: 1\nreceivers: {}\n")
        .file("list.yaml", "- a\n")
        .file("text.yaml", "hello")
        .file("open.yaml", "a: [1, 2\nb: 3\n");
    let as_conf = "cannot be used as a Conf";
    let yaml_words = "retrieved value (type=string) cannot be used as a Conf: assuming string type since contents are \
                      not valid YAML: yaml: ";
    for (config, expected) in [
        ("tab.yaml", vec!["tab.yaml:2:1: ", yaml_words, "use spaces"]),
        (
            "twice.yaml",
            vec!["twice.yaml:3:1: mapping key \"receivers\" already defined at line 1", yaml_words],
        ),
        ("list.yaml", vec!["retrieved value (type=[]interface {}) cannot be used as a Conf"]),
        ("text.yaml", vec!["retrieved value (type=string)", as_conf]),
        ("open.yaml", vec!["open.yaml:2:2: ", yaml_words]),
        (
            "none.yaml",
            vec!["unable to read the file file:none.yaml: open none.yaml: no such file or directory"],
        ),
        ("a.yaml,b.yaml", vec!["unable to read the file file:a.yaml,b.yaml"]),
        ("foo:bar", vec!["unsupported scheme on URI \"foo:bar\""]),
    ] {
        let problems = Resolver::default().config(config).resolve(&world).unwrap_err().to_string();
        for part in expected {
            assert!(problems.contains(part), "{config}: {problems} should contain {part}");
        }
    }
    let problems = Resolver::default().config("none.yaml").set("foo").resolve(&world).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems.to_string().contains("invalid argument \"foo\" for \"--set\" flag: missing equal sign"));
    let problems = Resolver::default().resolve(&world).unwrap_err();
    assert_eq!(problems.to_string(), "at least one config flag must be provided");
}

#[test]
fn the_real_environment() {
    assert!(confmap::System.read_file(Path::new("Cargo.toml")).unwrap().starts_with(b"[package]"));
    assert_eq!(confmap::System.read_file(Path::new("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(confmap::System.variable("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(confmap::System.variable("CONFMAP_IS_NOT_SET"), None);
}

#[test]
fn unset_and_empty_variables_are_told() {
    let conf = resolve(
        Resolver::default().config("yaml:{a: '${UNSET}', b: 'x${env:EMPTY}', c: '${env:UNSET:-d}'}"),
        &world(),
    );
    let found: Vec<_> = conf.warnings().iter().map(|w| (w.kind, w.name.as_str())).collect();
    assert_eq!(found, [(WarningKind::UnsetVariable, "UNSET"), (WarningKind::EmptyVariable, "EMPTY")]);
    assert_eq!(conf.warnings()[0].message(), "Configuration references unset environment variable");
}

#[test]
fn yaml_features() {
    for (input, expected) in [
        ("a: &x {b: 1, c: 2}\nd: *x", "{a: {b: 1, c: 2}, d: {b: 1, c: 2}}"),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", "{a: {b: 1, c: 2}, d: {c: 3, b: 1}}"),
        (
            "a: &x {b: 1}\ne: &y {b: 2, f: 3}\nd: {<<: [*x, *y]}",
            "{a: {b: 1}, e: {b: 2, f: 3}, d: {b: 1, f: 3}}",
        ),
        ("a: '<<'", "a: <<"),
        ("1: a\ntrue: b", "{'1': a, 'true': b}"),
        ("a: 1\n---\nb: [", "a: 1"),
        ("a: |\n  x\n  y", "a: \"x\\ny\""),
        ("a: !!str 1", "a: '1'"),
        ("a: !custom 1", "a: '1'"),
        ("{\"a\": [1, 2.5, null, \"x\"]}", "a: [1, 2.5, ~, x]"),
    ] {
        let found = Node::from_yaml("", input).unwrap();
        assert_eq!(found, Node::from_yaml("", expected).unwrap(), "{input}");
    }
}

#[test]
fn aliases_and_nesting_are_bounded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", [previous.as_str(); 10].join(", "));
    }
    let deep = "[".repeat(100) + &"]".repeat(100);
    let deeper = "[".repeat(129) + &"]".repeat(129);
    let by_alias =
        format!("a: &a {deep}\nb: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n");
    let by_key = format!("{}: 1", "a::".repeat(200));
    let nested_keys = format!("{}x{}", "{a::b::c::d: ".repeat(60), "}".repeat(60));
    let itself = "a: &a [*a]";
    assert!(Node::from_yaml("", &deep).is_ok());
    for (text, expected) in [
        (laughs.as_str(), "excessive aliasing"),
        (&deeper, "nested deeper"),
        (&by_alias, "nested deeper"),
        (&by_key, "nested deeper"),
        (&nested_keys, "nested deeper"),
        (itself, "contains itself"),
        ("a: *nowhere", "anchor"),
    ] {
        let problem = Node::from_yaml("", text).unwrap_err();
        assert!(problem.message.contains(expected), "{problem}");
    }
}

#[test]
fn printing_hides_secrets() {
    let conf = resolve(
        Resolver::default().config(
            "yaml:exporters: {otlp: {endpoint: 'http://u:p@h', headers: {a: s1, b: 2}, password: s3, tokens: [s4], \
             key_file: /k, auth: {key_pem: s5}, queue: {size: 5, on: true}}, \
             list: {headers: [{name: n, value: s6}]}}",
        ),
        &World::default(),
    );
    let json = conf.to_json(Redaction::Redacted);
    for secret in ["s1", "s3", "s4", "s5", "s6", ":p@", "\"b\": 2"] {
        assert!(!json.contains(secret), "{json} contains {secret}");
    }
    for shown in ["/k", "\"size\": 5", "\"name\": \"n\"", "http://u:[REDACTED]@h"] {
        assert!(json.contains(shown), "{json} does not contain {shown}");
    }
    assert!(!format!("{conf:?}").contains("s3"));
    let yaml = conf.to_yaml(Redaction::Unredacted);
    assert_eq!(&Node::from_yaml("", &yaml).unwrap(), conf.root());
}

fn tree() -> impl Strategy<Value = NodeKind> {
    let leaf = prop_oneof![
        Just(NodeKind::Null),
        any::<bool>().prop_map(NodeKind::Bool),
        any::<i64>().prop_map(|value| NodeKind::Int(value.into())),
        any::<u64>().prop_map(|value| NodeKind::Int(value.into())),
        (-1e9..1e9_f64).prop_map(NodeKind::Float),
        "[ -~]{0,12}|[0-9_xob.:eE+-]{1,6}|\\PC{0,8}|[a \\n\\t]{0,8}".prop_map(NodeKind::String),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone().prop_map(Node::new), 0..5).prop_map(NodeKind::Seq),
            prop::collection::btree_map("[a-z<0-9~./ -]{1,6}", inner.prop_map(Node::new), 0..5).prop_map(
                |entries| {
                    let mut map = confmap::Map::default();
                    for (key, value) in entries {
                        map.insert(key.as_str(), value);
                    }
                    NodeKind::Map(map)
                }
            ),
        ]
    })
}

proptest! {
    // A failing case is printed in full; no file beside the tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn composing_never_panics(text in "\\PC{0,60}|[-a-c:&*!<>{}\\[\\],#|?'\" \\n\\t0-9]{0,60}") {
        let _ = Node::from_yaml("", &text);
    }

    #[test]
    fn expansion_terminates(text in "[${}:A-B$ env\\[\\],-]{0,40}", content in "[${}:A-B env\\[\\],-]{0,30}") {
        let world = World::default().variable("A", &content).variable("B", "${A}");
        let yaml = format!("yaml:x: {}", serde_json::to_string(&text).unwrap());
        let _ = Resolver::default().config(yaml).resolve(&world);
    }

    #[test]
    fn any_source_is_answered(text in "\\PC{0,40}|[a-c${}:&*<\\[\\], \\n-]{0,40}") {
        let world = World::default().file("f", &text);
        for resolver in [
            Resolver::default().config(format!("yaml:{text}")).set(text.clone()),
            Resolver::default().config("f"),
            Resolver::default().config(text.clone()),
        ] {
            if let Err(problems) = resolver.resolve(&world) {
                prop_assert!(!problems.render_snippets(problems.sources()).is_empty());
            }
        }
    }

    #[test]
    fn printed_yaml_reads_back(kind in tree()) {
        let mut map = confmap::Map::default();
        map.insert("root", Node::new(kind));
        let conf = Conf::from_node(Node::new(NodeKind::Map(map)));
        let yaml = conf.to_yaml(Redaction::Unredacted);
        let read = Node::from_yaml("", &yaml);
        prop_assert_eq!(read.as_ref(), Ok(conf.root()), "{}", yaml);
    }
}
