//! What the actions make of resources.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;

use component::Kind;
use confmap::Node;
use pdata::{Batch, ClientInfo, Signal};
use testkit::contract::ProcessorContract;
use testkit::{RecordingSink, TestTelemetry};

const RESOURCE: &str = r#"[
    {"key": "s", "value": {"stringValue": "text"}},
    {"key": "i", "value": {"intValue": "42"}},
    {"key": "d", "value": {"doubleValue": 2.9}},
    {"key": "b", "value": {"boolValue": true}},
    {"key": "n", "value": {"stringValue": "17"}},
    {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
    {"key": "url", "value": {"stringValue": "https://example.com/path"}}
]"#;

/// The attributes after `actions`, each as `key=value` in JSON of OTLP, without those that stayed as they were.
async fn run(actions: &str) -> Vec<String> {
    let json = format!(
        r#"{{"resourceLogs": [{{"resource": {{"attributes": {RESOURCE}}},
            "scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "x"}}}}]}}]}}]}}"#
    );
    let client = ClientInfo {
        address: Some("10.1.2.3:4567".parse().unwrap()),
        metadata: vec![("x-tenant".to_owned(), vec!["a".to_owned(), "b".to_owned()])],
    };
    let batch = Batch::from_json(Signal::Logs, json.as_bytes()).unwrap();
    let before = attributes(&batch);
    let sink = RecordingSink::new();
    let node = Node::from_yaml("test", &format!("attributes: {actions}")).unwrap();
    let factory = resourceprocessor::factory();
    let config = factory.decode(Some(&node), "resource").unwrap();
    let settings = TestTelemetry::default().settings(Kind::Processor, "resource");
    let processor = factory.create(settings, &config, sink.clone()).unwrap();
    processor.consume(batch.with_client(Some(Arc::new(client)))).await.unwrap();
    let after = attributes(sink.batches().first().unwrap());
    let gone = before.iter().filter(|(key, _)| after.iter().all(|(other, _)| other != key));
    let new = after.iter().filter(|pair| !before.contains(pair));
    new.map(|(key, value)| format!("{key}={value}")).chain(gone.map(|(key, _)| format!("-{key}"))).collect()
}

fn attributes(batch: &Batch) -> Vec<(String, String)> {
    let resource = pdata::logs::resources(batch).next().unwrap();
    let pairs = resource.resource().attributes();
    pairs.map(|pair| (pair.key.to_owned(), format!("{:?}", pdata::Value::from(pair.value)))).collect()
}

async fn check(actions: &str, expected: &[&str]) {
    assert_eq!(run(actions).await, expected, "{actions}");
}

#[tokio::test]
async fn values() {
    check("[{action: insert, key: new, value: 1}]", &["new=Int(1)"]).await;
    check("[{action: INSERT, key: s, value: other}]", &[]).await;
    check("[{action: update, key: s, value: 1.5}]", &["s=Double(1.5)"]).await;
    check("[{action: update, key: new, value: 1}]", &[]).await;
    check("[{action: upsert, key: s, value: true}]", &["s=Bool(true)"]).await;
    check("[{action: upsert, key: new, value: \"7\"}]", &["new=String(\"7\")"]).await;
    check("[{action: upsert, key: new, value: [1, a]}]", &["new=Array([Int(1), String(\"a\")])"]).await;
    check("[{action: upsert, key: new, value: {k: v}}]", &["new=KeyValues([(\"k\", String(\"v\"))])"]).await;
    check(
        "[{action: insert, key: a, value: 1}, {action: insert, key: c, from_attribute: a}]",
        &["a=Int(1)", "c=Int(1)"],
    )
    .await;
}

#[tokio::test]
async fn sources() {
    check("[{action: upsert, key: new, from_attribute: i}]", &["new=Int(42)"]).await;
    check("[{action: upsert, key: new, from_attribute: nosuch}]", &[]).await;
    check("[{action: upsert, key: new, from_attribute: nosuch, default_value: d}]", &["new=String(\"d\")"])
        .await;
    check("[{action: upsert, key: new, default_value: d}]", &["new=String(\"d\")"]).await;
    check("[{action: insert, key: a, from_context: client.address}]", &["a=String(\"10.1.2.3\")"]).await;
    check("[{action: insert, key: a, from_context: metadata.X-Tenant}]", &["a=String(\"a;b\")"]).await;
    check("[{action: insert, key: a, from_context: x-tenant}]", &["a=String(\"a;b\")"]).await;
    check("[{action: insert, key: a, from_context: auth.subject}]", &[]).await;
}

#[tokio::test]
async fn deletion() {
    check("[{action: delete, key: s}]", &["-s"]).await;
    check("[{action: delete, key: nosuch}]", &[]).await;
    check("[{action: delete, pattern: '^[sid]$'}]", &["-s", "-i", "-d"]).await;
    check("[{action: delete, key: url, pattern: '^n'}]", &["-n", "-url"]).await;
    check("[{action: delete, key: s, value: text}]", &["-s"]).await;
    check("[{action: delete, key: s, value: other}]", &[]).await;
    check("[{action: delete, key: i, value: 42}]", &["-i"]).await;
}

#[tokio::test]
async fn hashes() {
    let of_text = "s=String(\"982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1\")";
    check("[{action: hash, key: s}]", &[of_text]).await;
    check("[{action: hash, pattern: '^s$'}]", &[of_text]).await;
    let of_true = "b=String(\"4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a\")";
    check("[{action: hash, key: b}]", &[of_true]).await;
    let of_42 = "i=String(\"ed049108bc18f2c64369e8d0ea42850bdd1a7d1dd340cfde716315579702a76c\")";
    check("[{action: hash, key: i}]", &[of_42]).await;
    check("[{action: hash, key: l}]", &["l=String(\"\")"]).await;
    check("[{action: hash, key: nosuch}]", &[]).await;
}

#[tokio::test]
async fn extraction() {
    check(
        "[{action: extract, key: url, pattern: '^(?P<scheme>[a-z]+)://(?P<host>[^/]+)(?P<port>:\\d+)?'}]",
        &["scheme=String(\"https\")", "host=String(\"example.com\")", "port=String(\"\")"],
    )
    .await;
    check("[{action: extract, key: url, pattern: '^(?P<s>ftp)'}]", &[]).await;
    check("[{action: extract, key: url, pattern: '(?P<s>path)'}]", &["s=String(\"path\")"]).await;
    check("[{action: extract, key: i, pattern: '(?P<s>4)'}]", &[]).await;
}

#[tokio::test]
async fn conversion() {
    let to = async |key: &str, target: &str, expected: &[&str]| {
        check(&format!("[{{action: convert, key: {key}, converted_type: {target}}}]"), expected).await;
    };
    to("i", "string", &["i=String(\"42\")"]).await;
    to("d", "string", &["d=String(\"2.9\")"]).await;
    to("b", "string", &["b=String(\"true\")"]).await;
    to("l", "string", &["l=String(\"[\\\"x\\\"]\")"]).await;
    to("s", "string", &[]).await;
    to("d", "int", &["d=Int(2)"]).await;
    to("b", "int", &["b=Int(1)"]).await;
    to("n", "int", &["n=Int(17)"]).await;
    to("s", "int", &[]).await;
    to("l", "int", &[]).await;
    to("i", "double", &["i=Double(42.0)"]).await;
    to("b", "double", &["b=Double(1.0)"]).await;
    to("n", "double", &["n=Double(17.0)"]).await;
    to("nosuch", "double", &[]).await;
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, expected: &str| {
        let node = Node::from_yaml("test", yaml).unwrap();
        let problems = resourceprocessor::factory().decode(Some(&node), "resource").unwrap_err().to_string();
        assert!(problems.contains(expected), "{yaml}: {problems}");
    };
    let one = |action: &str, expected: &str| check(&format!("attributes: [{{{action}}}]"), expected);
    check("attributes: []", "resource: missing required field \"attributes\"");
    one("action: insert, value: 1", "resource::attributes[0]: missing required field \"key\"");
    one("action: delete", "at least one of \"key\" and \"pattern\" have to be used");
    one(
        "action: insert, key: a",
        "either field \"value\", \"from_attribute\" or \"from_context\" must be specified",
    );
    one("action: insert, key: a, value: 1, from_attribute: b", "multiple value sources are set");
    one(
        "action: insert, key: a, value: 1, pattern: x",
        "action \"insert\" does not use the \"pattern\" field",
    );
    one("action: hash, key: a, value: 1", "action \"hash\" does not use the \"value\" field");
    one("action: delete, key: a, from_attribute: b", "does not use the \"from_attribute\" field");
    one("action: delete, pattern: '('", "attributes[0]::pattern: invalid pattern");
    one("action: extract, key: a", "missing required field \"pattern\" for action \"extract\"");
    one("action: extract, key: a, pattern: b", "contains no named matcher groups");
    one("action: extract, key: a, pattern: '(?P<x>b)(c)'", "contains at least one unnamed matcher group");
    one("action: convert, key: a", "missing required field \"converted_type\" for action \"convert\"");
    one(
        "action: convert, key: a, converted_type: bool",
        "invalid value \"bool\" in field \"converted_type\"",
    );
    one("action: rename, key: a", "unsupported action \"rename\"");
    one("action: insert, key: a, valeu: 1", "has invalid keys: valeu");
}

#[tokio::test(start_paused = true)]
async fn contract() {
    let yaml = "attributes: [{action: upsert, key: k, value: v}]";
    ProcessorContract::new(resourceprocessor::factory(), yaml).check().await;
}
