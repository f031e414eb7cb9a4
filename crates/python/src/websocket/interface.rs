//! What an interface says of its WebSockets.

use super::inbox::Received;
use pyo3::prelude::*;

/// An interface as a session sees it.
pub(crate) trait Interface {
    /// Its name, for log lines.
    fn name(&self) -> &'static str;

    /// Its object for what the client sent.
    fn present<'py>(&self, py: Python<'py>, received: Received<'_>) -> PyResult<Bound<'py, PyAny>>;

    /// Its exception for sending to a client that is gone.
    fn gone(&self, py: Python<'_>) -> PyErr;

    /// Whether an application may raise this after its client is gone, without it being logged.
    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool;
}

/// Why something cannot be sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The handshake has no response yet.
    NotAccepted,
    /// The handshake has a response already.
    AlreadyAccepted,
    /// The application itself has closed.
    ClosedByUs,
    /// The client has closed or is gone, or the server has closed.
    ClientGone,
    /// Python failed.
    Failed(PyErr),
}

impl From<PyErr> for NotSent {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}
