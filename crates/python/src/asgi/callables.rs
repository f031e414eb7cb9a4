//! The `receive` and `send` that the application gets, as plain C functions bound to the request.
//!
//! PyO3's methods parse their arguments in general; these two are called several times for every request and
//! take none and one.

#![expect(unsafe_code, reason = "C functions that Python calls")]

use super::cycle::Cycle;
use pyo3::{ffi, prelude::*};
use std::ptr;

/// A method table entry that never changes.
struct Definition(ffi::PyMethodDef);

// SAFETY: Python only reads it.
unsafe impl Sync for Definition {}

static RECEIVE: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"receive".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: call_receive },
    ml_flags: ffi::METH_NOARGS,
    ml_doc: c"Awaits the next event of the request.".as_ptr(),
});

static SEND: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"send".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: call_send },
    ml_flags: ffi::METH_O,
    ml_doc: c"Sends an event of the response.".as_ptr(),
});

/// The request's `receive`.
pub(super) fn receive<'py>(cycle: &Bound<'py, Cycle>) -> PyResult<Bound<'py, PyAny>> {
    bind(&RECEIVE, cycle)
}

/// The request's `send`.
pub(super) fn send<'py>(cycle: &Bound<'py, Cycle>) -> PyResult<Bound<'py, PyAny>> {
    bind(&SEND, cycle)
}

fn bind<'py>(definition: &'static Definition, cycle: &Bound<'py, Cycle>) -> PyResult<Bound<'py, PyAny>> {
    let definition = (&raw const definition.0).cast_mut();
    // SAFETY: the definition is static and only read; the function keeps a reference to the cycle.
    let function = unsafe { ffi::PyCFunction_NewEx(definition, cycle.as_ptr(), ptr::null_mut()) };
    // SAFETY: a new reference, or an error is set.
    unsafe { Bound::from_owned_ptr_or_err(cycle.py(), function) }
}

unsafe extern "C" fn call_receive(
    cycle: *mut ffi::PyObject,
    _none: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        // SAFETY: Python holds a reference to what `bind` bound during the call.
        let cycle = unsafe { Bound::from_borrowed_ptr(py, cycle) };
        // SAFETY: `bind` binds cycles only.
        let cycle = unsafe { cycle.cast_unchecked::<Cycle>() };
        hand_over(py, Cycle::receive(cycle))
    })
}

unsafe extern "C" fn call_send(cycle: *mut ffi::PyObject, event: *mut ffi::PyObject) -> *mut ffi::PyObject {
    Python::attach(|py| {
        // SAFETY: Python holds a reference to what `bind` bound during the call.
        let cycle = unsafe { Bound::from_borrowed_ptr(py, cycle) };
        // SAFETY: `bind` binds cycles only.
        let cycle = unsafe { cycle.cast_unchecked::<Cycle>() };
        // SAFETY: Python holds a reference to the argument during the call.
        let event = unsafe { Bound::from_borrowed_ptr(py, event) };
        hand_over(py, Cycle::send(cycle, &event))
    })
}

/// A new reference, or null with the error set, as Python expects it.
fn hand_over(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    match result {
        Ok(value) => value.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}
