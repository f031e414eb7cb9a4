//! Calls into CPython's C API that PyO3 has no safe form for.

#![expect(unsafe_code, reason = "the C API")]

use pyo3::{
    ffi,
    prelude::*,
    types::{PyBytes, PyDict, PyTuple},
};
use std::ptr::null_mut;

/// A tuple of two byte strings.
pub(crate) fn bytes_pair<'py>(
    py: Python<'py>,
    a: &Bound<'py, PyBytes>,
    b: &[u8],
) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, [a, &PyBytes::new(py, b)])
}

/// How many references to an object there are.
pub(crate) fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the GIL is held and the object is alive.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Whether a dictionary begins with these very names and values, in this order.
pub(crate) fn holds(
    dictionary: &Bound<'_, PyDict>,
    mut expected: impl Iterator<Item = (*mut ffi::PyObject, *mut ffi::PyObject)>,
) -> bool {
    let (mut position, mut name, mut value) = (0, null_mut(), null_mut());
    expected.all(|pair| {
        // SAFETY: the dictionary is alive and nothing changes it meanwhile; what is written is borrowed and only compared.
        let found = unsafe { ffi::PyDict_Next(dictionary.as_ptr(), &mut position, &mut name, &mut value) };
        found != 0 && (name, value) == pair
    })
}

/// The number by which Python knows this thread.
pub(crate) fn thread_ident() -> u64 {
    // SAFETY: no precondition.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// Raises an exception in another thread, as soon as that runs Python code.
pub(crate) fn raise_in_thread(thread: u64, exception: &Bound<'_, PyAny>) {
    // SAFETY: the GIL is held and the exception is alive; a thread that is gone is not found.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread.cast_signed(), exception.as_ptr()) };
}
