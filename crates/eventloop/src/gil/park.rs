//! Releasing and taking the GIL around the runtime's wait.

#![expect(unsafe_code, reason = "PyO3 has no safe call that outlives a scope for the two hooks")]

use super::signals;
use crate::{forked::exit_if_forked_without_gil, observer::observer};
use pyo3::ffi;
use std::{cell::Cell, ptr};

thread_local! {
    /// The state of the thread while it is parked without the GIL.
    static PARKED: Cell<*mut ffi::PyThreadState> = const { Cell::new(ptr::null_mut()) };
}

/// Whether this thread is parked, and so does not hold the GIL.
#[must_use]
pub fn is_parked() -> bool {
    !PARKED.get().is_null()
}

/// The runtime's hook before it waits.
pub(crate) fn release() {
    exit_if_forked_without_gil();
    // SAFETY: `block_on` is entered with the GIL (from a Python method), and only `take` ends a parking.
    PARKED.set(unsafe { ffi::PyEval_SaveThread() });
    observer().parked();
}

/// The runtime's hook after it has waited.
pub(crate) fn take() {
    // Before waiting for the GIL: a loop that cannot get it is blocked.
    observer().unparked();
    let state = PARKED.replace(ptr::null_mut());
    if state.is_null() {
        return;
    }
    // SAFETY: the state is the one that `release` saved on this thread.
    unsafe { ffi::PyEval_RestoreThread(state) };
    signals::check();
}
