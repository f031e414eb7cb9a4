//! The application and what every request of it needs.

use crate::{exchange::Application, logging::comes_of};
use pyo3::{exceptions::asyncio::CancelledError, prelude::*};

/// The application and what every request of it needs.
pub(super) struct Shared {
    pub(super) application: Application,
    pub(super) errors: Errors,
}

impl Shared {
    pub(super) fn new(application: Application, errors: Errors) -> Self {
        Self { application, errors }
    }
}

/// The exceptions that the application knows.
pub(crate) struct Errors {
    /// The application did something at the wrong time.
    protocol: Py<PyAny>,
    /// The client is gone.
    closed: Py<PyAny>,
}

impl Errors {
    pub(crate) fn new(protocol: Bound<'_, PyAny>, closed: Bound<'_, PyAny>) -> Self {
        Self { protocol: protocol.unbind(), closed: closed.unbind() }
    }

    pub(super) fn wrong(&self, py: Python<'_>, text: &str) -> PyErr {
        self.protocol.bind(py).call1((text,)).map_or_else(|error| error, PyErr::from_value)
    }

    pub(super) fn gone(&self, py: Python<'_>) -> PyErr {
        let error = self.closed.bind(py).call1(("the client has disconnected",));
        error.map_or_else(|error| error, PyErr::from_value)
    }

    /// Whether an application may raise this after its client is gone: our own exception, one caused by it, or its
    /// cancellation.
    pub(super) fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance_of::<CancelledError>(py) || comes_of(py, error, self.closed.bind(py))
    }
}
