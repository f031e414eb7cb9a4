//! Forks of the application: what happens to ours around them (`python/hostler/_forks.py`).
//!
//! CPython calls the three functions around `os.fork` and `os.forkpty`, and around a subprocess with `preexec_fn`; one
//! without is made by vfork, which copies nothing and calls none of them. The mold's own forks, which make workers, are not
//! the application's.

#![expect(unsafe_code, reason = "PyO3 has no safe call for what is to run later")]

use super::observe;
use hostler_eventloop::forked;
use hostler_sys::{attendant, own, process, signal};
use pyo3::{ffi, prelude::*, types::PyString};
use std::{
    ffi::{c_int, c_void},
    ptr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// The mold forks a worker.
static OURS: AtomicBool = AtomicBool::new(false);

/// Forks a worker: nothing is given up.
pub(super) fn fork_worker(py: Python<'_>) -> PyResult<i32> {
    OURS.store(true, Relaxed);
    let forked = py.import("os").and_then(|os| os.call_method0("fork")?.extract::<i32>());
    OURS.store(false, Relaxed);
    forked
}

/// Ends our threads: CPython warns of forks beside threads, and a lock that one holds would stay locked.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    if !OURS.load(Relaxed) {
        // One of them may wait for the GIL.
        py.detach(|| {
            attendant::pause();
            observe::pause();
        });
        signal::hold();
    }
}

/// Has them start again when `os.fork` has returned: until then CPython counts threads.
#[pyfunction]
pub(crate) fn after_fork_in_parent(_py: Python<'_>) {
    if OURS.load(Relaxed) {
        return;
    }
    signal::release();
    attendant::resume();
    // SAFETY: the function takes what it is called with, which is nothing; the main thread runs it with the GIL when it
    // next executes Python code. A queue that is full leaves it to the loop's next turn.
    unsafe { ffi::Py_AddPendingCall(Some(start_again), ptr::null_mut()) };
}

extern "C" fn start_again(_nothing: *mut c_void) -> c_int {
    attendant::start_again();
    0
}

/// Gives up what is ours, in a process that the application forked; `false` in a worker.
#[pyfunction]
pub(crate) fn after_fork_in_child() -> bool {
    if OURS.load(Relaxed) {
        return false;
    }
    own::give_up();
    forked::disown(leave);
    signal::release();
    true
}

/// Whether the application forked this process.
#[pyfunction]
pub(crate) fn is_forked() -> bool {
    own::is_forked()
}

/// Ends a process that the application forked, when it returns from the application.
#[cold]
fn leave(py: Python<'_>, error: Option<PyErr>) -> ! {
    let error = error.map(|error| error.into_value(py));
    let code = py
        .import("hostler._forks")
        .and_then(|module| module.call_method1(PyString::new(py, "finish"), (error,))?.extract::<u8>());
    process::exit_now(code.unwrap_or(1));
}
