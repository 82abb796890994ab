//! The command line.

#![allow(clippy::unwrap_used, reason = "a test program")]

use e2e::run;

#[track_caller]
fn check(arguments: &[&str], code: i32, stdout: &str, stderr: &[&str]) {
    let finished = run(arguments).unwrap();
    assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
    assert_eq!(finished.stdout, stdout, "{arguments:?}");
    for part in stderr {
        assert!(finished.stderr.contains(part), "{arguments:?}: {part:?} is not in\n{}", finished.stderr);
    }
    assert!(stderr.is_empty() == finished.stderr.is_empty(), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

const GOOD: &str = "yaml:{receivers: {otlp: {protocols: {grpc: }}}, exporters: {debug: }, \
                    service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}}";

#[test]
fn version() {
    let expected = format!("otelcol-insights version {}\n", env!("CARGO_PKG_VERSION"));
    check(&["--version"], 0, &expected, &[]);
    check(&["-v"], 0, &expected, &[]);
}

#[test]
fn help_names_every_command_and_flag() {
    let help = run(&["--help"]).unwrap();
    assert_eq!(help.code, Some(0));
    for part in
        ["--config", "--set", "--feature-gates", "validate", "components", "print-config", "featuregate"]
    {
        assert!(help.stdout.contains(part), "{part} is not in\n{}", help.stdout);
    }
}

#[test]
fn wrong_words_are_one_line_and_exit_1() {
    check(&["bogus"], 1, "", &["Error: unknown command \"bogus\" for \"otelcol-insights\"\n"]);
    check(&["--bogus"], 1, "", &["Error: unexpected argument '--bogus' found\n"]);
    check(
        &["--set", "foo", "validate"],
        1,
        "",
        &["invalid argument \"foo\" for \"--set\" flag: missing equal sign"],
    );
    check(&["--feature-gates", "x"], 1, "", &["Error: no such feature gate \"x\". valid gates: ["]);
}

#[test]
fn validate_says_nothing_of_a_good_configuration() {
    check(&["validate"], 0, "", &[]);
    check(&["validate", "--config", GOOD], 0, "", &[]);
}

#[test]
fn print_config_shows_what_would_run_without_secrets() {
    let with_secret = "--set=exporters.otlp_grpc/a={endpoint: 'h:1', headers: {authorization: hunter2}}";
    let printed = run(&["print-config", "--config", GOOD, with_secret]).unwrap();
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.contains("endpoint: h:1"), "{}", printed.stdout);
    assert!(printed.stdout.contains("[REDACTED]"), "{}", printed.stdout);
    assert!(!printed.stdout.contains("hunter2"), "{}", printed.stdout);
    let open = run(&["print-config", "--mode", "unredacted", "--format=json", "--config", GOOD, with_secret])
        .unwrap();
    let tree: serde_json::Value = serde_json::from_str(&open.stdout).unwrap();
    assert_eq!(tree["exporters"]["otlp_grpc/a"]["headers"]["authorization"], "hunter2");
    // What is printed runs.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), run(&["print-config"]).unwrap().stdout).unwrap();
    check(&["validate", "--config", file.path().to_str().unwrap()], 0, "", &[]);
}

#[test]
fn components_is_yaml() {
    let listed = run(&["components"]).unwrap();
    assert_eq!(listed.code, Some(0));
    assert!(listed.stdout.starts_with("buildinfo:\n  command: otelcol-insights\n"), "{}", listed.stdout);
    assert!(listed.stdout.contains("name: awscontainerinsightreceiver"), "{}", listed.stdout);
}

#[test]
fn featuregate_describes() {
    let all = run(&["featuregate"]).unwrap();
    assert!(all.stdout.contains("service.AllowNoPipelines"), "{}", all.stdout);
    check(
        &["featuregate", "logs.assignKeys"],
        0,
        "Feature: logs.assignKeys\nEnabled: true\nStage: Beta\nDescription: the assign_keys operator\n",
        &[],
    );
    check(&["featuregate", "x"], 1, "", &["feature \"x\" not found"]);
}

#[test]
fn bad_configurations_name_the_place_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("collector.yaml");
    let path = file.to_str().unwrap();
    let check_file = |text: &str, stderr: &[&str]| {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["--config", path][..], &["validate", "--config", path][..]] {
            check(arguments, 1, "", stderr);
        }
    };
    check_file("receivers:\n\totlp:\n", &["collector.yaml:2:1", "tab"]);
    check_file("receivers: [\n", &["collector.yaml:"]);
    check_file("a string", &["cannot be used as a Conf"]);
    check_file("receivers: {otlp: }\nreceivers: {otlp: }\n", &["collector.yaml:2:1", "already defined"]);
    check_file(
        "receivers: {otlpp: }\nexporters: {debug: {verbositi: x}}\nservice: {pipelines: {metrics: {receivers: \
         [otlpp], exporters: []}}}\n",
        &[
            "collector.yaml:1:13",
            "'receivers' unknown type: \"otlpp\"",
            "did you mean `otlp`?",
            "has invalid keys: verbositi",
            "did you mean `verbosity`?",
            "service::pipelines::metrics: must have at least one exporter",
        ],
    );
    check(&["--config", "/nonexistent.yaml"], 1, "", &["unable to read the file file:/nonexistent.yaml"]);
    check(&["--config", "foo:bar"], 1, "", &["unsupported scheme on URI \"foo:bar\""]);
}
