//! The binary itself. Being an integration test of this package, it also makes `cargo test` build the binary, which the tests
//! in `tests/e2e` and `tests/conformance` run.

use std::process::Command;

#[test]
fn it_says_which_version_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_otelcol-insights")).arg("--version").output().unwrap();
    assert!(output.status.success());
    let expected = format!("otelcol-insights version {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
