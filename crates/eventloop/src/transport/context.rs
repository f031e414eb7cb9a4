//! Calls of a protocol's methods in the transport's context.

use super::{SocketTransport, This};
use pyo3::prelude::*;

/// Calls `method(argument)` of the protocol as a reader callback of the selector's loop would be called.
pub(super) fn call<'py>(
    slf: This<'_, 'py>,
    method: &Bound<'py, PyAny>,
    args: &[&Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    match context(slf.get(), py) {
        Some(context) => within(&context, method, args),
        None => invoke(method, args),
    }
}

fn context<'py>(transport: &SocketTransport, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    transport.with(py, |state| state.objects.context.as_ref().map(|context| context.bind(py).clone()))
}

fn invoke<'py>(method: &Bound<'py, PyAny>, args: &[&Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    match args {
        [] => method.call0(),
        [one] => method.call1((*one,)),
        more => method.call1(pyo3::types::PyTuple::new(method.py(), more)?),
    }
}

#[cfg(not(Py_LIMITED_API))]
#[expect(unsafe_code, reason = "context switches have no safe form in PyO3")]
fn within<'py>(
    context: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
    args: &[&Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held and `context` is alive; a value that is no context gives an error.
    if unsafe { pyo3::ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let result = invoke(method, args);
    // SAFETY: this is the context entered above; calls nest, so it is the current one again.
    if unsafe { pyo3::ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(context.py()));
    }
    result
}

#[cfg(Py_LIMITED_API)]
fn within<'py>(
    context: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
    args: &[&Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    let all = std::iter::once(method).chain(args.iter().copied());
    let all = pyo3::types::PyTuple::new(py, all.collect::<Vec<_>>())?;
    context.call_method1(pyo3::intern!(py, "run"), all)
}
