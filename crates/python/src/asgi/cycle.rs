//! One request: its state. `receive` and `send`, which the application gets, are in files of their own.
//!
//! ```text
//! Open ──response.start──► Headed ──body, more──► Streaming ──body, last──► Complete
//!                            └──body, last─────────────────────────────────►┘
//! Streaming ──body, last──► Trailing ──trailers──► Complete     (if the start announced trailers)
//! any ──client gone, body cut──► Gone            (events sent then raise OSError)
//! ```
//! The application's task and hyper's answer look at the same state; whoever changes it wakes the other. hyper may have
//! all of an answer before the application has said all: it lets go of a body at its Content-Length, and has no use for
//! one to HEAD. That is a delivery, not the end of the client, and what the application still sends is taken.

use super::{Shared, events};
use crate::{
    gil::GilCell,
    intake::Intake,
    line::Line,
    response::{Answered, Head, Owner, ResponseBody, Slot, Stream, internal_error},
    running::{Purpose, Running, cancel},
    task::task_error,
};
use hostler_http::{Aborted, Interim, RequestBody};
use hyper::{HeaderMap, Response};
use pyo3::prelude::*;
use std::{
    rc::Rc,
    task::{Context, Poll},
};

/// The request as the application holds it: `receive` and `send` are its methods.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct Cycle {
    pub(super) state: GilCell<State>,
    /// `receive` calls that wait.
    pub(super) receivers: Line,
    pub(super) shared: GilCell<Rc<Shared>>,
}

pub(super) struct State {
    /// The request's body.
    pub(super) intake: Intake,
    pub(super) phase: Phase,
    /// A response to HEAD has the headers alone.
    pub(super) head_request: bool,
    pub(super) sent: u64,
    /// The client sends no more.
    pub(super) departed: bool,
    /// hyper has the whole answer, and has let go of it.
    delivered: bool,
    pub(super) answer: Slot,
    /// Trailers as far as they came, if the application announced some.
    pub(super) trailers: Option<HeaderMap>,
    /// Where interim answers go; not to clients of HTTP/1.0.
    pub(super) interim: Option<Interim>,
    /// The application, if it is suspended.
    running: Option<Running>,
}

pub(super) enum Phase {
    Open,
    Headed(Head),
    Streaming {
        stream: Rc<Stream>,
        left: Option<u64>,
        bodiless: bool,
    },
    /// The body is sent, and trailers are to follow.
    Trailing {
        stream: Rc<Stream>,
    },
    Complete,
    Gone,
}

impl Phase {
    /// Nothing more is sent.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Complete | Self::Gone)
    }
}

impl Cycle {
    pub(super) fn new(
        shared: Rc<Shared>,
        body: RequestBody,
        head_request: bool,
        interim: Option<Interim>,
    ) -> Self {
        let state = State {
            intake: Intake::new(body),
            phase: Phase::Open,
            head_request,
            sent: 0,
            departed: false,
            delivered: false,
            answer: Slot::default(),
            trailers: None,
            interim,
            running: None,
        };
        Self { state: GilCell::new(state), receivers: Line::default(), shared: GilCell::new(shared) }
    }

    /// The answer, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Answered> {
        let (polled, over) = self.state.with(py, |state| (state.answer.poll(cx), state.phase.is_over()));
        if polled.is_ready() && over {
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

    /// The application returned (`None`) or raised.
    pub(super) fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let running = self.state.with(py, |state| state.running.take());
        drop(running);
        let (place, unfinished) = self.state.with(py, |state| match &state.phase {
            Phase::Open => ("before it sent a response", true),
            Phase::Headed(_) => ("before it sent a body", true),
            Phase::Streaming { .. } => ("in the middle of its response", true),
            Phase::Trailing { .. } => ("before it sent its trailers", true),
            Phase::Complete => ("after its response was complete", false),
            Phase::Gone => ("after the client had gone", false),
        });
        match error {
            Some(error) if !unfinished && events::is_departure(py, &error) => {}
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
            self.end(py, Phase::Complete);
        }
    }

    /// The client got no whole answer: 500 if none was begun, else an aborted connection.
    fn break_off(&self, py: Python<'_>) {
        match self.stream(py) {
            Some(stream) => stream.fail(py),
            None => self.put(py, Ok(internal_error())),
        }
    }

    /// The body of the answer, while it is sent.
    fn stream(&self, py: Python<'_>) -> Option<Rc<Stream>> {
        self.state.with(py, |state| match &state.phase {
            Phase::Streaming { stream, .. } | Phase::Trailing { stream } => Some(Rc::clone(stream)),
            Phase::Open | Phase::Headed(_) | Phase::Complete | Phase::Gone => None,
        })
    }

    fn put(&self, py: Python<'_>, answer: Answered) {
        if let Some(waiting) = self.state.with(py, |state| state.answer.put(answer)) {
            waiting.wake();
        }
    }

    /// Gives hyper the answer.
    pub(super) fn deliver(&self, py: Python<'_>, answer: Response<ResponseBody>, phase: Phase) {
        self.state.with(py, |state| state.phase = phase);
        self.put(py, Ok(answer));
    }

    /// hyper let go of the answer before its end: the client is gone.
    pub(super) fn answer_dropped(&self, py: Python<'_>) {
        let unsent = self.state.with(py, |state| state.answer.clear());
        drop(unsent);
        self.end(py, Phase::Gone);
        self.goes_on(py);
    }

    /// The request's body was cut: its client left in the middle of it, or broke the rules. There is nobody to answer
    /// as the application would; what becomes of the connection is the server's affair.
    pub(super) fn body_cut(&self, py: Python<'_>) {
        let over = self.state.with(py, |state| state.phase.is_over());
        match self.stream(py) {
            Some(stream) => stream.fail(py),
            None if !over => self.put(py, Err(Aborted)),
            None => {}
        }
        self.end(py, Phase::Gone);
    }

    /// Cancels the application's task, whose client is answered otherwise.
    pub(super) fn cancel(&self, py: Python<'_>) {
        self.end(py, Phase::Gone);
        let task = self.state.with(py, |state| state.running.as_ref().map(|running| running.task(py)));
        if let Some(task) = task {
            cancel(task.bind(py));
        }
    }

    /// The client sends no more. Who waits in `receive` is told so; what is sent still goes out.
    pub(super) fn client_finished(&self, py: Python<'_>) {
        self.state.with(py, |state| state.departed = true);
        // What was sent of the body comes first; its end is found by whoever reads it.
        self.receivers.wake_first(py);
    }

    /// The connection ended a while ago, and a delivered answer to HEAD still has no end.
    pub(super) fn connection_ended(&self, py: Python<'_>) {
        if self.outlives_answer(py) {
            self.end(py, Phase::Gone);
        }
    }

    /// Whether hyper has the whole answer, to HEAD, and the application has not said all of it.
    pub(super) fn outlives_answer(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| {
            state.delivered && matches!(state.phase, Phase::Streaming { bodiless: true, .. })
        })
    }

    /// Tells an application that streams and waits in `receive` that it should end.
    pub(super) fn end_stream(&self, py: Python<'_>) {
        if self.state.with(py, |state| matches!(state.phase, Phase::Streaming { .. })) {
            self.receivers.wake_first(py);
        }
    }

    pub(super) fn receives_no_more(&self, py: Python<'_>) {
        let address = std::ptr::from_ref(self) as usize;
        let gone = self.shared.with(py, |shared| shared.waiting.borrow_mut().remove(&address));
        drop(gone);
    }

    /// Nothing more will be sent: tells those that wait to receive.
    pub(super) fn end(&self, py: Python<'_>, phase: Phase) {
        let (old, (leftovers, pump)) = self.state.with(py, |state| {
            let old =
                if state.phase.is_over() { None } else { Some(std::mem::replace(&mut state.phase, phase)) };
            (old, state.intake.close())
        });
        drop((old, leftovers));
        if let Some(pump) = pump {
            pump.wake();
        }
        // Each wakes the next one when it goes.
        self.receivers.wake_first(py);
    }

    pub(super) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shared = self.shared.with(py, |shared| Rc::clone(shared));
        shared.tasks.future(py)
    }
}

impl Owner for Py<Cycle> {
    fn let_go(&self, py: Python<'_>, delivered: bool) {
        let cycle = self.get();
        if !delivered {
            return cycle.answer_dropped(py);
        }
        cycle.state.with(py, |state| state.delivered = true);
        cycle.goes_on(py);
    }

    fn gone(&self, _py: Python<'_>) -> PyErr {
        events::gone()
    }
}

#[pymethods]
impl Cycle {
    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) {
        slf.get().application_ended(slf.py(), task_error(task));
    }
}
