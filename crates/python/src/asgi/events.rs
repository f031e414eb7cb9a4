//! The event dictionaries that pass between server and application.

use crate::{logging::comes_of, response::Head};
use pyo3::{
    create_exception,
    exceptions::{PyOSError, PyTypeError, PyValueError, asyncio::CancelledError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

create_exception!(hostler, ClientDisconnected, PyOSError, "The client has disconnected.");

/// `http.request`: a piece of the request's body.
pub(super) fn request<'py>(py: Python<'py>, body: &[u8], more: bool) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
    event.set_item(intern!(py, "body"), PyBytes::new(py, body))?;
    event.set_item(intern!(py, "more_body"), more)?;
    Ok(event.into_any())
}

/// `http.disconnect`: the client is gone, or the response is complete.
pub(super) fn disconnect(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
    Ok(event.into_any())
}

/// What `send` raises when the client is gone (spec 2.4: a subclass of OSError).
pub(super) fn gone() -> PyErr {
    ClientDisconnected::new_err("the client has disconnected")
}

/// Whether an application may raise this after the client is gone: our own exception, one caused by it, or its
/// cancellation. Any other exception is logged, an `OSError` of a background task, too.
pub(super) fn is_departure(py: Python<'_>, error: &PyErr) -> bool {
    let class = py.get_type::<ClientDisconnected>();
    error.is_instance_of::<CancelledError>(py) || comes_of(py, error, class.as_any())
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

/// An event as Python gives it, and its type.
pub(super) fn kind_of<'a, 'py>(
    py: Python<'py>,
    event: Option<&'a Bound<'py, PyAny>>,
) -> PyResult<(&'a Bound<'py, PyDict>, Bound<'py, PyString>)> {
    let event = event.ok_or_else(|| PyTypeError::new_err("`send` takes an event"))?;
    let event = event
        .cast::<PyDict>()
        .map_err(|_| PyTypeError::new_err(format!("an ASGI event is a dict, not {event:?}")))?;
    let kind = required(event, intern!(py, "type"), "?")?;
    Ok((event, kind.cast_into::<PyString>()?))
}

/// An optional boolean of an event.
pub(super) fn flag<'py>(event: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> PyResult<bool> {
    event.get_item(key)?.map_or(Ok(false), |value| value.is_truthy())
}

/// The head that an event describes.
pub(super) fn head(status: &Bound<'_, PyAny>, headers: Option<Bound<'_, PyAny>>) -> PyResult<Head> {
    let code: u16 = status.extract()?;
    let mut head = Head::of(code)
        .ok_or_else(|| PyValueError::new_err(format!("{code} is not the status of a final response")))?;
    if let Some(headers) = headers {
        head.add_all(&headers)?;
    }
    Ok(head)
}
