//! The documents do what they say: their commands are run, and what they print is compared (tests/docs/README.md).

use hostler_testkit::{hostler, python, root};
use std::process::Command;

#[test]
fn every_block_of_the_documents_is_run_or_says_why_not() {
    let mut command = Command::new(python());
    command.arg(root().join("tests/docs/try.py")).arg(hostler()).arg(python());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
