//! `hostler.tasks`: programs that enqueue, keepers, workers, and their deaths.

use crate::support::succeeds;

#[test]
fn tasks_run_whatever_dies() {
    assert!(succeeds(&["use_tasks.py"]).contains("all well"));
}
