//! `hostler.testing`: a server for the tests of an application.

use crate::support::succeeds;
use hostler_testkit::root;

#[test]
fn a_server_is_started_for_a_test_and_stopped_after_it() {
    let apps = root().join("tests/apps");
    assert!(succeeds(&["use_testing.py", apps.to_str().unwrap()]).contains("all well"));
}
