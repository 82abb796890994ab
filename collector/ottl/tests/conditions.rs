//! What conditions say.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use ottl::{Condition, Context, Env};
use pdata::rewrite::{Level, Place, Verdict};
use pdata::{Batch, Signal};

const LOG: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"host","value":{"stringValue":"h1"}}]},"schemaUrl":"u",
    "scopeLogs":[{"scope":{"name":"lib","version":"1.2"},"logRecords":[{
        "timeUnixNano":"10","severityNumber":13,"severityText":"WARN","body":{"stringValue":"GET /health 200"},
        "traceId":"0102030405060708090a0b0c0d0e0f10","attributes":[
            {"key":"s","value":{"stringValue":"text"}},{"key":"i","value":{"intValue":"3"}},
            {"key":"d","value":{"doubleValue":3}},{"key":"b","value":{"boolValue":true}},{"key":"e","value":{}},
            {"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"x"}]}}},
            {"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}}]}]}]}]}"#;

const METRIC: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"cpu","unit":"1","sum":{
    "aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"5","timeUnixNano":"9","startTimeUnixNano":"4",
    "attributes":[{"key":"core","value":{"stringValue":"0"}}]}]}}]}]}]}"#;

const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET","kind":2,"spanId":"0102030405060708",
    "status":{"code":2,"message":"bad"},"events":[{"name":"exception"}]}]}]}]}"#;

/// What `condition` says at the first place of `level`.
fn says(signal: Signal, level: Level, json: &str, condition: &str) -> Result<bool, String> {
    let context = Context::new(signal, level).unwrap();
    let condition = Condition::parse(condition, &context).map_err(|error| error.to_string())?;
    let mut said = None;
    let mut visit = |at: Level, place: &mut Place<'_>| {
        if at == level {
            said = Some(condition.holds(&Env::new(place)).map_err(|error| error.to_string()));
        }
        Verdict::Descend
    };
    let batch = Batch::from_json(signal, json.as_bytes()).unwrap();
    assert_eq!(batch.clone().rewrite(&mut visit), batch, "conditions change nothing");
    said.unwrap()
}

fn log(condition: &str, expected: bool) {
    assert_eq!(says(Signal::Logs, Level::Item, LOG, condition), Ok(expected), "{condition}");
}

fn point(condition: &str, expected: bool) {
    assert_eq!(says(Signal::Metrics, Level::Item, METRIC, condition), Ok(expected), "{condition}");
}

#[test]
fn a_missing_attribute_is_nil_and_nil_equals_nil_alone() {
    log(r#"attributes["no"] == nil"#, true);
    log(r#"attributes["e"] == nil"#, true);
    log(r#"attributes["no"] != nil"#, false);
    log(r#"attributes["s"] == nil"#, false);
    log(r#"attributes["s"] != nil"#, true);
    log(r#"attributes["no"] == """#, false);
    log(r#"attributes["no"] < 1"#, false);
    log(r#"attributes["no"]["deeper"] == nil"#, true);
}

#[test]
fn comparisons() {
    log(r#"attributes["s"] == "text""#, true);
    log(r#"attributes["s"] != "text""#, false);
    log(r#"attributes["s"] < "texu""#, true);
    log(r#"attributes["i"] == attributes["d"]"#, true);
    log(r#"attributes["i"] == 3.0 and attributes["d"] == 3"#, true);
    log(r#"attributes["i"] >= 3 and attributes["i"] <= 3"#, true);
    log(r#"attributes["i"] > 3 or attributes["i"] < 3"#, false);
    log(r#"attributes["b"] == true"#, true);
    // Unlike types are unequal and have no order.
    log(r#"attributes["s"] == 3"#, false);
    log(r#"attributes["s"] != 3"#, true);
    log(r#"attributes["s"] > 3 or attributes["s"] <= 3"#, false);
    log(r#"attributes["l"] == [1, "x"]"#, true);
    log(r#"attributes["l"] != [1]"#, true);
    log(r#"attributes["m"] == {"k": "v"}"#, true);
    log(r#"attributes["m"]["k"] == "v""#, true);
    log(r#"attributes["l"][1] == "x""#, true);
    log(r#"attributes["i"] * 2 + 1 == 7"#, true);
    log(r#"attributes["i"] - -1 == 4 and 7 / 2 == 3 and 7 / 2.0 == 3.5"#, true);
    log("trace_id == 0x0102030405060708090a0b0c0d0e0f10", true);
    log(r#"trace_id.string == "0102030405060708090a0b0c0d0e0f10""#, true);
}

#[test]
fn truth() {
    log("true", true);
    log("not true", false);
    log("true and false or true", true);
    log("not (true and false)", true);
    log("not true or true", true);
    log(r#"IsMatch(body, "x") != true"#, true);
    log(r#"(severity_number == SEVERITY_NUMBER_WARN) and (severity_text == "WARN")"#, true);
}

#[test]
fn paths_of_logs() {
    log(r#"body == "GET /health 200" and body.string == body"#, true);
    log(r#"log.body == body and log.attributes["s"] == "text""#, true);
    log(r#"resource.attributes["host"] == "h1" and resource.schema_url == "u""#, true);
    log(r#"scope.name == "lib" and instrumentation_scope.version == "1.2""#, true);
    log("time_unix_nano == 10 and observed_time_unix_nano == 0", true);
    log(r#"span_id.string == "" and event_name == """#, true);
}

#[test]
fn paths_of_metrics() {
    point(r#"attributes["core"] == "0" and datapoint.attributes["core"] == "0""#, true);
    point("value_int == 5 and value_double == nil", true);
    point("time_unix_nano == 9 and start_time_unix_nano == 4", true);
    point(r#"metric.name == "cpu" and metric.unit == "1" and metric.description == """#, true);
    point("metric.type == METRIC_DATA_TYPE_SUM and metric.is_monotonic == true", true);
    point("metric.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE", true);
    point("count == nil and flags == FLAG_NONE", true);
    let metric = |condition: &str| says(Signal::Metrics, Level::Metric, METRIC, condition);
    assert_eq!(metric(r#"name == "cpu" and metric.name == "cpu""#), Ok(true));
    assert_eq!(metric(r#"HasAttrKeyOnDatapoint("core") and not HasAttrKeyOnDatapoint("x")"#), Ok(true));
    assert_eq!(
        metric(r#"HasAttrOnDatapoint("core", "0") and not HasAttrOnDatapoint("core", "1")"#),
        Ok(true)
    );
}

#[test]
fn quantiles_and_exemplars() {
    let check = |data: &str, condition: &str| {
        let json =
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m",{data}}}]}}]}}]}}"#);
        assert_eq!(says(Signal::Metrics, Level::Item, &json, condition), Ok(true), "{condition}");
    };
    let summary = r#""summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":7},{"quantile":1,"value":9}]}]}"#;
    check(summary, "Len(quantile_values) == 2 and exemplars == nil");
    check(summary, r#"quantile_values[1]["value"] == 9 and quantile_values[0]["quantile"] == 0.5"#);
    let gauge = r#""gauge":{"dataPoints":[{"asInt":"1","exemplars":[{"timeUnixNano":"5","asDouble":2.5,"spanId":"0102030405060708",
        "filteredAttributes":[{"key":"k","value":{"stringValue":"v"}}]}]}]}"#;
    check(gauge, "Len(exemplars) == 1 and quantile_values == nil");
    check(gauge, r#"exemplars[0]["value"] == 2.5 and exemplars[0]["span_id"] == 0x0102030405060708"#);
    check(
        gauge,
        r#"exemplars[0]["filtered_attributes"]["k"] == "v" and exemplars[0]["time_unix_nano"] == 5"#,
    );
    check(r#""histogram":{"dataPoints":[{"count":"1"}]}"#, "Len(exemplars) == 0");
}

#[test]
fn paths_of_spans() {
    let span = |condition: &str| says(Signal::Traces, Level::Item, SPAN, condition);
    assert_eq!(span(r#"name == "GET" and kind == SPAN_KIND_SERVER and kind.string == "Server""#), Ok(true));
    assert_eq!(span(r#"status.code == STATUS_CODE_ERROR and status.message == "bad""#), Ok(true));
    assert_eq!(span(r#"span_id.string == "0102030405060708" and IsRootSpan()"#), Ok(true));
    let event = |condition: &str| says(Signal::Traces, Level::Event, SPAN, condition);
    assert_eq!(event(r#"name == "exception" and span.name == "GET""#), Ok(true));
}

#[test]
fn converters() {
    log(r#"IsMatch(body, "health")"#, true);
    log(r#"IsMatch(attributes["no"], ".*")"#, false);
    log(r#"IsMatch(attributes["i"], "^3$") and IsMatch(attributes["b"], "true")"#, true);
    log(r#"Concat([attributes["s"], attributes["no"], 1, 2.5], "-") == "text-<nil>-1-2.5""#, true);
    log(r#"Format("%s:%03d", ["a", 7]) == "a:007""#, true);
    log(r#"Int("42") == 42 and Int("x") == nil and Int(2.9) == 2 and Int(true) == 1"#, true);
    log(r#"Double("1.5") == 1.5 and Double(1) == 1.0 and Double("x") == nil"#, true);
    log(
        r#"String(1) == "1" and String(attributes["no"]) == nil and String(attributes["m"]) == "{\"k\":\"v\"}""#,
        true,
    );
    log(r#"Split("a|b|c", "|")[1] == "b" and Len(Split("a|b", "|")) == 2"#, true);
    log(r#"Len("abc") == 3 and Len(attributes["l"]) == 2 and Len(attributes["m"]) == 1"#, true);
    log(r#"Substring("abcdef", 1, 3) == "bcd" and Trim("  a ") == "a" and Trim("xax", "x") == "a""#, true);
    log(r#"ToUpperCase("a") == "A" and ToLowerCase("A") == "a" and ConvertCase("a", "upper") == "A""#, true);
    log(r#"HasPrefix("abc", "ab") and HasSuffix("abc", "bc") and not HasPrefix("abc", "b")"#, true);
    log(
        r#"IsString(body) and IsInt(attributes["i"]) and IsDouble(attributes["d"]) and IsBool(attributes["b"])"#,
        true,
    );
    log(r#"IsMap(attributes["m"]) and IsList(attributes["l"]) and not IsMap(body)"#, true);
    log(r#"ParseJSON("{\"a\": {\"b\": 1}}")["a"]["b"] == 1.0"#, true);
    log(r#"ExtractPatterns(body, "(?P<verb>[A-Z]+) (?P<path>\\S+)")["path"] == "/health""#, true);
    log(r#"SHA256("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb""#, true);
    log(r#"HasPrefix(SHA512(""), "cf83e1357eefb8bd") and Len(SHA512("")) == 128"#, true);
    log(r#"FNV("") == -3750763034362895579 and FNV("hello world") == 8618312879776256743"#, true);
    log(r#"ContainsValue(attributes["l"], "x") and Bool("true") and Hex(0xff) == "ff""#, true);
    log(r#"IsMatch(target=body, pattern="GET")"#, true);
}

#[test]
fn what_does_not_fit_the_data_is_an_error() {
    let check = |condition: &str, expected: &str| {
        assert_eq!(says(Signal::Logs, Level::Item, LOG, condition), Err(expected.to_owned()), "{condition}");
    };
    check("1 / 0 == 1", "attempted to divide by 0");
    check(r#"body + 1 == 1"#, "expected int or double but got string");
    check(r#"Substring("abc", 2, 2) == "c""#, "Substring: 2 bytes from 2 are not within the text of 3 bytes");
    check(r#"body["a"] == 1"#, "type string does not support indexing");
    check(r#"attributes["l"][7] == 1"#, "index out of bounds");
    check(r#"Split(attributes["no"], ",") == nil"#, "expected string but got nil");
    check("String(1)", "expected bool but got string");
}

#[test]
fn what_is_not_known_is_refused() {
    let check = |condition: &str, expected: &str| {
        let error = says(Signal::Logs, Level::Item, LOG, condition).unwrap_err();
        assert!(error.contains(expected), "{condition}: {error}");
    };
    check("nam == 1", "invalid syntax at 1:1: unknown path `nam` of a log");
    check("severity_txt == 1", "(did you mean `severity_text`?)");
    check(
        "true and\n resource.atributes[\"a\"] == 1",
        "invalid syntax at 2:2: unknown path `atributes` of a resource (did you mean `attributes`?)",
    );
    check("IsMach(body, \"x\")", "1:1: unknown converter `IsMach` (did you mean `IsMatch`?)");
    check("IsMatch(body)", "1:1: IsMatch needs the argument `pattern`");
    check("IsMatch(body, \"x\", 1)", "1:20: IsMatch takes 2 arguments at most");
    check("IsMatch(body, patern=\"x\")", "IsMatch has no argument `patern` (did you mean `pattern`?)");
    check("IsMatch(body, \"(\")", "1:15: the pattern of IsMatch is not a regular expression");
    check("IsMatch(body, body)", "1:15: expected a string literal as argument `pattern` of IsMatch");
    check("severity_number == SEVERITY_NUMBER_WARM", "did you mean `SEVERITY_NUMBER_WARN`?");
    check("body", "1:1: expected a condition");
    check("(body == 1) == 2", "1:1: expected a value but found a condition");
    check("metric.name == 1", "unknown path `metric.name` of a log");
    let error = says(Signal::Metrics, Level::Metric, METRIC, "datapoint.value_int == 1").unwrap_err();
    assert!(error.contains("a metric has no single datapoint"), "{error}");
}

fn span(condition: &str, expected: bool) {
    assert_eq!(says(Signal::Traces, Level::Item, TIMED_SPAN, condition), Ok(expected), "{condition}");
}

/// From Sunday, 2023-11-12 13:14:15.000000016 UTC on, for 1.5 s.
const TIMED_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET",
    "startTimeUnixNano":"1699794855000000016","endTimeUnixNano":"1699794856500000016"}]}]}]}"#;

#[test]
fn times() {
    span(r#"end_time - start_time == Duration("1500ms")"#, true);
    span(r#"end_time - start_time > Duration("2s")"#, false);
    span(r#"start_time + Duration("1.5s") == end_time and end_time - Duration("1.5s") == start_time"#, true);
    span(r#"Duration("1s") + Duration("500ms") - Duration("1s") == Duration("0.5s")"#, true);
    span(r#"start_time < end_time and end_time < Now()"#, true);
    span(r#"UnixNano(start_time) == start_time_unix_nano"#, true);
    span(r#"UnixSeconds(end_time) == 1699794856 and UnixMilli(end_time) == 1699794856500"#, true);
    span(r#"UnixMicro(end_time) == 1699794856500000 and Unix(1699794855, 16) == start_time"#, true);
    span(r#"Seconds(end_time - start_time) == 1.5 and Milliseconds(end_time - start_time) == 1500"#, true);
    span(r#"Hours(Duration("90m")) == 1.5 and Minutes(Duration("90s")) == 1.5"#, true);
    span(r#"Microseconds(Duration("1ms")) == 1000 and Nanoseconds(Duration("1us")) == 1000"#, true);
    span(r#"Year(start_time) == 2023 and Month(start_time) == 11 and Day(start_time) == 12"#, true);
    span(r#"Hour(start_time) == 13 and Minute(start_time) == 14 and Second(start_time) == 15"#, true);
    span(r#"Nanosecond(start_time) == 16 and Weekday(start_time) == 0"#, true);
    span(r#"TruncateTime(start_time, Duration("1h")) == Unix(1699794000)"#, true);
    // Weeks begin on Monday, as those of Go do.
    span(r#"TruncateTime(start_time, Duration("168h")) == Unix(1699228800)"#, true);
    span(
        r#"String(start_time) == "2023-11-12T13:14:15.000000016Z" and String(Duration("90s")) == "1m30s""#,
        true,
    );
    // A time is no number.
    span(r#"start_time == start_time_unix_nano"#, false);
    span(r#"start_time == Duration("1s")"#, false);
    span(r#"start_time != nil"#, true);
    point(r#"UnixNano(time) == 9 and UnixNano(start_time) == 4"#, true);
    log(r#"time == Unix(0, 10) and observed_time == Unix(0)"#, true);
    let error = says(Signal::Traces, Level::Item, TIMED_SPAN, r#"Seconds(name) > 1.0"#).unwrap_err();
    assert!(error.contains("duration"), "{error}");
    let error =
        says(Signal::Traces, Level::Item, TIMED_SPAN, r#"Duration("soon") > Duration("1s")"#).unwrap_err();
    assert!(error.contains("invalid duration"), "{error}");
    log(
        r#"UnixNano(Time("2023-05-06T07:08:09.5+0200", "%Y-%m-%dT%H:%M:%S.%L%z")) == 1683349689500000000"#,
        true,
    );
    log(r#"Time("06 May 2023", "%d %b %Y", locale="en-US") == Unix(1683331200)"#, true);
    log(r#"FormatTime(Unix(1683331200), "%F %T%z") == "2023-05-06 00:00:00Z""#, true);
}

#[test]
fn buckets() {
    let histogram = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"h","histogram":{"dataPoints":[
        {"count":"3","bucketCounts":["1","2"],"explicitBounds":[1.5]}]}}]}]}]}"#;
    let exponential = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"e","exponentialHistogram":{"dataPoints":[
        {"count":"3","positive":{"offset":-2,"bucketCounts":["1","2"]}}]}}]}]}]}"#;
    let check = |json: &str, condition: &str| {
        assert_eq!(says(Signal::Metrics, Level::Item, json, condition), Ok(true), "{condition}");
    };
    check(histogram, "bucket_counts == [1, 2] and bucket_counts[1] == 2");
    check(histogram, "explicit_bounds == [1.5] and Len(bucket_counts) == 2");
    check(histogram, "positive.offset == nil and positive.bucket_counts == nil");
    check(exponential, "positive.offset == -2 and positive.bucket_counts == [1, 2]");
    check(exponential, "negative.offset == 0 and negative.bucket_counts == []");
    check(exponential, "bucket_counts == nil and explicit_bounds == nil");
}
