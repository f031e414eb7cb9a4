//! The Python package, outside of a worker: its types, and `hostler.testing`.

use hostler_testkit::{hostler, python, root};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let tests = root().join("tests/python");
    let mut command = Command::new(python());
    command.args(arguments).current_dir(tests).env("PYTHONPATH", root().join("crates/python/python"));
    command.env("HOSTLER", hostler()).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn applications_are_typed() {
    let cache = format!("--cache-dir={}", std::env::temp_dir().join("hostler-mypy").display());
    let text = succeeds(&["-m", "mypy", "--strict", &cache, "typed_app.py"]);
    assert!(text.contains("no issues found"), "{text}");
}

#[test]
fn a_server_is_started_for_a_test_and_stopped_after_it() {
    let apps = root().join("tests/apps");
    assert!(succeeds(&["use_testing.py", apps.to_str().unwrap()]).contains("all well"));
}
