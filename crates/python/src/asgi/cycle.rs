//! One request: its state, and the `receive` and `send` that the application gets.
//!
//! ```text
//! Open ──response.start──► Headed ──body, more──► Streaming ──body, last──► Complete
//!                            └──body, last─────────────────────────────────►┘
//! any ──client gone──► Gone            (events sent then raise OSError)
//! ```
//! The application's task and hyper's answer look at the same state; whoever changes it wakes the other.

use super::{
    Shared,
    awaitable::Finished,
    body::{AsgiBody, FilePieces, Stream, Streaming},
    events,
    headers::{Head, head},
};
use crate::gil::GilCell;
use bytes::Bytes;
use http_body::Body;
use hyper::{Response, StatusCode, body::Incoming, header};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyDict, PyString},
};
use std::{
    future::poll_fn,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Bodies up to this size are copied, larger ones are sent from Python's memory.
const COPY_UP_TO: usize = 2048;

/// The request as the application holds it: `receive` and `send` are its methods.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct Cycle {
    state: GilCell<State>,
    shared: GilCell<Rc<Shared>>,
}

struct State {
    /// The request's body, until its end was handed out.
    body: Option<Incoming>,
    /// A task of the runtime is waiting for the body on behalf of `receivers`.
    pumping: bool,
    /// Futures of `receive` calls that wait.
    receivers: Vec<Py<PyAny>>,
    phase: Phase,
    /// A response to HEAD has the headers alone.
    head_request: bool,
    sent: u64,
    /// The client sends no more.
    departed: bool,
    answer: Option<Response<AsgiBody>>,
    /// hyper's task, waiting for `answer`.
    waiting: Option<Waker>,
    /// The application's task: asyncio itself keeps only a weak reference.
    task: Option<Py<PyAny>>,
}

enum Phase {
    Open,
    Headed(Head),
    Streaming { stream: Rc<Stream>, left: Option<u64>, bodiless: bool },
    Complete,
    Gone,
}

impl Cycle {
    pub(super) fn new(shared: Rc<Shared>, body: Incoming, head_request: bool) -> Self {
        let state = State {
            body: Some(body),
            pumping: false,
            receivers: Vec::new(),
            phase: Phase::Open,
            head_request,
            sent: 0,
            departed: false,
            answer: None,
            waiting: None,
            task: None,
        };
        Self { state: GilCell::new(state), shared: GilCell::new(shared) }
    }

    /// The answer, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Response<AsgiBody>> {
        self.state.with(py, |state| match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    /// Keeps the task alive while the application is suspended.
    pub(super) fn keep_task(&self, py: Python<'_>, task: Bound<'_, PyAny>) {
        self.state.with(py, |state| state.task = Some(task.unbind()));
    }

    /// The application returned (`None`) or raised.
    pub(super) fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let task = self.state.with(py, |state| state.task.take());
        drop(task);
        let (place, unfinished) = self.state.with(py, |state| match &state.phase {
            Phase::Open => ("before it sent a response", true),
            Phase::Headed(_) => ("before it sent a body", true),
            Phase::Streaming { .. } => ("in the middle of its response", true),
            Phase::Complete => ("after its response was complete", false),
            Phase::Gone => ("after the client had gone", false),
        });
        match error {
            Some(error) if !unfinished && is_expected(py, &error) => {}
            Some(error) => {
                crate::logging::application_error(
                    py,
                    &format!("the ASGI application raised {place}"),
                    &error,
                );
            }
            None if unfinished => tracing::error!("the ASGI application returned {place}"),
            _ => {}
        }
        if unfinished {
            self.break_off(py);
        }
        self.end(py, Phase::Complete);
    }

    /// The client got no whole answer: 500 if none was begun, else an aborted connection.
    fn break_off(&self, py: Python<'_>) {
        let (stream, waiting) = self.state.with(py, |state| {
            let stream = match &state.phase {
                Phase::Streaming { stream, .. } => Some(Rc::clone(stream)),
                Phase::Open | Phase::Headed(_) | Phase::Complete | Phase::Gone => {
                    state.answer = Some(internal_error());
                    None
                }
            };
            (stream, state.waiting.take())
        });
        if let Some(stream) = stream {
            stream.fail(py);
        }
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// hyper let go of the answer; before its end that means that the client is gone.
    pub(super) fn answer_dropped(&self, py: Python<'_>, complete: bool) {
        self.end(py, if complete { Phase::Complete } else { Phase::Gone });
    }

    /// Cancels the application's task, whose client is answered otherwise.
    pub(super) fn cancel(&self, py: Python<'_>) {
        self.end(py, Phase::Gone);
        let task = self.state.with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)));
        if let Some(task) = task
            && let Err(error) = task.bind(py).call_method0(intern!(py, "cancel"))
        {
            crate::logging::application_error(py, "a request's task could not be cancelled", &error);
        }
    }

    /// The client sends no more. Who waits in `receive` is told so; what is sent still goes out.
    pub(super) fn client_finished(&self, py: Python<'_>) {
        let (body_done, receivers) = self.state.with(py, |state| {
            state.departed = true;
            let done = state.body.is_none();
            (done, if done { std::mem::take(&mut state.receivers) } else { Vec::new() })
        });
        // What was sent of the body comes first; its end is found by whoever reads it.
        if body_done {
            self.disconnect(py, receivers);
        }
    }

    fn disconnect(&self, py: Python<'_>, receivers: Vec<Py<PyAny>>) {
        if !receivers.is_empty() {
            self.receives_no_more(py);
        }
        for receiver in receivers {
            if let Ok(event) = events::disconnect(py) {
                events::resolve(receiver.bind(py), event);
            }
        }
    }

    /// Tells an application that streams and waits in `receive` that it should end.
    pub(super) fn end_stream(&self, py: Python<'_>) {
        let receivers = self.state.with(py, |state| match state.phase {
            Phase::Streaming { .. } => std::mem::take(&mut state.receivers),
            Phase::Open | Phase::Headed(_) | Phase::Complete | Phase::Gone => Vec::new(),
        });
        self.disconnect(py, receivers);
    }

    fn receives_no_more(&self, py: Python<'_>) {
        let address = std::ptr::from_ref(self) as usize;
        let gone = self.shared.with(py, |shared| shared.waiting.borrow_mut().remove(&address));
        drop(gone);
    }

    /// Nothing more will be sent: tells the application that waits to receive or to send.
    fn end(&self, py: Python<'_>, phase: Phase) {
        let gone = matches!(phase, Phase::Gone);
        let (old, body, receivers) = self.state.with(py, |state| {
            let keep = matches!(state.phase, Phase::Gone | Phase::Complete);
            let old = if keep { None } else { Some(std::mem::replace(&mut state.phase, phase)) };
            // A pump that holds receivers ends when it finds the body gone.
            (old, state.body.take(), std::mem::take(&mut state.receivers))
        });
        drop(body);
        if !receivers.is_empty() {
            self.receives_no_more(py);
        }
        if gone && let Some(Phase::Streaming { stream, .. }) = old {
            for writer in stream.abandon(py) {
                events::reject(writer.bind(py), events::gone());
            }
        }
        for receiver in receivers {
            if let Ok(event) = events::disconnect(py) {
                events::resolve(receiver.bind(py), event);
            }
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.shared.with(py, |shared| shared.event_loop.clone_ref(py));
        event_loop.bind(py).call_method0(intern!(py, "create_future"))
    }

    fn start(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let status = events::required(event, intern!(py, "status"), "http.response.start")?;
        let head = head(&status, event.get_item(intern!(py, "headers"))?)?;
        self.state.with(py, |state| match state.phase {
            Phase::Open => {
                state.phase = Phase::Headed(head);
                Ok(())
            }
            Phase::Gone => Err(events::gone()),
            Phase::Headed(_) | Phase::Streaming { .. } | Phase::Complete => {
                Err(PyRuntimeError::new_err("`http.response.start` was sent a second time"))
            }
        })
    }

    /// Handles `http.response.body`; returns a future if the application should wait before it sends more.
    fn body_event<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let more = match event.get_item(intern!(py, "more_body"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        let piece = match event.get_item(intern!(py, "body"))? {
            Some(body) => bytes_of(&body)?,
            None => Bytes::new(),
        };
        let phase = this.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Open));
        match phase {
            Phase::Headed(head) if !more => this.answer_whole(py, head, piece).map(|()| None),
            Phase::Headed(head) => {
                Self::answer_in_pieces(slf, head);
                this.body_piece(py, piece, true)
            }
            streaming @ Phase::Streaming { .. } => {
                this.state.with(py, |state| state.phase = streaming);
                this.body_piece(py, piece, more)
            }
            other => {
                let error = match other {
                    Phase::Gone => events::gone(),
                    Phase::Open => PyRuntimeError::new_err("a body was sent before `http.response.start`"),
                    Phase::Headed(_) | Phase::Streaming { .. } | Phase::Complete => {
                        PyRuntimeError::new_err("a body was sent after the response was complete")
                    }
                };
                this.state.with(py, |state| state.phase = other);
                Err(error)
            }
        }
    }

    fn answer_whole(&self, py: Python<'_>, head: Head, body: Bytes) -> PyResult<()> {
        let head_request = self.state.with(py, |state| state.head_request);
        let bodiless = head.is_bodiless(head_request);
        if let Some(length) = head.length.filter(|length| !bodiless && *length != body.len() as u64) {
            let error = wrong_length(body.len() as u64, length);
            self.state.with(py, |state| state.phase = Phase::Headed(head));
            return Err(error);
        }
        // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
        let body = if bodiless && head.length.is_some() { None } else { Some(body) };
        self.deliver(py, head, AsgiBody::Whole(body), Phase::Complete);
        self.end(py, Phase::Complete);
        Ok(())
    }

    fn answer_in_pieces(slf: &Bound<'_, Self>, head: Head) {
        let (py, this) = (slf.py(), slf.get());
        let (stream, head_request) = (Stream::new(), this.state.with(py, |state| state.head_request));
        let bodiless = head.is_bodiless(head_request);
        let phase = Phase::Streaming { stream: Rc::clone(&stream), left: head.length, bodiless };
        let body = AsgiBody::Stream(Streaming { stream, cycle: slf.clone().unbind() });
        this.deliver(py, head, body, phase);
    }

    /// Sends a file as the whole body (ASGI extension "Path Send").
    fn send_file(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let path = events::required(event, intern!(py, "path"), "http.response.pathsend")?;
        let (pieces, length) = FilePieces::open(&path.extract::<PathBuf>()?)?;
        let head_request = self.state.with(py, |state| state.head_request);
        let phase = self.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Open));
        let head = match phase {
            Phase::Headed(mut head) if head.length.is_none_or(|announced| announced == length) => {
                // To HEAD, too (RFC 9110 §9.3.2).
                head.headers.insert(header::CONTENT_LENGTH, length.into());
                head
            }
            other => {
                let error = match &other {
                    Phase::Headed(head) => wrong_length(length, head.length.unwrap_or(0)),
                    Phase::Gone => events::gone(),
                    _ => PyRuntimeError::new_err("a file was sent where the body of a response cannot begin"),
                };
                self.state.with(py, |state| state.phase = other);
                return Err(error);
            }
        };
        let body = match head.is_bodiless(head_request) {
            true => AsgiBody::Whole(None),
            false => AsgiBody::File(pieces),
        };
        self.deliver(py, head, body, Phase::Complete);
        self.end(py, Phase::Complete);
        Ok(())
    }

    fn deliver(&self, py: Python<'_>, head: Head, body: AsgiBody, phase: Phase) {
        let mut answer = Response::new(body);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.headers;
        let waiting = self.state.with(py, |state| {
            state.answer = Some(answer);
            state.phase = phase;
            state.waiting.take()
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    fn body_piece<'py>(
        &self,
        py: Python<'py>,
        piece: Bytes,
        more: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let size = piece.len() as u64;
        let (stream, bodiless) = self.state.with(py, |state| match &mut state.phase {
            Phase::Streaming { stream, left, bodiless } => {
                if let Some(left) = left.as_mut().filter(|_| !*bodiless) {
                    let sent = state.sent;
                    let announced = sent + *left;
                    *left = left.checked_sub(size).ok_or_else(|| wrong_length(sent + size, announced))?;
                    if !more && *left > 0 {
                        return Err(wrong_length(sent + size, announced));
                    }
                }
                state.sent += size;
                Ok((Rc::clone(stream), *bodiless))
            }
            Phase::Open | Phase::Headed(_) | Phase::Complete | Phase::Gone => Err(events::gone()),
        })?;
        let full = !bodiless && stream.push(py, piece);
        if !more {
            stream.complete(py);
            self.end(py, Phase::Complete);
            return Ok(None);
        }
        if !full {
            return Ok(None);
        }
        let future = self.future(py)?;
        stream.await_room(py, future.clone().unbind());
        Ok(Some(future))
    }

    /// Reads the request's body for those that wait for it, until nobody does.
    fn poll_pump(&self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(receiver) = self.next_receiver(py) else {
                self.state.with(py, |state| state.pumping = false);
                return Poll::Ready(());
            };
            let polled = self.state.with(py, |state| state.body.is_some().then(|| state.poll_body(cx)));
            match polled {
                Some(Poll::Ready(Piece::Data { bytes, more })) => {
                    self.forget_receiver(py, &receiver);
                    match events::request(py, &bytes, more) {
                        Ok(event) => events::resolve(receiver.bind(py), event),
                        Err(error) => events::reject(receiver.bind(py), error),
                    }
                }
                Some(Poll::Ready(Piece::Gone | Piece::Ended)) => self.end(py, Phase::Gone),
                Some(Poll::Pending) => return Poll::Pending,
                None => {
                    self.state.with(py, |state| state.pumping = false);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The first `receive` that still waits; a piece given to a cancelled one would be lost.
    fn next_receiver(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        loop {
            let first =
                self.state.with(py, |state| state.receivers.first().map(|first| first.clone_ref(py)))?;
            let done = first.bind(py).call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
            if !done.unwrap_or(true) {
                return Some(first);
            }
            self.forget_receiver(py, &first);
        }
    }

    fn forget_receiver(&self, py: Python<'_>, receiver: &Py<PyAny>) {
        let gone: Vec<_> =
            self.state.with(py, |state| state.receivers.extract_if(.., |kept| kept.is(receiver)).collect());
        drop(gone);
        if self.state.with(py, |state| state.receivers.is_empty()) {
            self.receives_no_more(py);
        }
    }
}

impl Cycle {
    /// ASGI's `receive`.
    pub(super) fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let ending = this.shared.with(py, |shared| shared.ending.get());
        let polled = this.state.with(py, |state| match state.phase {
            Phase::Complete | Phase::Gone => Poll::Ready(Piece::Gone),
            Phase::Streaming { .. } if ending => Poll::Ready(Piece::Ended),
            _ if state.body.is_none() && state.departed => Poll::Ready(Piece::Ended),
            _ if state.body.is_none() => Poll::Pending,
            _ => state.poll_body(&mut Context::from_waker(Waker::noop())),
        });
        match polled {
            Poll::Ready(Piece::Data { bytes, more }) => {
                Finished::with(py, events::request(py, &bytes, more)?)
            }
            Poll::Ready(Piece::Gone) => {
                this.end(py, Phase::Gone);
                Finished::with(py, events::disconnect(py)?)
            }
            Poll::Ready(Piece::Ended) => Finished::with(py, events::disconnect(py)?),
            Poll::Pending => {
                let future = this.future(py)?;
                let address = std::ptr::from_ref(this) as usize;
                let before = this
                    .shared
                    .with(py, |shared| shared.waiting.borrow_mut().insert(address, slf.clone().unbind()));
                drop(before);
                let pump = this.state.with(py, |state| {
                    state.receivers.push(future.clone().unbind());
                    state.body.is_some() && !std::mem::replace(&mut state.pumping, true)
                });
                if pump {
                    let cycle = slf.clone().unbind();
                    tokio::task::spawn_local(poll_fn(move |cx| {
                        Python::attach(|py| cycle.get().poll_pump(py, cx))
                    }));
                }
                Ok(future)
            }
        }
    }

    /// ASGI's `send`.
    pub(super) fn send<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let event = event
            .cast::<PyDict>()
            .map_err(|_| PyTypeError::new_err(format!("an ASGI event is a dict, not {event:?}")))?;
        let kind = events::required(event, intern!(py, "type"), "?")?;
        let kind = kind.cast::<PyString>()?;
        let wait = match kind.to_str()? {
            "http.response.start" => slf.get().start(py, event).map(|()| None)?,
            "http.response.body" => Self::body_event(slf, event)?,
            "http.response.pathsend" => slf.get().send_file(py, event).map(|()| None)?,
            other => {
                let text = format!("`{other}` is not an event of an HTTP response");
                return Err(PyRuntimeError::new_err(text));
            }
        };
        match wait {
            Some(future) => Ok(future),
            None => Finished::none(py),
        }
    }
}

#[pymethods]
impl Cycle {
    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) {
        slf.get().application_ended(slf.py(), task_error(task));
    }
}

/// What an application may well raise when its client is gone: the error of `send`, or its cancellation.
fn is_expected(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyOSError>(py)
        || error.is_instance_of::<pyo3::exceptions::asyncio::CancelledError>(py)
}

/// What a finished task raised.
pub(super) fn task_error(task: &Bound<'_, PyAny>) -> Option<PyErr> {
    match task.call_method0(intern!(task.py(), "exception")) {
        Ok(error) if error.is_none() => None,
        Ok(error) => Some(PyErr::from_value(error)),
        // The task was cancelled; `exception()` raises CancelledError.
        Err(error) => Some(error),
    }
}

fn bytes_of(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>()
        && bytes.as_bytes().len() <= COPY_UP_TO
    {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    match body.extract::<PyBackedBytes>() {
        Ok(bytes) => Ok(Bytes::from_owner(bytes)),
        Err(_) => {
            let view = body.py().get_type::<PyBytes>().call1((body,)).ok().filter(|_| is_buffer(body));
            let copy =
                view.ok_or_else(|| PyTypeError::new_err(format!("a body is a byte string, not {body:?}")))?;
            Ok(Bytes::copy_from_slice(copy.cast::<PyBytes>()?.as_bytes()))
        }
    }
}

/// `bytes(5)` is five zero bytes, so numbers and iterables must not get as far as that.
fn is_buffer(object: &Bound<'_, PyAny>) -> bool {
    object.get_type().name().is_ok_and(|name| name == "memoryview" || name == "bytearray")
}

fn wrong_length(sent: u64, announced: u64) -> PyErr {
    let text = format!("the response body has {sent} bytes so far, but Content-Length says {announced}");
    PyRuntimeError::new_err(text)
}

fn internal_error() -> Response<AsgiBody> {
    let text = Bytes::from_static(b"Internal Server Error");
    let mut answer = Response::new(AsgiBody::Whole(Some(text)));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

/// A piece of the request's body, or the news that no more will come.
enum Piece {
    Data {
        bytes: Bytes,
        more: bool,
    },
    Gone,
    /// The worker drains: streams are to end, though the client is there.
    Ended,
}

impl State {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let Some(body) = &mut self.body else { return Poll::Ready(Piece::Gone) };
        loop {
            let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
            let piece = match frame {
                None => Piece::Data { bytes: Bytes::new(), more: false },
                Some(Err(_)) => Piece::Gone,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Piece::Data { bytes, more: !body.is_end_stream() },
                    // Trailers, which ASGI's HTTP events have no place for.
                    Err(_) => continue,
                },
            };
            if !matches!(piece, Piece::Data { more: true, .. }) {
                self.body = None;
            }
            return Poll::Ready(piece);
        }
    }
}
