//! A WebSocket as an RSGI application holds it: the protocol object, the transport and its messages.

use super::shared::Shared;
use crate::{
    call::{ApplicationTask, Origin},
    exchange::Call,
    response::{Head, bytes_of, status_alone},
    websocket::{Interface, NotSent, Received, Session},
};
use hostler_eventloop::{Finished, GilCell};
use hostler_websocket::Opcode;
use hyper::StatusCode;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};
use std::rc::Rc;

/// What protocol and transport of a WebSocket share.
#[derive(Clone)]
struct Ends {
    session: Rc<Session>,
    shared: Rc<Shared>,
}

impl Ends {
    fn error(&self, py: Python<'_>, reason: NotSent) -> PyErr {
        let errors = &self.shared.errors;
        match reason {
            NotSent::Failed(error) => error,
            NotSent::ClientGone => errors.gone(py),
            NotSent::NotAccepted => errors.wrong(py, "the WebSocket is not accepted yet"),
            NotSent::AlreadyAccepted => errors.wrong(py, "the WebSocket's handshake has a response already"),
            NotSent::ClosedByUs => errors.wrong(py, "the application has closed the WebSocket"),
        }
    }
}

/// `protocol` of a WebSocket.
#[pyclass(frozen, name = "WebsocketProtocol", module = "hostler.rsgi")]
pub(crate) struct Socket(GilCell<Ends>);

impl Socket {
    pub(super) fn new(session: Rc<Session>, shared: Rc<Shared>) -> Self {
        Self(GilCell::new(Ends { session, shared }))
    }

    fn ends(&self, py: Python<'_>) -> Ends {
        self.0.with(py, |ends| ends.clone())
    }
}

impl Call for Socket {
    fn suspended(slf: &Bound<'_, Self>, task: ApplicationTask) {
        slf.get().ends(slf.py()).session.suspended(slf.py(), task);
    }

    fn application_ended(
        slf: &Bound<'_, Self>,
        error: Option<PyErr>,
        origin: impl FnOnce() -> Option<Origin>,
    ) {
        slf.get().ends(slf.py()).session.application_ended(slf.py(), error, origin);
    }
}

#[pymethods]
impl Socket {
    /// Accepts the handshake; an awaitable of the transport.
    fn accept<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ends = self.ends(py);
        match ends.session.accept(py, Head::default(), None) {
            Ok(()) => Finished::with(py, Bound::new(py, Transport(GilCell::new(ends)))?.into_any()),
            Err(reason) => Err(ends.error(py, reason)),
        }
    }

    /// Before `accept`, refuses the handshake with an HTTP status, 403 unless given; after it, closes with a close
    /// code, 1000 unless given. Closing what is closed does nothing.
    #[pyo3(signature = (status = None))]
    fn close(&self, py: Python<'_>, status: Option<u16>) {
        let session = self.ends(py).session;
        let closed = session.close(py, status.unwrap_or(1000), String::new());
        if matches!(closed, Err(NotSent::NotAccepted)) {
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::FORBIDDEN);
            session.refuse(py, status_alone(status));
        }
    }
}

/// What `accept` gives.
#[pyclass(frozen, name = "WebsocketTransport", module = "hostler.rsgi")]
pub(crate) struct Transport(GilCell<Ends>);

impl Transport {
    fn send<'py>(&self, py: Python<'py>, opcode: Opcode, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let ends = self.0.with(py, |ends| ends.clone());
        ends.session.send(py, opcode, data).map_err(|reason| ends.error(py, reason))
    }
}

#[pymethods]
impl Transport {
    /// Awaits the next message; after the end that is a close message, however often it is asked for.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.with(py, |ends| Rc::clone(&ends.session)).receive(py)
    }

    fn send_bytes<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match data.cast::<PyBytes>() {
            Ok(data) => self.send(py, Opcode::Binary, data.as_bytes()),
            Err(_) => self.send(py, Opcode::Binary, &bytes_of(data)?),
        }
    }

    fn send_str<'py>(&self, py: Python<'py>, data: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Opcode::Text, data.to_str()?.as_bytes())
    }
}

/// A message: kind 0 is the end, 1 bytes, 2 text.
#[pyclass(frozen, get_all, name = "WebsocketMessage", module = "hostler.rsgi")]
pub(crate) struct Message {
    kind: u8,
    data: Option<Py<PyAny>>,
}

impl Interface for Shared {
    fn name(&self) -> &'static str {
        "RSGI"
    }

    fn present<'py>(&self, py: Python<'py>, received: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
        let (kind, data) = match received {
            Received::Closed(..) => (0, None),
            Received::Binary(data) => (1, Some(PyBytes::new(py, data).into_any().unbind())),
            Received::Text(text) => (2, Some(PyString::from_bytes(py, text)?.into_any().unbind())),
        };
        Ok(Bound::new(py, Message { kind, data })?.into_any())
    }

    fn gone(&self, py: Python<'_>) -> PyErr {
        self.errors.gone(py)
    }

    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        self.errors.is_departure(py, error)
    }
}
