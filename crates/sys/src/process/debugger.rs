//! Whether a debugger is at work in this process, as far as whoever runs the application's code can tell.

use std::sync::OnceLock;

static LOOK: OnceLock<fn() -> bool> = OnceLock::new();

/// Has this function find out; it is called on any thread, now and then, while code is developed.
pub fn look_by(look: fn() -> bool) {
    let _ = LOOK.set(look);
}

/// Whether a debugger holds a thread of the application, at a prompt say. Without a function that finds out it is not known.
#[must_use]
pub fn is_at_work() -> bool {
    LOOK.get().is_some_and(|look| look())
}
