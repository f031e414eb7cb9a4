//! Errors of applications, in the form that Python users know.

use pyo3::prelude::*;

/// Logs an exception of the application with its traceback.
pub(crate) fn application_error(py: Python<'_>, what: &str, error: &PyErr) {
    let traceback = traceback(py, error);
    tracing::error!("{what}\n{}", traceback.trim_end());
}

/// The traceback as Python prints it.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let lines = py.import("traceback")?.call_method1("format_exception", (error.value(py),))?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    format().unwrap_or_else(|_| error.to_string())
}

/// Writes what Python's logging has put into a form where the server's own lines go.
#[pyfunction]
pub(crate) fn write_log(text: &str) {
    hostler_sys::logging::write_text(text);
}
