//! The `receive` and `send` that the application gets, as plain C functions bound to the request.
//!
//! PyO3's methods parse their arguments in general; these two are called several times for every request and
//! take none and one.

#![expect(unsafe_code, reason = "C functions that Python calls")]

use super::{cycle::Cycle, websocket::Socket};
use pyo3::{ffi, prelude::*};
use std::ptr;

/// A method table entry that never changes.
struct Definition(ffi::PyMethodDef);

// SAFETY: Python only reads it.
unsafe impl Sync for Definition {}

/// The two functions of a class that has `receive` and `send`.
macro_rules! callables {
    ($class:ty, $receive:ident, $send:ident) => {
        /// Its `receive`.
        pub(super) fn $receive<'py>(of: &Bound<'py, $class>) -> PyResult<Bound<'py, PyAny>> {
            unsafe extern "C" fn call(
                of: *mut ffi::PyObject,
                _none: *mut ffi::PyObject,
            ) -> *mut ffi::PyObject {
                Python::attach(|py| {
                    // SAFETY: Python holds a reference to what `bind` bound during the call.
                    let of = unsafe { Bound::from_borrowed_ptr(py, of) };
                    // SAFETY: it was bound below, to this class.
                    let of = unsafe { of.cast_unchecked::<$class>() };
                    hand_over(py, <$class>::receive(of))
                })
            }
            static RECEIVE: Definition = Definition(ffi::PyMethodDef {
                ml_name: c"receive".as_ptr(),
                ml_meth: ffi::PyMethodDefPointer { PyCFunction: call },
                ml_flags: ffi::METH_NOARGS,
                ml_doc: c"Awaits the next event.".as_ptr(),
            });
            bind(&RECEIVE, of.as_any())
        }

        /// Its `send`.
        pub(super) fn $send<'py>(of: &Bound<'py, $class>) -> PyResult<Bound<'py, PyAny>> {
            unsafe extern "C" fn call(
                of: *mut ffi::PyObject,
                event: *mut ffi::PyObject,
            ) -> *mut ffi::PyObject {
                Python::attach(|py| {
                    // SAFETY: Python holds a reference to what `bind` bound during the call.
                    let of = unsafe { Bound::from_borrowed_ptr(py, of) };
                    // SAFETY: it was bound below, to this class.
                    let of = unsafe { of.cast_unchecked::<$class>() };
                    // SAFETY: Python holds a reference to the argument during the call.
                    let event = unsafe { Bound::from_borrowed_ptr(py, event) };
                    hand_over(py, <$class>::send(of, &event))
                })
            }
            static SEND: Definition = Definition(ffi::PyMethodDef {
                ml_name: c"send".as_ptr(),
                ml_meth: ffi::PyMethodDefPointer { PyCFunction: call },
                ml_flags: ffi::METH_O,
                ml_doc: c"Sends an event.".as_ptr(),
            });
            bind(&SEND, of.as_any())
        }
    };
}

callables!(Cycle, receive, send);
callables!(Socket, socket_receive, socket_send);

fn bind<'py>(definition: &'static Definition, of: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let definition = (&raw const definition.0).cast_mut();
    // SAFETY: the definition is static and only read; the function keeps a reference to what it is bound to.
    let function = unsafe { ffi::PyCFunction_NewEx(definition, of.as_ptr(), ptr::null_mut()) };
    // SAFETY: a new reference, or an error is set.
    unsafe { Bound::from_owned_ptr_or_err(of.py(), function) }
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
