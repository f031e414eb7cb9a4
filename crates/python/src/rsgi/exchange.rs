//! A request as the application holds it: its protocol object, whose methods are in `protocol.rs`.
//!
//! ```text
//! Open ──response_*──► Answered        (further answers are ignored, and logged)
//!   └──response_stream──► Streaming ──hyper has all──► Delivered
//! any ──client gone, body cut──► Gone
//! ```

use super::{connection::Connection, request_body::Mode};
use crate::{
    gil::GilCell,
    intake::Intake,
    line::Line,
    logging::application_error,
    response::{Answered, Owner, ResponseBody, Slot, Stream, internal_error},
    running::{Purpose, Running, cancel},
};
use hostler_http::{Aborted, RequestBody};
use hyper::Response;
use pyo3::prelude::*;
use std::{
    rc::Rc,
    task::{Context, Poll},
};

/// `protocol` of a request.
#[pyclass(frozen, name = "HTTPProtocol", module = "hostler.rsgi")]
pub(crate) struct Exchange {
    state: GilCell<State>,
    /// Those who wait for the body, or for a piece of it.
    pub(super) readers: Line,
    connection: GilCell<Rc<Connection>>,
}

struct State {
    phase: Phase,
    /// The request's body, and how it is read.
    intake: Intake,
    mode: Mode,
    answer: Slot,
    /// A response to HEAD has the headers alone.
    head_request: bool,
    /// The application, if it is suspended.
    running: Option<Running>,
}

pub(super) enum Phase {
    Open,
    Streaming(Rc<Stream>),
    /// hyper has all of the stream, though it may not have ended yet.
    Delivered,
    Answered,
    Gone,
}

impl Exchange {
    pub(super) fn new(connection: Rc<Connection>, body: RequestBody, head_request: bool) -> Self {
        let state = State {
            phase: Phase::Open,
            intake: Intake::new(body),
            mode: Mode::Untouched,
            answer: Slot::default(),
            head_request,
            running: None,
        };
        let connection = GilCell::new(connection);
        Self { state: GilCell::new(state), readers: Line::default(), connection }
    }

    /// The answer, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Answered> {
        let polled = self.state.with(py, |state| state.answer.poll(cx));
        if polled.is_ready() && !self.is_streaming(py) {
            self.goes_on(py);
        }
        polled
    }

    /// The application is suspended.
    pub(super) fn runs(&self, py: Python<'_>, task: Bound<'_, PyAny>, request: Purpose) {
        self.state.with(py, |state| state.running = Some(Running::new(task, request)));
    }

    /// The client has its answer or is gone: if the application goes on, that is work in flight.
    fn goes_on(&self, py: Python<'_>) {
        let Some(mut running) = self.state.with(py, |state| state.running.take()) else { return };
        running.goes_on(py);
        self.state.with(py, |state| state.running = Some(running));
    }

    pub(super) fn connection(&self, py: Python<'_>) -> Rc<Connection> {
        self.connection.with(py, |connection| Rc::clone(connection))
    }

    pub(super) fn is_streaming(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Streaming(_)))
    }

    /// Whether what the application sends is taken.
    pub(super) fn takes_pieces(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Streaming(_) | Phase::Delivered))
    }

    /// Whether the application goes on with an answer that was delivered.
    pub(super) fn outlives_answer(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Delivered) && state.running.is_some())
    }

    /// The application returned (`None`) or raised.
    pub(super) fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let running = self.state.with(py, |state| state.running.take());
        drop(running);
        let (place, stream) = self.state.with(py, |state| match &state.phase {
            Phase::Open => ("before it sent a response", None),
            Phase::Streaming(stream) => ("in the middle of its response", Some(Rc::clone(stream))),
            Phase::Delivered | Phase::Answered => ("after its response was complete", None),
            Phase::Gone => ("after the client had gone", None),
        });
        if let Some(error) = &error
            && !self.is_expected(py, error)
        {
            application_error(py, &format!("the RSGI application raised {place}"), error);
        }
        let failed = error.is_some();
        if let Some(stream) = stream.filter(|_| failed) {
            stream.fail(py);
        }
        if self.state.with(py, |state| matches!(state.phase, Phase::Open)) {
            if !failed {
                tracing::error!("the RSGI application returned {place}");
            }
            self.put(py, internal_error(), Phase::Answered);
        }
    }

    /// What an application may well raise when nobody waits for it any more.
    fn is_expected(&self, py: Python<'_>, error: &PyErr) -> bool {
        let over = self.state.with(py, |state| !matches!(state.phase, Phase::Open | Phase::Streaming(_)));
        over && self.connection(py).shared.errors.is_departure(py, error)
    }

    /// The client is gone, or what it sent is cut.
    pub(super) fn client_gone(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Gone));
        drop(before);
        self.close_intake(py);
    }

    /// The connection ended a while ago, and a delivered answer to HEAD still has no end.
    pub(super) fn connection_ended(&self, py: Python<'_>) {
        if self.outlives_answer(py) {
            self.client_gone(py);
        }
    }

    /// hyper let go of the answer before its end: the client is gone.
    pub(super) fn answer_dropped(&self, py: Python<'_>) {
        let unsent = self.state.with(py, |state| state.answer.clear());
        drop(unsent);
        self.client_gone(py);
        self.goes_on(py);
    }

    /// The request's body was cut: its client left in the middle of it, or broke the rules. There is nobody to answer
    /// as the application would; what becomes of the connection is the server's affair.
    pub(super) fn body_cut(&self, py: Python<'_>) {
        let (open, stream) = self.state.with(py, |state| match &state.phase {
            Phase::Open => (true, None),
            Phase::Streaming(stream) => (false, Some(Rc::clone(stream))),
            Phase::Delivered | Phase::Answered | Phase::Gone => (false, None),
        });
        if let Some(stream) = stream {
            stream.fail(py);
        }
        if open && let Some(waiting) = self.state.with(py, |state| state.answer.put(Err(Aborted))) {
            waiting.wake();
        }
        self.client_gone(py);
    }

    /// Nobody reads any more: what holds the body holds up the connection.
    fn close_intake(&self, py: Python<'_>) {
        let (leftovers, pump) = self.state.with(py, |state| state.intake.close());
        drop(leftovers);
        if let Some(pump) = pump {
            pump.wake();
        }
        // Each wakes the next one when it goes.
        self.readers.wake_first(py);
    }

    pub(super) fn with_intake<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Intake) -> R) -> R {
        self.state.with(py, |state| work(&mut state.intake))
    }

    pub(super) fn mode(&self, py: Python<'_>) -> Mode {
        self.state.with(py, |state| state.mode)
    }

    pub(super) fn set_mode(&self, py: Python<'_>, mode: Mode) {
        self.state.with(py, |state| state.mode = mode);
    }

    /// The error for who reads what was read.
    pub(super) fn read_already(&self, py: Python<'_>) -> PyErr {
        self.connection(py).shared.errors.wrong(py, "the request's body was read already")
    }

    /// The error for who reads when there is nothing to be read any more.
    pub(super) fn unreadable(&self, py: Python<'_>) -> PyErr {
        let connection = self.connection(py);
        match self.is_gone(py) {
            true => connection.shared.errors.gone(py),
            false => connection
                .shared
                .errors
                .wrong(py, "the request is answered: its body cannot be read any more"),
        }
    }

    /// Cancels the application's task, whose client is answered otherwise.
    pub(super) fn cancel(&self, py: Python<'_>) {
        self.client_gone(py);
        let task = self.state.with(py, |state| state.running.as_ref().map(|running| running.task(py)));
        if let Some(task) = task {
            cancel(task.bind(py));
        }
    }

    pub(super) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.connection(py).shared.tasks.future(py)
    }

    pub(super) fn put(&self, py: Python<'_>, answer: Response<ResponseBody>, phase: Phase) {
        let answered = matches!(phase, Phase::Answered);
        let waiting = self.state.with(py, |state| {
            state.phase = phase;
            state.answer.put(Ok(answer))
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        if answered {
            self.close_intake(py);
        }
    }

    /// Whether an answer is still wanted. The first one counts, as in Granian; a second is a mistake to know about.
    pub(super) fn is_open(&self, py: Python<'_>) -> bool {
        let (open, mistake) = self.state.with(py, |state| match state.phase {
            Phase::Open => (true, false),
            Phase::Gone => (false, false),
            Phase::Streaming(_) | Phase::Delivered | Phase::Answered => (false, true),
        });
        if mistake {
            tracing::warn!("the RSGI application answered a request twice: the second answer is ignored");
        }
        open
    }

    /// Whether nothing was answered yet.
    pub(super) fn is_unanswered(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Open))
    }

    /// Whether the client is gone.
    pub(super) fn is_gone(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Gone))
    }

    pub(super) fn head_request(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.head_request)
    }
}

impl Owner for Py<Exchange> {
    fn let_go(&self, py: Python<'_>, delivered: bool) {
        let exchange = self.get();
        if !delivered {
            return exchange.answer_dropped(py);
        }
        let before = exchange.state.with(py, |state| match state.phase {
            Phase::Streaming(_) => Some(std::mem::replace(&mut state.phase, Phase::Delivered)),
            Phase::Open | Phase::Delivered | Phase::Answered | Phase::Gone => None,
        });
        drop(before);
        exchange.close_intake(py);
        exchange.goes_on(py);
        if exchange.head_request(py) {
            exchange.connection(py).end_with_it(py, self.clone_ref(py));
        }
    }

    fn gone(&self, py: Python<'_>) -> PyErr {
        self.get().connection(py).shared.errors.gone(py)
    }
}
