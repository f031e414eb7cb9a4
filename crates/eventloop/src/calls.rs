//! Calls into Python on the hot path, by the fastest way the built-for ABI has.

#![expect(unsafe_code, reason = "vectorcall and context switches have no safe form in PyO3")]

use pyo3::{call::PyCallArgs, ffi, prelude::*, types::PyTuple};

/// The arguments of a call: a tuple, of Rust's or of Python's.
pub trait Args<'py>: PyCallArgs<'py> + IntoPyObject<'py, Target = PyTuple> {}

impl<'py, T: PyCallArgs<'py> + IntoPyObject<'py, Target = PyTuple>> Args<'py> for T {}

/// Calls `callable(*args)` inside `context`, as `Context.run` does.
///
/// # Errors
/// What the callable raises.
#[cfg(not(Py_LIMITED_API))]
pub fn run_in_context<'py>(
    context: &Bound<'py, PyAny>,
    callable: &Bound<'py, PyAny>,
    args: impl Args<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    // SAFETY: the GIL is held and `context` is alive; a value that is no context gives an error.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let result = callable.call1(args);
    // SAFETY: this is the context entered above; calls nest, so it is the current one again.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    result
}

/// Calls `callable(*args)` inside `context`, as `Context.run` does.
///
/// # Errors
/// What the callable raises.
#[cfg(Py_LIMITED_API)]
pub fn run_in_context<'py>(
    context: &Bound<'py, PyAny>,
    callable: &Bound<'py, PyAny>,
    args: impl Args<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    let args = pyo3::IntoPyObjectExt::into_bound_py_any(args, py)?.cast_into::<PyTuple>()?;
    let all = std::iter::once(callable.clone()).chain(args.iter()).collect::<Vec<_>>();
    context.call_method1(pyo3::intern!(py, "run"), PyTuple::new(py, all)?)
}

/// A copy of the current context.
#[cfg(not(Py_LIMITED_API))]
pub fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held; the result is a new reference or an error is set.
    let context = unsafe { ffi::PyContext_CopyCurrent() };
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, context) }
}

/// A copy of the current context.
#[cfg(Py_LIMITED_API)]
pub fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    use pyo3::sync::PyOnceLock;
    static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    COPY.import(py, "contextvars", "copy_context")?.call0()
}

/// Calls `callable(*args, **{names: values})`, where `args` holds positional values first, then the values
/// of `names` in their order.
#[cfg(not(Py_LIMITED_API))]
pub fn call_with_names<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let pointers = args.map(Bound::as_ptr);
    let positional = N - names.len();
    // SAFETY: the pointers are borrowed from live references and there are as many as announced.
    let result =
        unsafe { ffi::PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), positional, names.as_ptr()) };
    // SAFETY: vectorcall returns a new reference, or sets an error.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls `callable(*args, **{names: values})`, where `args` holds positional values first, then the values
/// of `names` in their order.
#[cfg(Py_LIMITED_API)]
pub fn call_with_names<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let positional = N - names.len();
    let keywords = pyo3::types::PyDict::new(py);
    for (name, value) in names.iter().zip(&args[positional..]) {
        keywords.set_item(name, value)?;
    }
    callable.call(PyTuple::new(py, &args[..positional])?, Some(&keywords))
}

/// Calls `callable(*args)`.
#[cfg(not(Py_LIMITED_API))]
pub fn call_with<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    let pointers = args.map(Bound::as_ptr);
    // SAFETY: the pointers are borrowed from live references and there are as many as announced.
    let result =
        unsafe { ffi::PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), N, std::ptr::null_mut()) };
    // SAFETY: vectorcall returns a new reference, or sets an error.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls `callable(*args)`.
#[cfg(Py_LIMITED_API)]
pub fn call_with<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    callable.call1(PyTuple::new(callable.py(), args)?)
}

/// Ends an iterator with a value, the way a coroutine returns one (PEP 380).
pub fn stop_iteration(value: Bound<'_, PyAny>) -> PyErr {
    let py = value.py();
    // SAFETY: the type is a static of the interpreter and the value is alive; both are borrowed.
    let stop_iteration = unsafe { ffi::PyExc_StopIteration };
    // SAFETY: as above.
    unsafe { ffi::PyErr_SetObject(stop_iteration, value.as_ptr()) };
    PyErr::fetch(py)
}
