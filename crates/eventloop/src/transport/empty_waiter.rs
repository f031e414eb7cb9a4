//! The future of a `sendfile`, which waits until all that was written is sent.

use super::state::This;
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*};

fn present<'py>(slf: This<'_, 'py>) -> Option<Bound<'py, PyAny>> {
    let py = slf.py();
    slf.get().with(py, |state| state.objects.empty_waiter.as_ref().map(|waiter| waiter.bind(py).clone()))
}

/// A future that is resolved when all is sent. Until it is reset nothing more can be written.
pub(super) fn make<'py>(slf: This<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (slf.py(), slf.get());
    if present(slf).is_some() {
        return Err(PyRuntimeError::new_err("Empty waiter is already set"));
    }
    let Some(core) = this.core(py) else {
        return Err(PyRuntimeError::new_err("the transport is closed"));
    };
    let waiter = core.call_method0(intern!(py, "create_future"))?;
    let kept = waiter.clone().unbind();
    let empty = this.with(py, |state| {
        state.objects.empty_waiter = Some(kept);
        state.queue.is_empty()
    });
    if empty {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(waiter)
}

/// Resolves it: all is sent.
pub(super) fn finish(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
    match present(slf) {
        Some(waiter) => waiter.call_method1(intern!(py, "set_result"), (py.None(),)).map(drop),
        None => Ok(()),
    }
}

/// Fails it: not all could be sent.
pub(super) fn fail(slf: This<'_, '_>, error: PyErr) -> PyResult<()> {
    let py = slf.py();
    match present(slf) {
        Some(waiter) => waiter.call_method1(intern!(py, "set_exception"), (error.into_value(py),)).map(drop),
        None => Ok(()),
    }
}
