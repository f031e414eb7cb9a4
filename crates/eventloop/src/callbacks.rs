//! Running callbacks, and handling their errors.

use crate::{core::LoopCore, forked::exit_if_forked, handle::Handle};
use pyo3::{
    exceptions::{PyKeyboardInterrupt, PySystemExit},
    intern,
    prelude::*,
};

/// Runs one handle, ours or CPython's. Errors of the callback go to the loop's exception handler.
pub(crate) fn run(core: &Bound<'_, LoopCore>, handle: &Bound<'_, PyAny>) {
    let py = core.py();
    let result = match handle.cast_exact::<Handle>() {
        Ok(ours) => ours.get().run(py),
        Err(_) => run_theirs(core, handle),
    };
    if let Err(error) = exit_if_forked(py, result) {
        report(core, handle, error);
    }
}

/// Runs a handle of CPython's: those of descriptors and, in debug mode, all.
fn run_theirs(core: &Bound<'_, LoopCore>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = core.py();
    if core.get().debug(py) {
        core.call_method1(intern!(py, "_debug_run"), (handle,))?;
    } else if !handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
        handle.call_method0(intern!(py, "_run"))?;
    }
    Ok(())
}

/// Gives an error to the loop's exception handler; SystemExit and KeyboardInterrupt end the loop.
pub(crate) fn report(core: &Bound<'_, LoopCore>, handle: &Bound<'_, PyAny>, error: PyErr) {
    let py = core.py();
    if ends_loop(py, &error) {
        return core.get().fail(py, error);
    }
    let reported = core.call_method1(intern!(py, "_callback_failed"), (handle, error.into_value(py)));
    if let Err(error) = reported {
        core.get().fail(py, error);
    }
}

/// Whether an error passes through all handlers: SystemExit and KeyboardInterrupt do.
pub(crate) fn ends_loop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}
