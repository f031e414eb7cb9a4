//! A WebSocket as an ASGI application holds it: `receive` and `send` (asgiref "WebSocket").

use super::{Shared, callables, events, scope::ConnectionScope};
use crate::{
    awaitable::Finished,
    gil::GilCell,
    logging::application_error,
    response::{Head, ResponseBody, bytes_of, response},
    running::Purpose,
    task::{Started, task_error},
    websocket::{Handshake, NotSent, Received, Session, Stage, status_alone},
};
use bytes::Bytes;
use hostler_http::RequestBody;
use hostler_websocket::Opcode;
use hyper::{Request, Response, StatusCode};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use std::rc::Rc;

/// Calls the application for a WebSocket; the refusal if the handshake is wrong.
pub(super) fn begin(
    py: Python<'_>,
    shared: &Rc<Shared>,
    connection: &ConnectionScope,
    request: &Request<RequestBody>,
) -> PyResult<Result<Rc<Session>, Response<ResponseBody>>> {
    let handshake = match Handshake::of(request) {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(Err(refusal.answer())),
    };
    let (sockets, tasks) = (Rc::clone(&shared.sockets), Rc::clone(&shared.tasks));
    let upgrades = connection.link().upgrades.clone();
    let session = Session::new(sockets, tasks, upgrades, handshake, present, Box::new(|_| events::gone()));
    let scope = connection.of_websocket(py, shared, request, session.subprotocols())?;
    let socket = Socket { session: GilCell::new(Rc::clone(&session)), state: GilCell::default() };
    let socket = Bound::new(py, socket)?;
    let (receive, send) = (callables::socket_receive(&socket)?, callables::socket_send(&socket)?);
    let args = [scope.as_any(), &receive, &send];
    match shared.tasks.start(shared.app.bind(py), args, || socket.getattr(intern!(py, "_task_done")))? {
        Started::Done(error) => socket.get().application_ended(py, error),
        Started::Suspended(task) => {
            session.runs(py, task, Purpose::of(request, &connection.link().background))
        }
    }
    Ok(Ok(session))
}

/// The application's end of a session.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Socket {
    session: GilCell<Rc<Session>>,
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    /// `websocket.connect` was received.
    connected: bool,
    /// An answer of the application's own to the handshake, under way (`websocket.http.response`).
    denial: Option<(Head, Vec<Bytes>)>,
}

impl Socket {
    fn session(&self, py: Python<'_>) -> Rc<Session> {
        self.session.with(py, |session| Rc::clone(session))
    }

    /// The application returned (`None`) or raised.
    fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let stage = self.session(py).application_ended(py, error.is_some());
        match (error, stage) {
            // What `send` raises once the client is gone.
            (Some(error), Stage::Closed) if events::is_departure(py, &error) => {}
            (Some(error), _) => application_error(py, "the ASGI application raised in a WebSocket", &error),
            (None, Stage::Connecting) => {
                tracing::error!("the ASGI application returned without accepting the WebSocket");
            }
            (None, _) => {}
        }
    }

    /// ASGI's `receive`.
    pub(super) fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let connecting = this.state.with(py, |state| !std::mem::replace(&mut state.connected, true));
        if connecting {
            let event = PyDict::new(py);
            event.set_item(intern!(py, "type"), intern!(py, "websocket.connect"))?;
            return Finished::with(py, event.into_any());
        }
        this.session(py).receive(py)
    }

    /// ASGI's `send`.
    pub(super) fn send<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let event = event
            .cast::<PyDict>()
            .map_err(|_| PyTypeError::new_err(format!("an ASGI event is a dict, not {event:?}")))?;
        let kind = events::required(event, intern!(py, "type"), "?")?;
        match kind.cast::<PyString>()?.to_str()? {
            "websocket.send" => {
                if let Some(future) = this.message(py, event)? {
                    return Ok(future);
                }
            }
            "websocket.accept" => this.accept(py, event)?,
            "websocket.close" => this.close(py, event)?,
            "websocket.http.response.start" => this.begin_denial(py, event)?,
            "websocket.http.response.body" => this.deny(py, event)?,
            other => {
                return Err(PyRuntimeError::new_err(format!("`{other}` is not an event of a WebSocket")));
            }
        }
        Finished::none(py)
    }

    fn accept(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let subprotocol: Option<String> = match event.get_item(intern!(py, "subprotocol"))? {
            Some(name) if !name.is_none() => Some(name.extract()?),
            _ => None,
        };
        let mut head = Head::default();
        if let Some(headers) = event.get_item(intern!(py, "headers"))? {
            head.add_all(&headers)?;
        }
        if self.state.with(py, |state| state.denial.is_some()) {
            return Err(not_sent(NotSent::AlreadyAccepted, "websocket.accept"));
        }
        let accepted = self.session(py).accept(py, head, subprotocol.as_deref())?;
        accepted.map_err(|reason| not_sent(reason, "websocket.accept"))
    }

    fn close(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let code = match event.get_item(intern!(py, "code"))? {
            Some(code) if !code.is_none() => code.extract()?,
            _ => 1000,
        };
        let reason = match event.get_item(intern!(py, "reason"))? {
            Some(reason) if !reason.is_none() => reason.extract()?,
            _ => String::new(),
        };
        let session = self.session(py);
        match session.close(py, code, reason) {
            Ok(()) => Ok(()),
            Err(NotSent::NotAccepted) => {
                session.refuse(py, status_alone(StatusCode::FORBIDDEN));
                Ok(())
            }
            Err(reason) => Err(not_sent(reason, "websocket.close")),
        }
    }

    /// Handles `websocket.send`; returns a future if the application should wait before it sends more.
    fn message<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let given = |key| -> PyResult<_> {
            Ok(event.get_item(key)?.filter(|value: &Bound<'_, PyAny>| !value.is_none()))
        };
        let session = self.session(py);
        let sent = match (given(intern!(py, "text"))?, given(intern!(py, "bytes"))?) {
            (Some(text), None) => {
                session.send(py, Opcode::Text, text.cast::<PyString>()?.to_str()?.as_bytes())?
            }
            (None, Some(bytes)) => match bytes.cast::<PyBytes>() {
                Ok(bytes) => session.send(py, Opcode::Binary, bytes.as_bytes())?,
                Err(_) => session.send(py, Opcode::Binary, &bytes_of(&bytes)?)?,
            },
            _ => return Err(PyTypeError::new_err("`websocket.send` needs either `text` or `bytes`")),
        };
        sent.map_err(|reason| not_sent(reason, "websocket.send"))
    }

    /// Begins a denial of the handshake with an answer of the application's own.
    fn begin_denial(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let name = "websocket.http.response.start";
        let status = events::required(event, intern!(py, "status"), name)?;
        let head = events::head(&status, event.get_item(intern!(py, "headers"))?)?;
        self.session(py).may_be_answered(py).map_err(|reason| not_sent(reason, name))?;
        self.state.with(py, |state| match &mut state.denial {
            denial @ None => {
                *denial = Some((head, Vec::new()));
                Ok(())
            }
            Some(_) => Err(not_sent(NotSent::AlreadyAccepted, name)),
        })
    }

    fn deny(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let name = "websocket.http.response.body";
        let piece = match event.get_item(intern!(py, "body"))? {
            Some(body) => bytes_of(&body)?,
            None => Bytes::new(),
        };
        let more = match event.get_item(intern!(py, "more_body"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        self.session(py).may_be_answered(py).map_err(|reason| not_sent(reason, name))?;
        let whole = self.state.with(py, |state| match &mut state.denial {
            Some((_, pieces)) => {
                pieces.push(piece);
                Ok(if more { None } else { state.denial.take() })
            }
            None => Err(PyRuntimeError::new_err(format!("`{name}` was sent before its start"))),
        })?;
        if let Some((head, pieces)) = whole {
            let body = ResponseBody::Whole(Some(pieces.concat().into()));
            self.session(py).refuse(py, response(head, body));
        }
        Ok(())
    }
}

#[pymethods]
impl Socket {
    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.application_ended(py, task_error(task));
    }
}

/// The events of a WebSocket that the client causes.
fn present<'py>(py: Python<'py>, received: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    let kind = match received {
        Received::Text(_) | Received::Binary(_) => intern!(py, "websocket.receive"),
        Received::Closed(..) => intern!(py, "websocket.disconnect"),
    };
    event.set_item(intern!(py, "type"), kind)?;
    match received {
        Received::Text(text) => event.set_item(intern!(py, "text"), PyString::from_bytes(py, text)?)?,
        Received::Binary(data) => event.set_item(intern!(py, "bytes"), PyBytes::new(py, data))?,
        Received::Closed(code, reason) => {
            event.set_item(intern!(py, "code"), code)?;
            event.set_item(intern!(py, "reason"), reason)?;
        }
    }
    Ok(event.into_any())
}

/// The error for an event that comes at the wrong time.
fn not_sent(reason: NotSent, event: &str) -> PyErr {
    match reason {
        NotSent::ClientGone => events::gone(),
        NotSent::NotAccepted => {
            PyRuntimeError::new_err(format!("`{event}` was sent before `websocket.accept`"))
        }
        NotSent::AlreadyAccepted => {
            PyRuntimeError::new_err(format!("`{event}` was sent after the handshake was answered"))
        }
        NotSent::ClosedByUs => PyRuntimeError::new_err(format!("`{event}` was sent after `websocket.close`")),
    }
}
