//! What is wrong with a configuration is said, all of it, with its place.

use crate::fakes::plan;

const GOOD: &str = "receivers: {in: }\nexporters: {out: }\n";

fn check(yaml: &str, expected: &[&str]) {
    let problems = match plan(yaml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>(),
    };
    assert_eq!(problems, expected, "{yaml}");
}

fn with_service(service: &str) -> String {
    format!("{GOOD}service: {service}\n")
}

#[test]
fn references_are_checked() {
    check(&with_service("{pipelines: {metrics: {receivers: [in], exporters: [out]}}}"), &[]);
    check(
        &with_service("{pipelines: {metrics: {receivers: [in/x], exporters: [out], processors: [mid]}}}"),
        &[
            "test.yaml:3:23: service::pipelines::metrics: references receiver \"in/x\" which is not configured \
             (add `in/x:` below `receivers:`)",
            "test.yaml:3:23: service::pipelines::metrics: references processor \"mid\" which is not configured \
             (add `mid:` below `processors:`)",
        ],
    );
    check(
        &with_service("{extensions: [beside], pipelines: {metrics: {receivers: [in], exporters: [out]}}}"),
        &["test.yaml:3:11: service::extensions: references extension \"beside\" which is not configured \
           (add `beside:` below `extensions:`)"],
    );
}

#[test]
fn pipelines_need_both_ends() {
    check(
        &with_service("{pipelines: {metrics: {receivers: [in]}, logs: }}"),
        &[
            "test.yaml:3:23: service::pipelines::metrics: must have at least one exporter",
            "test.yaml:3:51: service::pipelines::logs: must have at least one receiver",
            "test.yaml:3:51: service::pipelines::logs: must have at least one exporter",
        ],
    );
    check(&with_service(""), &["test.yaml:3:1: service::pipelines: service must have at least one pipeline"]);
    check(
        &with_service("{pipelines: {trace: {receivers: [in], exporters: [out]}}}"),
        &["test.yaml:3:23: service::pipelines::trace: unknown pipeline signal: \"trace\""],
    );
}

#[test]
fn a_processor_stands_once() {
    let yaml = format!(
        "{GOOD}processors: {{mid: }}\nservice:\n  pipelines:\n    logs:\n      {}\n",
        "{receivers: [in, in], processors: [mid, mid], exporters: [out]}"
    );
    check(&yaml, &["test.yaml:6:5: service::pipelines::logs: references processor \"mid\" multiple times"]);
}

#[test]
fn every_component_is_checked_and_all_problems_are_reported() {
    check(
        "
receivers:
  in: {size: 10}
  inn:
exporters:
  out/a: {szie: 1}
  out/b: {size: x}
  logging:
  'out/ ':
procesors: {}
service: {pipelines: {metrics: {receivers: [in], exporters: [out/a]}}}
",
        &[
            "test.yaml:10:1: procesors: has invalid keys: procesors (the known keys are receivers, processors, \
             exporters, connectors, extensions, service)",
            "test.yaml:3:8: receivers::in::size: must be at most 9",
            "test.yaml:4:3: receivers::inn: 'receivers' unknown type: \"inn\" for id: \"inn\" (valid values: [in]) \
             (did you mean `in`?)",
            "test.yaml:6:11: exporters::out/a: has invalid keys: szie (did you mean `size`?)",
            "test.yaml:7:17: exporters::out/b::size: expected type 'uint32', got unconvertible type 'string'",
            "test.yaml:8:3: exporters::logging: the logging exporter has been deprecated, use the debug exporter instead",
            "test.yaml:9:3: exporters::out/ : in \"out/ \" id: the part after / should not be empty",
        ],
    );
}

#[test]
fn a_connector_of_an_unknown_type_is_reported_once() {
    check(
        "
receivers: {in: }
exporters: {out: }
connectors: {forward/x: }
service:
  pipelines:
    metrics: {receivers: [in], processors: [forward/x], exporters: [forward/x]}
    metrics/2: {receivers: [forward/x], exporters: [out]}
",
        &[
            "test.yaml:4:14: connectors::forward/x: 'connectors' unknown type: \"forward\" for id: \"forward/x\" (valid values: [])",
            "test.yaml:7:5: service::pipelines::metrics: references processor \"forward/x\" which is not configured (add `forward/x:` below `processors:`)",
        ],
    );
}

#[test]
fn an_empty_configuration_is_wrong_in_every_way() {
    let problems = plan("").err().unwrap();
    let texts: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    assert_eq!(
        texts,
        [
            "no receiver configuration specified in config",
            "no exporter configuration specified in config",
            "service must have at least one pipeline",
        ],
        "the level that all tests set makes the map non-empty"
    );
}

#[test]
fn deprecated_aliases_work_and_are_said() {
    let plan = plan(
        "
receivers: {in: }
exporters: {oldname: }
service: {pipelines: {metrics: {receivers: [in], exporters: [oldname]}}}
",
    )
    .unwrap();
    assert_eq!(plan.warnings, [r#"exporters::oldname: "oldname" alias is deprecated; use "out" instead"#]);
}

#[test]
fn telemetry_is_checked() {
    let yaml = with_service(
        "{pipelines: {metrics: {receivers: [in], exporters: [out]}}, telemetry: {logs: {level: loud, encoding: x}, \
         metrics: {views: [{}]}}}",
    );
    let problems = plan(&yaml).err().unwrap();
    let texts: Vec<_> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    assert_eq!(
        texts,
        [
            "service::telemetry::logs::level: unrecognized level: \"loud\"",
            "service::telemetry::logs::encoding: no encoder registered for name \"x\"",
            "service::telemetry::metrics::views: service::telemetry::metrics::views can only be set when \
             service::telemetry::metrics::level is detailed",
        ]
    );
}
