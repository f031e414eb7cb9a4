//! Errors that close a transport, and their form in Python.

use super::state::This;
use crate::callbacks;
use pyo3::{exceptions::PyOSError, intern, prelude::*};
use std::io;

pub(super) use callbacks::ends_loop;

/// Closes the transport for an error. SystemExit and KeyboardInterrupt are returned instead: they end the loop.
pub(super) fn fatal(slf: This<'_, '_>, error: PyErr, message: &str) -> PyResult<()> {
    let py = slf.py();
    if ends_loop(py, &error) {
        return Err(error);
    }
    slf.call_method1(intern!(py, "_fatal_error"), (error.into_value(py), message)).map(drop)
}

/// Makes system errors what Python's socket module raises: with the number, and of its class.
pub(super) fn os_error(py: Python<'_>) -> impl Fn(io::Error) -> PyErr {
    move |error| {
        let Some(code) = error.raw_os_error() else { return error.into() };
        let text = nix::errno::Errno::from_raw(code).desc();
        match py.get_type::<PyOSError>().call1((code, text)) {
            Ok(value) => PyErr::from_value(value),
            Err(error) => error,
        }
    }
}
