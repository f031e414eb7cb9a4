//! A WebSocket as an ASGI application holds it: `receive` and `send` (asgiref "WebSocket").

use super::{
    denial::Denial,
    events::{self, flag, kind_of, required},
    receive::Receive,
    send::Send,
    shared::Shared,
};
use crate::{
    call::{ApplicationTask, Method, Origin},
    exchange::Call,
    response::{Head, bytes_of, status_alone},
    websocket::{Interface, NotSent, Received, Session},
};
use bytes::Bytes;
use hostler_eventloop::{Finished, GilCell};
use hostler_websocket::Opcode;
use hyper::StatusCode;
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use std::rc::Rc;

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
    /// The application's own response to the handshake, in progress (`websocket.http.response`).
    denial: Option<Denial>,
}

impl Socket {
    fn session(&self, py: Python<'_>) -> Rc<Session> {
        self.session.with(py, |session| Rc::clone(session))
    }

    pub(super) fn new(session: Rc<Session>) -> Self {
        Self { session: GilCell::new(session), state: GilCell::default() }
    }
}

impl Call for Socket {
    fn suspended(slf: &Bound<'_, Self>, task: ApplicationTask) {
        slf.get().session(slf.py()).suspended(slf.py(), task);
    }

    fn application_ended(
        slf: &Bound<'_, Self>,
        error: Option<PyErr>,
        origin: impl FnOnce() -> Option<Origin>,
    ) {
        slf.get().session(slf.py()).application_ended(slf.py(), error, origin);
    }
}

impl Method<Socket> for Receive {
    fn call<'py>(of: &Bound<'py, Socket>, _none: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (of.py(), of.get());
        let connecting = this.state.with(py, |state| !std::mem::replace(&mut state.connected, true));
        if connecting {
            let event = PyDict::new(py);
            event.set_item(intern!(py, "type"), intern!(py, "websocket.connect"))?;
            return Finished::with(py, event.into_any());
        }
        this.session(py).receive(py)
    }
}

impl Method<Socket> for Send {
    fn call<'py>(of: &Bound<'py, Socket>, event: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (of.py(), of.get());
        let (event, kind) = kind_of(py, event)?;
        match kind.to_str()? {
            "websocket.send" => return this.message(py, event),
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
}

impl Socket {
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
        let accepted = self.session(py).accept(py, head, subprotocol.as_deref());
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

    /// Handles `websocket.send`; an awaitable that is finished once there is room for more.
    fn message<'py>(&self, py: Python<'py>, event: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let given = |key| -> PyResult<_> {
            Ok(event.get_item(key)?.filter(|value: &Bound<'_, PyAny>| !value.is_none()))
        };
        let session = self.session(py);
        let sent = match (given(intern!(py, "text"))?, given(intern!(py, "bytes"))?) {
            (Some(text), None) => {
                session.send(py, Opcode::Text, text.cast::<PyString>()?.to_str()?.as_bytes())
            }
            (None, Some(bytes)) => match bytes.cast::<PyBytes>() {
                Ok(bytes) => session.send(py, Opcode::Binary, bytes.as_bytes()),
                Err(_) => session.send(py, Opcode::Binary, &bytes_of(&bytes)?),
            },
            _ => return Err(PyTypeError::new_err("`websocket.send` needs either `text` or `bytes`")),
        };
        sent.map_err(|reason| not_sent(reason, "websocket.send"))
    }

    /// Begins the application's own response to the handshake.
    fn begin_denial(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let name = "websocket.http.response.start";
        let status = required(event, intern!(py, "status"), name)?;
        let head = events::head(&status, event.get_item(intern!(py, "headers"))?)?;
        self.session(py).may_be_answered(py).map_err(|reason| not_sent(reason, name))?;
        self.state.with(py, |state| match &mut state.denial {
            denial @ None => {
                *denial = Some(Denial::new(head));
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
        let more = flag(event, intern!(py, "more_body"))?;
        self.session(py).may_be_answered(py).map_err(|reason| not_sent(reason, name))?;
        let whole = self.state.with(py, |state| match &mut state.denial {
            Some(denial) => {
                denial.add(piece, more)?;
                Ok(if more { None } else { state.denial.take() })
            }
            None => Err(PyRuntimeError::new_err(format!("`{name}` was sent before its start"))),
        })?;
        if let Some(denial) = whole {
            self.session(py).refuse(py, denial.response());
        }
        Ok(())
    }
}

impl Interface for Shared {
    fn name(&self) -> &'static str {
        "ASGI"
    }

    /// The events of a WebSocket that the client causes.
    fn present<'py>(&self, py: Python<'py>, received: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
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

    fn gone(&self, _py: Python<'_>) -> PyErr {
        events::gone()
    }

    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        events::is_departure(py, error)
    }
}

/// The error for an event that comes at the wrong time.
fn not_sent(reason: NotSent, event: &str) -> PyErr {
    match reason {
        NotSent::Failed(error) => error,
        NotSent::ClientGone => events::gone(),
        NotSent::NotAccepted => {
            PyRuntimeError::new_err(format!("`{event}` was sent before `websocket.accept`"))
        }
        NotSent::AlreadyAccepted => {
            PyRuntimeError::new_err(format!("`{event}` was sent after the response to the handshake"))
        }
        NotSent::ClosedByUs => PyRuntimeError::new_err(format!("`{event}` was sent after `websocket.close`")),
    }
}
