//! Processes that the application forks from inside a callback, as `multiprocessing` does.
//!
//! Such a process has copies of the loop, its connections and its tasks, none of which are its own to continue. The
//! program around the loop calls [`disown`] in it (`os.register_at_fork(after_in_child=…)`); it then exits as soon as
//! it returns from the application's code to the loop.

use pyo3::prelude::*;
use std::sync::OnceLock;

/// Ends the process, given the exception with which it returned from the application, if any.
pub type Leave = fn(Python<'_>, Option<PyErr>) -> !;

static LEAVE: OnceLock<Leave> = OnceLock::new();

/// Marks this process as one that the application forked: `leave` is called when it returns to the loop.
pub fn disown(leave: Leave) {
    let _ = LEAVE.set(leave);
}

/// Whether the application forked this process.
#[inline]
#[must_use]
pub fn is_forked() -> bool {
    LEAVE.get().is_some()
}

/// Passes on what the application returned or raised; exits in a process that it forked.
///
/// One load of an atomic in all others.
///
/// # Errors
/// The application's.
#[inline]
pub fn exit_if_forked<T>(py: Python<'_>, returned: PyResult<T>) -> PyResult<T> {
    if let Some(leave) = LEAVE.get() {
        exit(*leave, py, returned.err());
    }
    returned
}

/// As [`exit_if_forked`], for a value that may hold an error.
///
/// # Errors
/// The application's.
#[inline]
pub fn exit_if_forked_with<T>(
    py: Python<'_>,
    returned: PyResult<T>,
    error: impl FnOnce(&T) -> Option<PyErr>,
) -> PyResult<T> {
    if let Some(leave) = LEAVE.get() {
        exit(*leave, py, returned.map_or_else(Some, |value| error(&value)));
    }
    returned
}

/// As [`exit_if_forked`], for a thread that does not hold the GIL and has nothing to pass on.
#[inline]
pub fn exit_if_forked_without_gil() {
    if let Some(leave) = LEAVE.get() {
        Python::attach(|py| exit(*leave, py, None));
    }
}

#[cold]
fn exit(leave: Leave, py: Python<'_>, error: Option<PyErr>) -> ! {
    leave(py, error)
}

/// For the Python half.
#[pyfunction(name = "is_forked")]
pub(crate) fn is_forked_py() -> bool {
    is_forked()
}
