//! The protocol's methods for what arrives: `data_received`, or `get_buffer` and `buffer_updated`.

use super::This;
use pyo3::{PyTraverseError, PyVisit, intern, prelude::*, sync::PyOnceLock, types::PyType};

/// Bound methods, so that they are not looked up for every piece of data.
pub(super) enum Receiver {
    Data(Py<PyAny>),
    Buffer { get: Py<PyAny>, updated: Py<PyAny> },
}

impl Receiver {
    /// The methods of the transport's protocol; `None` if it has no protocol any more.
    pub(super) fn of(slf: This<'_, '_>) -> PyResult<Option<Self>> {
        let (py, this) = (slf.py(), slf.get());
        let kept =
            this.with(py, |state| state.objects.receiver.as_ref().map(|receiver| receiver.clone_ref(py)));
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(protocol) = this.protocol(py) else { return Ok(None) };
        let found = Self::look_up(&protocol)?;
        let keep = found.clone_ref(py);
        drop(this.with(py, |state| state.objects.receiver.replace(keep)));
        Ok(Some(found))
    }

    fn look_up(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
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

    fn clone_ref(&self, py: Python<'_>) -> Self {
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
