//! Errors of applications, in the form that Python users know.

use hostler_http::RequestFacts;
use pyo3::prelude::*;
use tracing::Level;

/// Logs an exception of the application with its traceback.
pub(crate) fn application_error(py: Python<'_>, what: &str, error: &PyErr) {
    let traceback = traceback(py, error);
    tracing::error!("{what}\n{}", traceback.trim_end());
}

/// Logs an exception of the application in a request, with its traceback.
pub(crate) fn request_error(py: Python<'_>, what: &str, error: &PyErr, facts: &RequestFacts) {
    let traceback = traceback(py, error);
    let traceback = traceback.trim_end();
    let RequestFacts { method, path, client, request_id, worker, pid } = facts;
    if hostler_sys::logging::is_json() {
        return tracing::error!(method, path, client, request_id, worker, pid, "{what}\n{traceback}");
    }
    // The fields stand in the first line, where they can be found.
    tracing::error!(
        "{what} method={method:?} path={path:?} client={client:?} request_id={request_id:?} worker={worker} pid={pid}\n\
         {traceback}"
    );
}

/// Logs what an application did wrong in a request.
pub(crate) fn request_mistake(what: &str, facts: &RequestFacts) {
    let RequestFacts { method, path, client, request_id, worker, pid } = facts;
    tracing::error!(method, path, client, request_id, worker, pid, "{what}");
}

/// How many causes of an error are followed.
const MAX_CAUSES: usize = 16;

/// Whether an exception is of this class, or caused by one that is (PEP 3134).
pub(crate) fn comes_of(py: Python<'_>, error: &PyErr, class: &Bound<'_, PyAny>) -> bool {
    let mut next = Some(error.value(py).clone().into_any());
    for _ in 0..MAX_CAUSES {
        let Some(error) = next.take() else { return false };
        if error.is_instance(class).unwrap_or(false) {
            return true;
        }
        let cause = |name| error.getattr(name).ok().filter(|cause| !cause.is_none());
        next = cause("__cause__").or_else(|| cause("__context__"));
    }
    false
}

/// The traceback as Python prints it, from the application's first frame on.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        py.import("hostler._log")?.call_method1("traceback_of", (error.value(py),))?.extract()
    };
    format().unwrap_or_else(|_| error.to_string())
}

/// Writes a record that Python's logging has formatted to the server's log. `level` is one of Python's numbers.
#[pyfunction]
pub(crate) fn write_log(level: i64, logger: &str, text: &str) {
    let level = match level {
        40.. => Level::ERROR,
        30.. => Level::WARN,
        20.. => Level::INFO,
        _ => Level::DEBUG,
    };
    hostler_sys::logging::write_record(level, logger, text);
}
