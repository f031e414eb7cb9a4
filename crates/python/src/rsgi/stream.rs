//! The transport of a streamed response; the response ends with it.

use super::http_protocol::HttpProtocol;
use crate::response::{BodySender, WrongLength, bytes_of};
use bytes::Bytes;
use hostler_eventloop::{Finished, GilCell};
use pyo3::{prelude::*, types::PyString};

/// What `response_stream` returns.
#[pyclass(frozen, name = "HTTPStreamTransport", module = "hostler.rsgi")]
pub(crate) struct StreamTransport {
    sender: GilCell<BodySender>,
    protocol: Py<HttpProtocol>,
}

impl StreamTransport {
    pub(super) fn new(sender: BodySender, protocol: Py<HttpProtocol>) -> Self {
        Self { sender: GilCell::new(sender), protocol }
    }

    /// Sends a piece; an awaitable that is finished once there is room for more.
    fn send<'py>(&self, py: Python<'py>, piece: Bytes) -> PyResult<Bound<'py, PyAny>> {
        let connection = self.protocol.get().connection(py);
        let shared = &connection.shared;
        if !self.protocol.get().takes_pieces(py) {
            return Err(shared.errors.gone(py));
        }
        let counted = self.sender.with(py, |sender| sender.count(piece.len(), false));
        let counted = counted.map_err(|wrong| shared.errors.wrong(py, &wrong.to_string()))?;
        let wait = counted.push(py, piece);
        match counted.wait(py, &shared.application.tasks, wait)? {
            Some(wait) => Ok(wait),
            None => Finished::none(py),
        }
    }
}

impl Drop for StreamTransport {
    fn drop(&mut self) {
        Python::attach(|py| {
            let (stream, end) = self.sender.with(py, |sender| (sender.stream(), sender.check_end()));
            match end {
                Err(WrongLength::TooShort { sent, announced }) if self.protocol.get().is_streaming(py) => {
                    tracing::error!(
                        sent,
                        announced,
                        "a response of the RSGI application is shorter than its Content-Length"
                    );
                    stream.fail(py);
                }
                _ => stream.complete(py),
            }
        });
    }
}

#[pymethods]
impl StreamTransport {
    fn send_bytes<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, bytes_of(data)?)
    }

    fn send_str<'py>(&self, py: Python<'py>, data: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Bytes::copy_from_slice(data.to_str()?.as_bytes()))
    }
}
