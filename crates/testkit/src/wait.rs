//! Waiting for what the log does not show.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Between two polls. The kernel sends no event for a file that appears, a process that is gone or memory that is
/// given back; this is the only place that polls for them.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Polls until `done`.
///
/// # Panics
/// When it takes longer than [`LIMIT`]: `not {what}`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    wait_with(&mut done, || format!("not {what}"));
}

/// Polls until `done`, or panics with the message of `failure`.
pub(crate) fn wait_with(mut done: impl FnMut() -> bool, failure: impl FnOnce() -> String) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "{}", failure());
        thread::sleep(LOOK_INTERVAL);
    }
}
