//! The protocol's methods for what arrives: `data_received`, or `get_buffer` and `buffer_updated`.

use pyo3::{PyTraverseError, PyVisit, intern, prelude::*, sync::PyOnceLock, types::PyType};

/// Bound methods, so that they are not looked up for every piece of data.
pub(super) enum Receiver {
    Data(Py<PyAny>),
    Buffer { get: Py<PyAny>, updated: Py<PyAny> },
}

impl Receiver {
    /// The methods of a protocol.
    pub(super) fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        static BUFFERED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = protocol.py();
        if protocol.is_instance(BUFFERED.import(py, "asyncio", "BufferedProtocol")?)? {
            return Ok(Self::Buffer {
                get: protocol.getattr(intern!(py, "get_buffer"))?.unbind(),
                updated: protocol.getattr(intern!(py, "buffer_updated"))?.unbind(),
            });
        }
        Ok(Self::Data(protocol.getattr(intern!(py, "data_received"))?.unbind()))
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Data(received) => Self::Data(received.clone_ref(py)),
            Self::Buffer { get, updated } => {
                Self::Buffer { get: get.clone_ref(py), updated: updated.clone_ref(py) }
            }
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Data(received) => visit.call(received),
            Self::Buffer { get, updated } => {
                visit.call(get)?;
                visit.call(updated)
            }
        }
    }
}
