//! The event dictionaries that pass between server and application.

use pyo3::{
    exceptions::{PyOSError, PyTypeError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

/// `http.request`: a piece of the request's body.
pub(super) fn request<'py>(py: Python<'py>, body: &[u8], more: bool) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
    event.set_item(intern!(py, "body"), PyBytes::new(py, body))?;
    event.set_item(intern!(py, "more_body"), more)?;
    Ok(event.into_any())
}

/// `http.disconnect`: the client is gone, or the answer is complete.
pub(super) fn disconnect(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
    Ok(event.into_any())
}

/// What `send` raises once the client is gone (spec 2.4: a subclass of OSError).
pub(super) fn gone() -> PyErr {
    PyOSError::new_err("the client has disconnected")
}

/// Finishes a future of the loop, unless its task was cancelled meanwhile.
pub(super) fn resolve(future: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
    settle(future, intern!(future.py(), "set_result"), value);
}

/// Fails a future of the loop, unless its task was cancelled meanwhile.
pub(super) fn reject(future: &Bound<'_, PyAny>, error: PyErr) {
    let py = future.py();
    settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any());
}

fn settle(future: &Bound<'_, PyAny>, how: &Bound<'_, PyString>, value: Bound<'_, PyAny>) {
    let py = future.py();
    let settled = future.call_method0(intern!(py, "done")).and_then(|done| {
        if done.is_truthy()? { Ok(()) } else { future.call_method1(how, (value,)).map(drop) }
    });
    if let Err(error) = settled {
        // Only a closed loop refuses; then nobody waits for this future either.
        tracing::debug!(%error, "cannot finish a future");
    }
}

/// A required key of an event.
pub(super) fn required<'py>(
    event: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
    kind: &str,
) -> PyResult<Bound<'py, PyAny>> {
    event
        .get_item(key)?
        .ok_or_else(|| PyTypeError::new_err(format!("the event `{kind}` lacks the key `{key}`")))
}
