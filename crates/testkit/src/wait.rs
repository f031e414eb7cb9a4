//! Waiting for what no log line tells.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks. The kernel sends no event for a file that appears, a process that is gone or memory that is
/// given back; this is the one place that sleeps in their stead.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until `done`.
///
/// # Panics
/// When it takes longer than [`LIMIT`]: `not {what}`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    wait_with(&mut done, || format!("not {what}"));
}

/// Looks until `done`, or panics with what `failure` says by then.
pub(crate) fn wait_with(mut done: impl FnMut() -> bool, failure: impl FnOnce() -> String) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "{}", failure());
        thread::sleep(LOOK_INTERVAL);
    }
}
