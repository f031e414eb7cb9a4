//! A WebSocket as an RSGI application holds it: the protocol object, the transport and its messages.

use super::{Errors, connection::Connection, scope::Scope};
use crate::{
    awaitable::Finished,
    gil::GilCell,
    logging::application_error,
    response::{Head, ResponseBody, bytes_of},
    running::Purpose,
    task::{Started, task_error},
    websocket::{Handshake, NotSent, Received, Session, Stage, status_alone},
};
use hostler_websocket::Opcode;
use hyper::{Request, Response, StatusCode};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyString},
};
use std::rc::Rc;

/// Calls the application for a WebSocket; the refusal if the handshake is wrong.
pub(super) fn begin(
    py: Python<'_>,
    connection: &Rc<Connection>,
    head: Request<()>,
) -> PyResult<Result<Rc<Session>, Response<ResponseBody>>> {
    let handshake = match Handshake::of(&head) {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(Err(refusal.answer())),
    };
    let shared = &connection.shared;
    let (sockets, tasks) = (Rc::clone(&shared.sockets), Rc::clone(&shared.tasks));
    let kept = Rc::clone(connection);
    let gone = Box::new(move |py: Python<'_>| kept.shared.errors.gone(py));
    let session = Session::new(sockets, tasks, connection.link.upgrades.clone(), handshake, present, gone);
    let request = Purpose::of(&head, &connection.link.background);
    let scope = Bound::new(py, Scope::new("ws", head, Rc::clone(connection)))?;
    let ends = || Ends { session: Rc::clone(&session), connection: Rc::clone(connection) };
    let socket = Bound::new(py, Socket(GilCell::new(ends())))?;
    let args = [scope.as_any(), socket.as_any()];
    match shared.tasks.start(shared.app.bind(py), args, || socket.getattr(intern!(py, "_task_done")))? {
        Started::Done(error) => socket.get().application_ended(py, error),
        Started::Suspended(task) => session.runs(py, task, request),
    }
    Ok(Ok(session))
}

#[derive(Clone)]
struct Ends {
    session: Rc<Session>,
    connection: Rc<Connection>,
}

impl Ends {
    fn errors(&self) -> &Errors {
        &self.connection.shared.errors
    }

    fn error(&self, py: Python<'_>, reason: NotSent) -> PyErr {
        match reason {
            NotSent::ClientGone => self.errors().gone(py),
            NotSent::NotAccepted => self.errors().wrong(py, "the WebSocket is not accepted yet"),
            NotSent::AlreadyAccepted => {
                self.errors().wrong(py, "the WebSocket's handshake is answered already")
            }
            NotSent::ClosedByUs => self.errors().wrong(py, "the application has closed the WebSocket"),
        }
    }
}

/// `protocol` of a WebSocket.
#[pyclass(frozen, name = "WebsocketProtocol", module = "hostler.rsgi")]
pub(crate) struct Socket(GilCell<Ends>);

impl Socket {
    fn ends(&self, py: Python<'_>) -> Ends {
        self.0.with(py, |ends| ends.clone())
    }

    /// The application returned (`None`) or raised.
    fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let ends = self.ends(py);
        let stage = ends.session.application_ended(py, error.is_some());
        match (error, stage) {
            (Some(error), Stage::Closed) if ends.errors().is_departure(py, &error) => {}
            (Some(error), _) => application_error(py, "the RSGI application raised in a WebSocket", &error),
            (None, Stage::Connecting) => {
                tracing::error!("the RSGI application returned without accepting the WebSocket");
            }
            (None, _) => {}
        }
    }
}

#[pymethods]
impl Socket {
    /// Answers the handshake; an awaitable of the transport.
    fn accept<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ends = self.ends(py);
        match ends.session.accept(py, Head::default(), None)? {
            Ok(()) => Finished::with(py, Bound::new(py, Transport(GilCell::new(ends)))?.into_any()),
            Err(reason) => Err(ends.error(py, reason)),
        }
    }

    /// Before `accept`, refuses the handshake with an HTTP status, 403 unless given; after it, closes with a close
    /// code, 1000 unless given. Closing what is closed does nothing.
    #[pyo3(signature = (status = None))]
    fn close(&self, py: Python<'_>, status: Option<u16>) {
        let session = self.ends(py).session;
        if session.close(py, status.unwrap_or(1000), String::new()) == Err(NotSent::NotAccepted) {
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::FORBIDDEN);
            session.refuse(py, status_alone(status));
        }
    }

    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.application_ended(py, task_error(task));
    }
}

/// What `accept` gives.
#[pyclass(frozen, name = "WebsocketTransport", module = "hostler.rsgi")]
pub(crate) struct Transport(GilCell<Ends>);

impl Transport {
    fn send<'py>(&self, py: Python<'py>, opcode: Opcode, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let ends = self.0.with(py, |ends| ends.clone());
        match ends.session.send(py, opcode, data)? {
            Ok(Some(future)) => Ok(future),
            Ok(None) => Finished::none(py),
            Err(reason) => Err(ends.error(py, reason)),
        }
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

fn present<'py>(py: Python<'py>, received: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let (kind, data) = match received {
        Received::Closed(..) => (0, None),
        Received::Binary(data) => (1, Some(PyBytes::new(py, data).into_any().unbind())),
        Received::Text(text) => (2, Some(PyString::from_bytes(py, text)?.into_any().unbind())),
    };
    Ok(Bound::new(py, Message { kind, data })?.into_any())
}
