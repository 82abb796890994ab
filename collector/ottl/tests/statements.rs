//! What statements change.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use ottl::{Context, Env, Statement};
use pdata::rewrite::{Level, Place, Verdict};
use pdata::{Batch, Signal};

/// A log record with `fields`.
fn log(fields: &str) -> Batch {
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"r","value":{{"stringValue":"1"}}}}]}},"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#
    );
    Batch::from_json(Signal::Logs, json.as_bytes()).unwrap()
}

/// Runs statements on every place of a level; the errors.
fn run(batch: &Batch, level: Level, statements: &[&str]) -> (Batch, Vec<String>) {
    let context = Context::new(batch.signal(), level).unwrap();
    let statements: Vec<Statement> =
        statements.iter().map(|text| Statement::parse(text, &context).unwrap()).collect();
    let mut errors = Vec::new();
    let mut visit = |at: Level, place: &mut Place<'_>| {
        if at == level {
            let mut env = Env::new(place);
            errors.extend(statements.iter().filter_map(|statement| statement.run(&mut env).err()));
        }
        Verdict::Descend
    };
    let after = batch.clone().rewrite(&mut visit);
    assert_eq!(Batch::from_protobuf(after.signal(), after.to_protobuf()).as_ref(), Ok(&after));
    (after, errors.iter().map(ToString::to_string).collect())
}

fn check(before: &str, statements: &[&str], after: &str) {
    let (batch, errors) = run(&log(before), Level::Item, statements);
    assert_eq!(errors, Vec::<String>::new(), "{statements:?}");
    let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
    assert_eq!(text(&batch), text(&log(after)), "{statements:?}");
}

const AB: &str =
    r#""attributes":[{"key":"a","value":{"stringValue":"x1"}},{"key":"b","value":{"intValue":"2"}}]"#;

fn attributes(statement: &str, after: &str) {
    check(AB, &[statement], &format!(r#""attributes":[{after}]"#));
}

const A: &str = r#"{"key":"a","value":{"stringValue":"x1"}}"#;
const B: &str = r#"{"key":"b","value":{"intValue":"2"}}"#;

#[test]
fn set() {
    attributes(
        r#"set(attributes["c"], 1.5)"#,
        &format!(r#"{A},{B},{{"key":"c","value":{{"doubleValue":1.5}}}}"#),
    );
    attributes(
        r#"set(attributes["a"], attributes["b"])"#,
        &format!(r#"{{"key":"a","value":{{"intValue":"2"}}}},{B}"#),
    );
    attributes(r#"set(attributes["a"], nil)"#, &format!("{A},{B}"));
    attributes(r#"set(attributes["a"], attributes["no"])"#, &format!("{A},{B}"));
    attributes(r#"set(attributes["a"], "z") where attributes["b"] == 3"#, &format!("{A},{B}"));
    attributes(r#"set(attributes, {"n": true})"#, r#"{"key":"n","value":{"boolValue":true}}"#);
    attributes(
        r#"set(attributes["m"]["k"]["l"], ["v"])"#,
        &format!(
            r#"{A},{B},{{"key":"m","value":{{"kvlistValue":{{"values":[{{"key":"k","value":{{"kvlistValue":{{"values":[{{"key":"l","value":{{"arrayValue":{{"values":[{{"stringValue":"v"}}]}}}}}}]}}}}}}]}}}}}}"#
        ),
    );
    check(
        r#""body":{"stringValue":"x"}"#,
        &["set(severity_text, \"INFO\")", "set(severity_number, SEVERITY_NUMBER_INFO)"],
        r#""severityNumber":9,"severityText":"INFO","body":{"stringValue":"x"}"#,
    );
    check(
        "",
        &["set(body[\"a\"], 1)"],
        r#""body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}}]}}"#,
    );
    check(
        "",
        &[r#"set(trace_id.string, "0102030405060708090a0b0c0d0e0f10")"#],
        r#""traceId":"0102030405060708090a0b0c0d0e0f10""#,
    );
    // A value of another type is ignored.
    check("", &["set(severity_text, 1)", "set(time_unix_nano, \"x\")"], "");
    check(
        "",
        &[r#"set(cache["x"], "kept")"#, r#"set(body, cache["x"])"#],
        r#""body":{"stringValue":"kept"}"#,
    );
}

#[test]
fn keys() {
    attributes(r#"delete_key(attributes, "a")"#, B);
    attributes(r#"delete_keys(attributes, ["a", "no"])"#, B);
    attributes(r#"delete_matching_keys(attributes, "^[ac]$")"#, B);
    attributes(r#"keep_keys(attributes, ["a", "no"])"#, A);
    attributes(r#"keep_matching_keys(attributes, "a")"#, A);
    attributes("limit(attributes, 1)", A);
    attributes(r#"limit(attributes, 1, ["b"])"#, B);
    attributes(
        r#"merge_maps(attributes, {"a": 1, "c": 1}, "insert")"#,
        &format!(r#"{A},{B},{{"key":"c","value":{{"intValue":"1"}}}}"#),
    );
    attributes(
        r#"merge_maps(attributes, {"a": 1, "c": 1}, "update")"#,
        &format!(r#"{{"key":"a","value":{{"intValue":"1"}}}},{B}"#),
    );
    attributes(
        r#"merge_maps(attributes, ParseJSON("{\"a\": \"y\", \"c\": 1}"), "upsert")"#,
        &format!(
            r#"{{"key":"a","value":{{"stringValue":"y"}}}},{B},{{"key":"c","value":{{"doubleValue":1}}}}"#
        ),
    );
}

#[test]
fn texts() {
    let a = |text: &str| format!(r#"{{"key":"a","value":{{"stringValue":"{text}"}}}},{B}"#);
    attributes(r#"replace_pattern(attributes["a"], "x(\\d)", "y$1-$1")"#, &a("y1-1"));
    attributes(r#"replace_pattern(attributes["a"], "q", "y")"#, &a("x1"));
    attributes(r#"replace_pattern(attributes["b"], "2", "y")"#, &a("x1"));
    attributes(r#"replace_match(attributes["a"], "x*", "y")"#, &a("y"));
    attributes(r#"replace_match(attributes["a"], "x", "y")"#, &a("x1"));
    attributes(r#"replace_all_matches(attributes, "?[0-9]", "y")"#, &a("y"));
    attributes(r#"replace_all_patterns(attributes, "value", "\\d", "9")"#, &a("x9"));
    attributes(
        r#"replace_all_patterns(attributes, "key", "^a$", "c")"#,
        &format!(r#"{{"key":"c","value":{{"stringValue":"x1"}}}},{B}"#),
    );
    attributes("truncate_all(attributes, 1)", &a("x"));
    attributes(
        r#"append(attributes["a"], "n")"#,
        &format!(
            r#"{{"key":"a","value":{{"arrayValue":{{"values":[{{"stringValue":"x1"}},{{"stringValue":"n"}}]}}}}}},{B}"#
        ),
    );
    check(
        r#""body":{"stringValue":"äöü"}"#,
        &[r#"set(attributes["b"], body)"#, "truncate_all(attributes, 3)"],
        r#""body":{"stringValue":"äöü"},"attributes":[{"key":"b","value":{"stringValue":"ä"}}]"#,
    );
}

#[test]
fn what_changes_nothing_copies_nothing() {
    let batch = log(AB);
    for statement in [
        r#"set(attributes["a"], "x1")"#,
        r#"set(resource.attributes["r"], "1")"#,
        r#"delete_key(attributes, "no")"#,
        r#"keep_keys(attributes, ["a", "b"])"#,
        r#"replace_pattern(attributes["a"], "q", "y")"#,
        "truncate_all(attributes, 10)",
        "set(attributes[\"a\"], 1) where false",
    ] {
        let (after, _) = run(&batch, Level::Item, &[statement]);
        assert_eq!(after.to_protobuf().as_ptr(), batch.to_protobuf().as_ptr(), "{statement}");
    }
}

#[test]
fn what_is_above_can_be_set_from_below() {
    let (after, errors) = run(
        &log(AB),
        Level::Item,
        &[
            r#"set(resource.attributes["r"], attributes["a"])"#,
            r#"set(scope.name, "s")"#,
            r#"set(resource.schema_url, "u")"#,
        ],
    );
    assert!(errors.is_empty());
    let entry = pdata::logs::resources(&after).next().unwrap();
    assert_eq!(entry.resource().attributes().get("r").unwrap().as_str(), Some("x1"));
    assert_eq!((entry.schema_url(), entry.scopes().next().unwrap().scope().name), ("u", "s"));
}

#[test]
fn metrics_change_their_kind() {
    let json = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}},
        {"name":"b","histogram":{"dataPoints":[{"count":"1"}]}}]}]}]}"#;
    let batch = Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap();
    let (sum, errors) = run(&batch, Level::Metric, &[r#"convert_gauge_to_sum("cumulative", true)"#]);
    assert!(errors.is_empty());
    let text = String::from_utf8(sum.to_json()).unwrap();
    assert!(
        text.contains(
            r#""sum":{"dataPoints":[{"asInt":"1"}],"aggregationTemporality":2,"isMonotonic":true}"#
        ),
        "{text}"
    );
    let (gauge, _) = run(&sum, Level::Metric, &["convert_sum_to_gauge()"]);
    assert_eq!(gauge.to_json(), batch.to_json());
}

#[test]
fn times_are_set_where_times_stand() {
    check(
        r#""timeUnixNano":"10","observedTimeUnixNano":"7""#,
        &[
            "set(time, observed_time)",
            r#"set(observed_time, time + Duration("1us"))"#,
            r#"set(attributes["t"], time)"#,
            "set(time, 5)",
            r#"set(time, Duration("5s"))"#,
            "set(severity_number, time)",
        ],
        r#""timeUnixNano":"7","observedTimeUnixNano":"1007""#,
    );
    check(
        r#""timeUnixNano":"10""#,
        &[r#"set(attributes["ms"], UnixMilli(Unix(2)))"#],
        r#""timeUnixNano":"10","attributes":[{"key":"ms","value":{"intValue":"2000"}}]"#,
    );
}

#[test]
fn buckets_are_set() {
    let request = |data: &str| {
        let json =
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m",{data}}}]}}]}}]}}"#);
        Batch::from_json(Signal::Metrics, json.as_bytes()).unwrap()
    };
    let check = |before: &str, statements: &[&str], after: &str| {
        let (batch, errors) = run(&request(before), Level::Item, statements);
        assert_eq!(errors, Vec::<String>::new(), "{statements:?}");
        let text = |batch: &Batch| String::from_utf8(batch.to_json()).unwrap();
        assert_eq!(text(&batch), text(&request(after)), "{statements:?}");
    };
    let histogram = |fields: &str| format!(r#""histogram":{{"dataPoints":[{{"count":"3",{fields}}}]}}"#);
    let before = histogram(r#""bucketCounts":["1","2"],"explicitBounds":[1.5]"#);
    check(
        &before,
        &["set(bucket_counts, [0, 1, 2])", "set(explicit_bounds, [1.5, 2])"],
        &histogram(r#""bucketCounts":["0","1","2"],"explicitBounds":[1.5,2]"#),
    );
    // What cannot stand there is passed over.
    let wrong = [
        "set(bucket_counts, [-1])",
        r#"set(explicit_bounds, ["a"])"#,
        "set(positive.offset, 1)",
        "set(bucket_counts, 1)",
        "set(exemplars, [1])",
        "set(quantile_values, [])",
    ];
    check(&before, &wrong, &before);
    let exponential = |fields: &str| {
        format!(r#""exponentialHistogram":{{"dataPoints":[{{"count":"3","positive":{{{fields}}}}}]}}"#)
    };
    check(
        &exponential(r#""offset":-2,"bucketCounts":["1","2"]"#),
        &["set(positive.offset, 5)", "set(positive.bucket_counts, [3])", "set(bucket_counts, [1])"],
        &exponential(r#""offset":5,"bucketCounts":["3"]"#),
    );
}

#[test]
fn functions_on_what_replaces() {
    let a = |text: &str| format!(r#"{{"key":"a","value":{{"stringValue":"{text}"}}}},{B}"#);
    let hash = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    attributes(r#"replace_pattern(attributes["a"], "x(\\d)", "$1", SHA256)"#, &a(hash));
    attributes(
        r#"replace_pattern(attributes["a"], "(\\d)", "$1", SHA256, "<%s>")"#,
        &a(&format!("x<{hash}>")),
    );
    attributes(r#"replace_pattern(attributes["a"], "q", "$1", SHA256, "bad")"#, &a("x1"));
    // Each match by itself: none is looked for in what has come of another.
    attributes(
        r#"replace_pattern(attributes["a"], "[x1]", "$0$0$0", ToUpperCase, "1x%s")"#,
        &a("1xXXX1x111"),
    );
    attributes(r#"replace_match(attributes["a"], "x*", "Y", ToLowerCase, "%s!")"#, &a("y!"));
    // Without a function the format says nothing.
    attributes(r#"replace_match(attributes["a"], "x*", "Y", replacement_format="%s!")"#, &a("Y"));
    attributes(r#"replace_all_matches(attributes, "x*", "Y", function=ToLowerCase)"#, &a("y"));
    attributes(r#"replace_all_patterns(attributes, "value", "x", "Y", ToLowerCase, "%s-")"#, &a("y-1"));
    attributes(
        r#"replace_all_patterns(attributes, "key", regexPattern="b", replacement="c", function=ToUpperCase)"#,
        &format!(r#"{A},{{"key":"C","value":{{"intValue":"2"}}}}"#),
    );
}

#[test]
fn errors_leave_the_data_alone() {
    let check = |statement: &str, expected: &str| {
        let (after, errors) = run(&log(AB), Level::Item, &[statement]);
        assert_eq!((errors, after), (vec![expected.to_owned()], log(AB)), "{statement}");
    };
    check(r#"delete_key(body, "a")"#, "expected map but got nil");
    check(r#"merge_maps(attributes, body, "upsert")"#, "expected map but got nil");
    check("limit(attributes, -1)", "limit: -1 is negative");
    check(r#"limit(attributes, 1, ["a", "b"])"#, "limit: 2 priority keys do not fit the limit of 1");
    let format = "must be format string containing a single %s and no other format specifiers";
    for wrong in ["none", "%d", "%s %d"] {
        let statement = format!(r#"replace_pattern(attributes["a"], "x", "y", SHA256, "{wrong}")"#);
        check(&statement, &format!("replace_pattern: replacementFormat {format}"));
    }
    check(r#"replace_pattern(attributes["a"], "x", "y", Len)"#, "expected string but got int");
    check(
        r#"set(body, Time("x", "%F"))"#,
        r#"Time: parsing time "x": expected a year of four digits but found "x""#,
    );
    check(r#"set(body, Time("", "%F"))"#, "Time: time cannot be nil");
    check(r#"set(attributes["a"]["b"], 1)"#, "type string does not support indexing");
}

#[test]
fn what_is_no_statement_is_refused() {
    let context = Context::new(Signal::Metrics, Level::Metric).unwrap();
    let check = |text: &str, expected: &str| {
        let error = Statement::parse(text, &context).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("sett(name, \"a\")", "1:1: unknown editor `sett` (did you mean `set`?)");
    check("set(\"name\", \"a\")", "1:5: expected a path as argument `target` of set");
    check("set(type, 1)", "1:5: expected a path that can be set");
    check(
        "merge_maps(metadata, {}, \"join\")",
        "expected one of insert, update, upsert as argument `strategy`",
    );
    check(
        r#"replace_pattern(name, "a", "b", SHA255)"#,
        "1:33: unknown converter `SHA255` (did you mean `SHA256`?)",
    );
    check(
        r#"replace_pattern(name, "a", "b", Concat)"#,
        "1:33: expected the name of a converter that takes one value",
    );
    check(r#"replace_pattern(name, "a", "b", "SHA256")"#, "expected the name of a converter");
    check(r#"replace_pattern(name, patern="a")"#, "replace_pattern has no argument `patern`");
    check(r#"set(unit, FormatTime(Now(), "%Q"))"#, "1:29: invalid time directive `%Q`");
    check(
        r#"set(unit, FormatTime(Now(), unit))"#,
        "expected a string literal as argument `format` of FormatTime",
    );
    check(r#"set(unit, Time(unit, "%F", "No/Where"))"#, "1:28: failed to load location No/Where");
    check(r#"set(unit, Time(unit, "%F", "", "fr"))"#, "1:32: unsupported locale \"fr\"");
    check("set(name, 1) where name", "1:20: expected a condition");
    check("set(name, target=1, value=2)", "argument `target` of set is given twice");
}
