//! A WebSocket as the application holds it: `receive` and `send` are its methods.
//!
//! ```text
//! Connecting ──accept──► Open ──close, client gone──► Closed
//!     ├──close──► Closed (403)
//!     └──http.response.start──► Denying ──body, last──► Closed
//! ```

use super::{Handshake, driver};
use crate::{
    asgi::{
        Shared,
        awaitable::Finished,
        body::AsgiBody,
        cycle::task_error,
        events,
        headers::{Head, head_of_denial, headers_of},
    },
    gil::GilCell,
    logging::application_error,
};
use bytes::Bytes;
use hostler_http::Upgrades;
use hyper::{
    Response, StatusCode,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use std::{
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio_tungstenite::tungstenite::Message;

/// So many messages wait for the application before the client has to.
const MOST_INCOMING: usize = 32;
/// So many bytes wait for the client before the application has to.
const MOST_OUTGOING: usize = 64 * 1024;

/// What goes to the client.
pub(super) enum Outgoing {
    Message(Message),
    Close(u16, String),
}

/// One WebSocket.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct Session {
    state: GilCell<State>,
    shared: GilCell<Rc<Shared>>,
}

struct State {
    phase: Phase,
    handshake: Handshake,
    upgrades: Upgrades,
    /// `websocket.connect` was received.
    connected: bool,
    answer: Option<Response<AsgiBody>>,
    /// hyper's task, waiting for `answer`.
    waiting: Option<Waker>,
    incoming: VecDeque<Message>,
    /// Futures of `receive` calls that wait.
    receivers: VecDeque<Py<PyAny>>,
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
    /// Futures of `send` calls that wait for room.
    senders: Vec<Py<PyAny>>,
    driver: Option<Waker>,
    task: Option<Py<PyAny>>,
}

enum Phase {
    Connecting,
    Denying(Head, Vec<Bytes>),
    Open,
    /// `by_us`: the application closed it.
    Closed {
        code: u16,
        reason: String,
        by_us: bool,
    },
}

impl Session {
    pub(crate) fn new(shared: Rc<Shared>, handshake: Handshake, upgrades: Upgrades) -> Self {
        let state = State {
            phase: Phase::Connecting,
            handshake,
            upgrades,
            connected: false,
            answer: None,
            waiting: None,
            incoming: VecDeque::new(),
            receivers: VecDeque::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            senders: Vec::new(),
            driver: None,
            task: None,
        };
        Self { state: GilCell::new(state), shared: GilCell::new(shared) }
    }

    /// The answer to the handshake, once there is one; otherwise `cx` is woken for it.
    pub(crate) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Response<AsgiBody>> {
        self.state.with(py, |state| match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    pub(crate) fn keep_task(&self, py: Python<'_>, task: Bound<'_, PyAny>) {
        self.state.with(py, |state| state.task = Some(task.unbind()));
    }

    /// The names of subprotocols that the client offers.
    pub(crate) fn subprotocols(&self, py: Python<'_>) -> Vec<String> {
        self.state.with(py, |state| state.handshake.subprotocols.clone())
    }

    /// The application returned (`None`) or raised.
    pub(crate) fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let task = self.state.with(py, |state| state.task.take());
        drop(task);
        let phase = self.state.with(py, |state| match state.phase {
            Phase::Connecting | Phase::Denying(..) => 0,
            Phase::Open => 1,
            Phase::Closed { .. } => 2,
        });
        match (&error, phase) {
            // What `send` raises once the client is gone.
            (Some(error), 2) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {}
            (Some(error), _) => application_error(py, "the ASGI application raised in a WebSocket", error),
            (None, 0) => tracing::error!("the ASGI application returned without accepting the WebSocket"),
            (None, _) => {}
        }
        match phase {
            0 => self.answer(py, status_alone(StatusCode::INTERNAL_SERVER_ERROR), 1006),
            1 => self.close(py, if error.is_some() { 1011 } else { 1000 }, String::new()),
            _ => {}
        }
    }

    /// The worker drains: the client should come again, to another one (RFC 6455 §7.4.1, IANA registry: 1012).
    pub(crate) fn restart(&self, py: Python<'_>) {
        if self.state.with(py, |state| matches!(state.phase, Phase::Open)) {
            self.close(py, 1012, "the server restarts".into());
        }
    }

    /// hyper let go of the handshake before it was answered.
    pub(crate) fn abandoned(&self, py: Python<'_>) {
        self.closed(py, 1006, String::new());
    }

    fn answer(&self, py: Python<'_>, answer: Response<AsgiBody>, code: u16) {
        let waiting = self.state.with(py, |state| {
            state.answer = Some(answer);
            state.waiting.take()
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        if code != 0 {
            self.closed(py, code, String::new());
        }
    }

    /// The application closes, or is closed for.
    fn close(&self, py: Python<'_>, code: u16, reason: String) {
        let driver = self.state.with(py, |state| {
            state.outgoing.push_back(Outgoing::Close(code, reason.clone()));
            state.driver.take()
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        self.end(py, Phase::Closed { code, reason, by_us: true });
    }

    /// The client closed, or is gone.
    pub(super) fn closed(&self, py: Python<'_>, code: u16, reason: String) {
        self.end(py, Phase::Closed { code, reason, by_us: false });
    }

    /// Nothing more comes: tells those that wait.
    fn end(&self, py: Python<'_>, phase: Phase) {
        let (receivers, senders) = self.state.with(py, |state| {
            if !matches!(state.phase, Phase::Closed { .. }) {
                state.phase = phase;
            }
            (std::mem::take(&mut state.receivers), std::mem::take(&mut state.senders))
        });
        let address = std::ptr::from_ref(self) as usize;
        let kept = self.shared.with(py, |shared| shared.sessions.borrow_mut().remove(&address));
        drop(kept);
        for receiver in receivers {
            if let Ok(event) = self.disconnect_event(py) {
                events::resolve(receiver.bind(py), event);
            }
        }
        for sender in senders {
            events::reject(sender.bind(py), events::gone());
        }
    }

    fn disconnect_event<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (code, reason) = self.state.with(py, |state| match &state.phase {
            Phase::Closed { code, reason, .. } => (*code, reason.clone()),
            _ => (1006, String::new()),
        });
        let event = PyDict::new(py);
        event.set_item(intern!(py, "type"), intern!(py, "websocket.disconnect"))?;
        event.set_item(intern!(py, "code"), code)?;
        event.set_item(intern!(py, "reason"), reason)?;
        Ok(event.into_any())
    }

    // What the driver calls.

    /// Remembers whom to wake when the application sends or takes a message.
    pub(super) fn driven_by(&self, py: Python<'_>, waker: &Waker) {
        self.state.with(py, |state| match &state.driver {
            Some(kept) if kept.will_wake(waker) => {}
            _ => state.driver = Some(waker.clone()),
        });
    }

    pub(super) fn has_room(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.incoming.len() < MOST_INCOMING)
    }

    pub(super) fn next_outgoing(&self, py: Python<'_>) -> Option<Outgoing> {
        let (next, senders) = self.state.with(py, |state| {
            let next = state.outgoing.pop_front();
            if let Some(Outgoing::Message(message)) = &next {
                state.outgoing_bytes -= message.len();
            }
            let room = state.outgoing_bytes < MOST_OUTGOING;
            (next, if room { std::mem::take(&mut state.senders) } else { Vec::new() })
        });
        for sender in senders {
            events::resolve(sender.bind(py), py.None().into_bound(py));
        }
        next
    }

    /// Gives the application a message.
    pub(super) fn deliver(&self, py: Python<'_>, message: Message) {
        let receiver = loop {
            let Some(first) = self.state.with(py, |state| state.receivers.pop_front()) else { break None };
            let done = first.bind(py).call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
            // A cancelled one would lose the message.
            if !done.unwrap_or(true) {
                break Some(first);
            }
        };
        match receiver {
            Some(receiver) => match message_event(py, &message) {
                Ok(event) => events::resolve(receiver.bind(py), event),
                Err(error) => events::reject(receiver.bind(py), error),
            },
            None => self.state.with(py, |state| state.incoming.push_back(message)),
        }
    }

    // What the application sends.

    fn accept(slf: &Bound<'_, Self>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let subprotocol: Option<String> = match event.get_item(intern!(py, "subprotocol"))? {
            Some(name) if !name.is_none() => Some(name.extract()?),
            _ => None,
        };
        let mut answer = status_alone(StatusCode::SWITCHING_PROTOCOLS);
        *answer.headers_mut() = headers_of(event.get_item(intern!(py, "headers"))?)?;
        let accept = this.state.with(py, |state| match state.phase {
            Phase::Connecting => Ok(state.handshake.accept.clone()),
            Phase::Closed { by_us: false, .. } => Err(events::gone()),
            _ => Err(PyRuntimeError::new_err("`websocket.accept` was sent too late")),
        })?;
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| PyValueError::new_err(format!("{text:?} is no header value")))
        };
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, value(&accept)?);
        if let Some(name) = subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(&name)?);
        }
        let (session, settings) = (slf.clone().unbind(), this.shared.with(py, |shared| shared.websocket));
        let Some(settings) = settings else { return Err(PyRuntimeError::new_err("WebSocket is off")) };
        let upgrades = this.state.with(py, |state| {
            state.phase = Phase::Open;
            state.upgrades.clone()
        });
        let kept = slf.clone().unbind();
        let address = std::ptr::from_ref(this) as usize;
        this.shared.with(py, |shared| shared.sessions.borrow_mut().insert(address, kept));
        upgrades.set(Box::new(move |stream| Box::pin(driver::drive(session, stream, settings))));
        this.answer(py, answer, 0);
        Ok(())
    }

    fn close_event(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let code = match event.get_item(intern!(py, "code"))? {
            Some(code) if !code.is_none() => code.extract()?,
            _ => 1000,
        };
        let reason = match event.get_item(intern!(py, "reason"))? {
            Some(reason) if !reason.is_none() => reason.extract()?,
            _ => String::new(),
        };
        let open = self.state.with(py, |state| match state.phase {
            Phase::Open => Ok(true),
            Phase::Connecting => Ok(false),
            Phase::Closed { by_us: false, .. } => Err(events::gone()),
            Phase::Denying(..) | Phase::Closed { .. } => {
                Err(PyRuntimeError::new_err("`websocket.close` was sent a second time"))
            }
        })?;
        if open {
            self.close(py, code, reason);
        } else {
            self.answer(py, status_alone(StatusCode::FORBIDDEN), 1006);
        }
        Ok(())
    }

    /// Handles `websocket.send`; returns a future if the application should wait before it sends more.
    fn message<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let message = message_of(py, event)?;
        let size = message.len();
        let (driver, full) = self.state.with(py, |state| match &state.phase {
            Phase::Open => {
                state.outgoing.push_back(Outgoing::Message(message));
                state.outgoing_bytes += size;
                Ok((state.driver.take(), state.outgoing_bytes >= MOST_OUTGOING))
            }
            Phase::Closed { by_us: false, .. } => Err(events::gone()),
            Phase::Closed { .. } => {
                Err(PyRuntimeError::new_err("a message was sent after `websocket.close`"))
            }
            Phase::Connecting | Phase::Denying(..) => {
                Err(PyRuntimeError::new_err("a message was sent before `websocket.accept`"))
            }
        })?;
        if let Some(driver) = driver {
            driver.wake();
        }
        if !full {
            return Ok(None);
        }
        let future = self.future(py)?;
        self.state.with(py, |state| state.senders.push(future.clone().unbind()));
        Ok(Some(future))
    }

    /// The denial of a handshake with an answer of the application's own (`websocket.http.response`).
    fn deny(&self, py: Python<'_>, kind: &str, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let wrong = || PyRuntimeError::new_err(format!("`{kind}` was sent out of order"));
        if kind == "websocket.http.response.start" {
            let head = head_of_denial(event)?;
            return self.state.with(py, |state| match state.phase {
                Phase::Connecting => {
                    state.phase = Phase::Denying(head, Vec::new());
                    Ok(())
                }
                _ => Err(wrong()),
            });
        }
        let piece = match event.get_item(intern!(py, "body"))? {
            Some(body) => Bytes::copy_from_slice(body.cast::<PyBytes>()?.as_bytes()),
            None => Bytes::new(),
        };
        let more =
            event.get_item(intern!(py, "more_body"))?.is_some_and(|more| more.is_truthy().unwrap_or(false));
        let whole = self.state.with(py, |state| match &mut state.phase {
            Phase::Denying(_, pieces) => {
                pieces.push(piece);
                Ok(if more { None } else { Some(std::mem::replace(&mut state.phase, Phase::Connecting)) })
            }
            _ => Err(wrong()),
        })?;
        if let Some(Phase::Denying(head, pieces)) = whole {
            let mut answer = Response::new(AsgiBody::Whole(Some(pieces.concat().into())));
            (*answer.status_mut(), *answer.headers_mut()) = head.into_parts();
            self.answer(py, answer, 1006);
        }
        Ok(())
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.shared.with(py, |shared| shared.event_loop.clone_ref(py));
        event_loop.bind(py).call_method0(intern!(py, "create_future"))
    }
}

#[pymethods]
impl Session {
    /// ASGI's `receive`.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let connecting = self.state.with(py, |state| !std::mem::replace(&mut state.connected, true));
        if connecting {
            let event = PyDict::new(py);
            event.set_item(intern!(py, "type"), intern!(py, "websocket.connect"))?;
            return Finished::with(py, event.into_any());
        }
        let (message, over, driver) = self.state.with(py, |state| {
            let message = state.incoming.pop_front();
            // There is room for another one.
            let driver = if message.is_some() { state.driver.take() } else { None };
            (message, matches!(state.phase, Phase::Closed { .. }), driver)
        });
        if let Some(driver) = driver {
            driver.wake();
        }
        match message {
            Some(message) => Finished::with(py, message_event(py, &message)?),
            None if over => Finished::with(py, self.disconnect_event(py)?),
            None => {
                let future = self.future(py)?;
                self.state.with(py, |state| state.receivers.push_back(future.clone().unbind()));
                Ok(future)
            }
        }
    }

    /// ASGI's `send`.
    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let event = event
            .cast::<PyDict>()
            .map_err(|_| PyTypeError::new_err(format!("an ASGI event is a dict, not {event:?}")))?;
        let kind = events::required(event, intern!(py, "type"), "?")?;
        let wait = match kind.cast::<PyString>()?.to_str()? {
            "websocket.accept" => Self::accept(slf, event).map(|()| None)?,
            "websocket.send" => this.message(py, event)?,
            "websocket.close" => this.close_event(py, event).map(|()| None)?,
            kind @ ("websocket.http.response.start" | "websocket.http.response.body") => {
                this.deny(py, kind, event).map(|()| None)?
            }
            other => {
                return Err(PyRuntimeError::new_err(format!("`{other}` is not an event of a WebSocket")));
            }
        };
        match wait {
            Some(future) => Ok(future),
            None => Finished::none(py),
        }
    }

    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.application_ended(py, task_error(task));
    }
}

fn message_event<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "websocket.receive"))?;
    match message {
        Message::Text(text) => event.set_item(intern!(py, "text"), text.as_str())?,
        other => event.set_item(intern!(py, "bytes"), PyBytes::new(py, &other.clone().into_data()))?,
    }
    Ok(event.into_any())
}

/// Exactly one of `text` and `bytes` is not None.
fn message_of(py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<Message> {
    let given =
        |key| -> PyResult<_> { Ok(event.get_item(key)?.filter(|value: &Bound<'_, PyAny>| !value.is_none())) };
    match (given(intern!(py, "text"))?, given(intern!(py, "bytes"))?) {
        (Some(text), None) => Ok(Message::text(text.cast::<PyString>()?.to_str()?)),
        (None, Some(bytes)) => Ok(Message::binary(bytes.extract::<Vec<u8>>()?)),
        _ => Err(PyTypeError::new_err("`websocket.send` needs either `text` or `bytes`")),
    }
}

fn status_alone(status: StatusCode) -> Response<AsgiBody> {
    let mut answer = Response::new(AsgiBody::Whole(None));
    *answer.status_mut() = status;
    answer
}
