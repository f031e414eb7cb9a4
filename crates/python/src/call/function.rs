//! Functions of ours that Python calls, as plain C functions bound to an object.
//!
//! PyO3's methods parse arguments of any kind; ASGI's `receive` and `send` take none and one, and every request calls
//! them several times.

#![expect(unsafe_code, reason = "C functions that Python calls")]

use pyo3::{PyClass, ffi, prelude::*};
use std::{ffi::CStr, marker::PhantomData, ptr};

/// A function as Python sees it.
pub(crate) trait Function: 'static {
    const NAME: &'static CStr;
    const DOC: &'static CStr;
    /// One argument, or none.
    const TAKES_ARGUMENT: bool;
}

/// What a function does that is bound to a `T`.
pub(crate) trait Method<T: PyClass>: Function {
    fn call<'py>(of: &Bound<'py, T>, argument: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>;
}

/// The function `M`, bound to `of`.
pub(crate) fn bind<'py, T: PyClass, M: Method<T>>(of: &Bound<'py, T>) -> PyResult<Bound<'py, PyAny>> {
    let definition = (&raw const Binding::<T, M>::DEFINITION.0).cast_mut();
    // SAFETY: the definition is static and only read; the function keeps a reference to what it is bound to.
    let function = unsafe { ffi::PyCFunction_NewEx(definition, of.as_ptr(), ptr::null_mut()) };
    // SAFETY: a new reference, or an error is set.
    unsafe { Bound::from_owned_ptr_or_err(of.py(), function) }
}

/// A method table entry that never changes.
struct Definition(ffi::PyMethodDef);

// SAFETY: Python only reads it.
unsafe impl Sync for Definition {}

struct Binding<T, M>(PhantomData<(T, M)>);

impl<T: PyClass, M: Method<T>> Binding<T, M> {
    const DEFINITION: &'static Definition = &Definition(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: call::<T, M> },
        ml_flags: if M::TAKES_ARGUMENT { ffi::METH_O } else { ffi::METH_NOARGS },
        ml_doc: M::DOC.as_ptr(),
    });
}

unsafe extern "C" fn call<T: PyClass, M: Method<T>>(
    of: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        // SAFETY: Python holds a reference to what `bind` bound during the call.
        let of = unsafe { Bound::from_borrowed_ptr(py, of) };
        // SAFETY: it was bound above, to this class.
        let of = unsafe { of.cast_unchecked::<T>() };
        // SAFETY: Python holds a reference to the argument during the call; without one it gives null.
        let argument = unsafe { Bound::from_borrowed_ptr_or_opt(py, argument) };
        match M::call(of, argument.as_ref()) {
            Ok(value) => value.into_ptr(),
            Err(error) => {
                error.restore(py);
                ptr::null_mut()
            }
        }
    })
}
