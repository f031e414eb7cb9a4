//! The transport of a streamed response; the response ends with it.

use super::http_protocol::HttpProtocol;
use crate::response::{BodySender, WrongLength, bytes_of};
use bytes::Bytes;
use hostler_eventloop::{Finished, GilCell};
use hostler_http::RequestFacts;
use pyo3::{prelude::*, types::PyString};

/// What `response_stream` returns.
#[pyclass(frozen, name = "HTTPStreamTransport", module = "hostler.rsgi")]
pub(crate) struct StreamTransport {
    sender: GilCell<BodySender>,
    protocol: Py<HttpProtocol>,
    /// A piece was refused, as there would be more than was announced.
    refused: GilCell<Option<WrongLength>>,
}

impl StreamTransport {
    pub(super) fn new(sender: BodySender, protocol: Py<HttpProtocol>) -> Self {
        Self { sender: GilCell::new(sender), protocol, refused: GilCell::new(None) }
    }

    /// Sends a piece; an awaitable that is finished once there is room for more.
    fn send<'py>(&self, py: Python<'py>, piece: Bytes) -> PyResult<Bound<'py, PyAny>> {
        let connection = self.protocol.get().connection(py);
        let shared = &connection.shared;
        if !self.protocol.get().takes_pieces(py) {
            return Err(shared.errors.gone(py));
        }
        let counted = self.sender.with(py, |sender| sender.count(piece.len(), false));
        let counted = counted.map_err(|wrong| {
            self.refused.with(py, |refused| *refused = Some(wrong));
            shared.errors.wrong(py, &wrong.to_string())
        })?;
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
                Err(short) if self.protocol.get().is_streaming(py) => {
                    // What the application raised was logged.
                    if !stream.has_failed(py) {
                        self.tell(py, self.refused.with(py, |refused| refused.unwrap_or(short)));
                    }
                    stream.fail(py);
                }
                _ => stream.complete(py),
            }
        });
    }
}

impl StreamTransport {
    #[cold]
    fn tell(&self, py: Python<'_>, wrong: WrongLength) {
        let (than, sent, announced) = match wrong {
            WrongLength::TooLong { sent, announced } => ("longer", sent, announced),
            WrongLength::TooShort { sent, announced } => ("shorter", sent, announced),
        };
        let RequestFacts { method, path, client, request_id, worker, pid } = self.protocol.get().facts(py);
        tracing::error!(
            sent,
            announced,
            method,
            path,
            client,
            request_id,
            worker,
            pid,
            "a response of the RSGI application is {than} than its Content-Length"
        );
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
