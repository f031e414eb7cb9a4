//! One request: its state. `receive` and `send`, which the application gets, are in files of their own.
//!
//! ```text
//! Open ──response.start──► Headed ──body, more──► Streaming ──body, last──► Complete
//!                            └──body, last─────────────────────────────────►┘
//! Streaming ──body, last──► Trailing ──trailers──► Complete     (if the start announced trailers)
//! any ──client gone──► Gone            (events sent then raise OSError)
//! ```
//! The application's task and hyper's answer look at the same state; whoever changes it wakes the other.

use super::{Shared, events};
use crate::{
    awaitable::{reject, resolve},
    gil::GilCell,
    response::{Head, Owner, ResponseBody, Slot, Stream, internal_error},
    task::task_error,
};
use hostler_http::{Interim, RequestBody};
use hyper::{HeaderMap, Response};
use pyo3::{intern, prelude::*};
use std::{
    rc::Rc,
    task::{Context, Poll},
};

/// The request as the application holds it: `receive` and `send` are its methods.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct Cycle {
    pub(super) state: GilCell<State>,
    pub(super) shared: GilCell<Rc<Shared>>,
}

pub(super) struct State {
    /// The request's body, until its end was handed out.
    pub(super) body: Option<RequestBody>,
    /// A task of the runtime is waiting for the body on behalf of `receivers`.
    pub(super) pumping: bool,
    /// Futures of `receive` calls that wait.
    pub(super) receivers: Vec<Py<PyAny>>,
    pub(super) phase: Phase,
    /// A response to HEAD has the headers alone.
    pub(super) head_request: bool,
    pub(super) sent: u64,
    /// The client sends no more.
    pub(super) departed: bool,
    pub(super) answer: Slot,
    /// Trailers as far as they came, if the application announced some.
    pub(super) trailers: Option<HeaderMap>,
    /// Where interim answers go; not to clients of HTTP/1.0.
    pub(super) interim: Option<Interim>,
    /// The application's task: asyncio itself keeps only a weak reference.
    task: Option<Py<PyAny>>,
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

impl Cycle {
    pub(super) fn new(
        shared: Rc<Shared>,
        body: RequestBody,
        head_request: bool,
        interim: Option<Interim>,
    ) -> Self {
        let state = State {
            body: Some(body),
            pumping: false,
            receivers: Vec::new(),
            phase: Phase::Open,
            head_request,
            sent: 0,
            departed: false,
            answer: Slot::default(),
            trailers: None,
            interim,
            task: None,
        };
        Self { state: GilCell::new(state), shared: GilCell::new(shared) }
    }

    /// The answer, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Response<ResponseBody>> {
        self.state.with(py, |state| state.answer.poll(cx))
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
            Phase::Trailing { .. } => ("before it sent its trailers", true),
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
                Phase::Streaming { stream, .. } | Phase::Trailing { stream } => Some(Rc::clone(stream)),
                Phase::Open | Phase::Headed(_) | Phase::Complete | Phase::Gone => None,
            };
            let waiting = if stream.is_none() { state.answer.put(internal_error()) } else { None };
            (stream, waiting)
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
                resolve(receiver.bind(py), event);
            }
        }
    }

    /// Tells an application that streams and waits in `receive` that it should end.
    pub(super) fn end_stream(&self, py: Python<'_>) {
        let receivers = self.state.with(py, |state| match state.phase {
            Phase::Streaming { .. } => std::mem::take(&mut state.receivers),
            Phase::Open | Phase::Headed(_) | Phase::Trailing { .. } | Phase::Complete | Phase::Gone => {
                Vec::new()
            }
        });
        self.disconnect(py, receivers);
    }

    pub(super) fn receives_no_more(&self, py: Python<'_>) {
        let address = std::ptr::from_ref(self) as usize;
        let gone = self.shared.with(py, |shared| shared.waiting.borrow_mut().remove(&address));
        drop(gone);
    }

    /// Nothing more will be sent: tells the application that waits to receive or to send.
    pub(super) fn end(&self, py: Python<'_>, phase: Phase) {
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
                reject(writer.bind(py), events::gone());
            }
        }
        for receiver in receivers {
            if let Ok(event) = events::disconnect(py) {
                resolve(receiver.bind(py), event);
            }
        }
    }

    pub(super) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shared = self.shared.with(py, |shared| Rc::clone(shared));
        shared.tasks.future(py)
    }
}

impl Owner for Py<Cycle> {
    fn let_go(&self, py: Python<'_>, complete: bool) {
        self.get().answer_dropped(py, complete);
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
