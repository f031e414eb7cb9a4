//! The trait of a request, with what is the same for every interface.

use super::state::Exchange;
use crate::{
    call::{ApplicationTask, Function, Listen, Method, Notice, Origin},
    logging::{request_error, request_mistake},
    response::{Owner, ResponseResult, Stream, internal_error},
};
use hostler_eventloop::{forked::exit_if_forked, spawn_local, task_error};
use hostler_http::{Aborted, RequestFacts};
use pyo3::{PyClass, prelude::*, pyclass::boolean_struct::True};
use std::{
    ffi::CStr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::sleep;

/// How long an application may go on streaming a response to HEAD after its connection closed. The client has the
/// response, so nothing was lost, but an endless stream would never learn of a disconnect.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// A request or a WebSocket as its application holds it.
pub(crate) trait Call: PyClass<Frozen = True> + Sync {
    /// The application is suspended.
    fn suspended(slf: &Bound<'_, Self>, task: ApplicationTask);

    /// The application returned (`None`) or raised. `origin` is asked for the request if the application was never
    /// suspended.
    fn application_ended(
        slf: &Bound<'_, Self>,
        error: Option<PyErr>,
        origin: impl FnOnce() -> Option<Origin>,
    );
}

/// The callback of a call's task that was suspended.
pub(super) struct TaskDone;

impl Function for TaskDone {
    const NAME: &'static CStr = c"task_done";
    const DOC: &'static CStr = c"Called when the application's task is done.";
    const TAKES_ARGUMENT: bool = true;
}

impl<T: Call> Method<T> for TaskDone {
    fn call<'py>(of: &Bound<'py, T>, task: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(task) = task {
            T::application_ended(of, task_error(task), || None);
        }
        Ok(of.py().None().into_bound(of.py()))
    }
}

/// How far the application has come with its response.
pub(crate) struct Standing {
    /// For the log: when it returned or raised.
    pub(crate) place: &'static str,
    /// Its response is incomplete and will not be completed.
    pub(crate) unfinished: bool,
}

/// An HTTP request as its application holds it.
pub(crate) trait HttpCall: PyClass<Frozen = True> + Sync {
    /// The interface's name, for log lines.
    const INTERFACE: &'static str;

    fn exchange(&self) -> &Exchange;

    /// How far it has come when the application ends; `failed` if it raised.
    fn standing(&self, py: Python<'_>, failed: bool) -> Standing;

    /// The stream of its response, while that is sent.
    fn stream(&self, py: Python<'_>) -> Option<Rc<Stream>>;

    /// Whether no response was begun, and the client is there.
    fn is_open(&self, py: Python<'_>) -> bool;

    /// The client is gone, or its body is incomplete.
    fn client_gone(&self, py: Python<'_>);

    /// The response ends here, in the application's place.
    fn broken_off(&self, py: Python<'_>);

    /// hyper has the whole response, though the application may not have ended it yet.
    fn delivered(&self, py: Python<'_>);

    /// Whether hyper has the whole response, to HEAD, and the application goes on sending.
    fn outlives_head(&self, py: Python<'_>) -> bool;

    /// The client half-closed.
    fn client_half_closed(&self, py: Python<'_>);

    /// The worker drains.
    fn drains(&self, py: Python<'_>);

    /// The connection is closed.
    fn connection_closed(&self, _py: Python<'_>) {}

    /// Whether it is still notified after the application ended.
    fn listens_on(&self, _py: Python<'_>) -> bool {
        false
    }

    /// Whether readers want all of the body, or a piece.
    fn wants_whole_body(&self, _py: Python<'_>) -> bool {
        false
    }

    /// The exception for sending to a client that is gone.
    fn gone(&self, py: Python<'_>) -> PyErr;

    /// Whether an application may raise this after its client is gone, without it being logged.
    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool;

    /// The response, once there is one; otherwise `cx` is woken for it.
    fn poll_response(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<ResponseResult> {
        let polled = self.exchange().poll_response(py, cx);
        if polled.is_ready() && self.stream(py).is_none() {
            self.exchange().outlived(py);
        }
        polled
    }

    /// hyper dropped the response before its end: the client is gone.
    fn response_dropped(&self, py: Python<'_>) {
        self.exchange().clear_response(py);
        self.client_gone(py);
        self.exchange().outlived(py);
    }

    /// Cancels the application's task; the server responds in its place.
    fn cancel(&self, py: Python<'_>) {
        self.client_gone(py);
        self.exchange().cancel_task(py);
    }

    /// The request's body is incomplete: the client disconnected, or its framing is malformed. There is no client to
    /// respond to; `hostler_http` closes the connection.
    fn body_cut(&self, py: Python<'_>) {
        match self.stream(py) {
            Some(stream) => stream.fail(py),
            None if self.is_open(py) => self.exchange().put(py, Err(Aborted)),
            None => {}
        }
        self.client_gone(py);
    }

    /// The application returned (`None`) or raised.
    fn ended(&self, py: Python<'_>, error: Option<PyErr>, origin: impl FnOnce() -> Option<Origin>) {
        // A process that the application forked ends with the error, whichever turn called the application.
        let error = error.and_then(|error| exit_if_forked::<()>(py, Err(error)).err());
        let task = self.exchange().task_ended(py);
        if !self.listens_on(py) {
            self.exchange().stop_listening(py);
        }
        let Standing { place, unfinished } = self.standing(py, error.is_some());
        match &error {
            Some(error) if !unfinished && self.is_departure(py, error) => {}
            Some(error) => {
                let what = format!("the {} application raised {place}", Self::INTERFACE);
                request_error(py, &what, error, &facts(task, origin));
            }
            None if unfinished => {
                let what = format!("the {} application returned {place}", Self::INTERFACE);
                request_mistake(py, &what, &facts(task, origin));
            }
            None => drop(task),
        }
        if unfinished {
            // 500 if no response was begun, else an aborted connection.
            match self.stream(py) {
                Some(stream) => stream.fail(py),
                None => self.exchange().put(py, Ok(internal_error())),
            }
            self.broken_off(py);
        }
        // It keeps the application's frames until here: an RSGI transport that they hold would complete its stream.
        drop(error);
    }
}

/// What the log says of a request whose application ended.
fn facts(task: Option<Box<ApplicationTask>>, origin: impl FnOnce() -> Option<Origin>) -> RequestFacts {
    task.map(|task| task.into_origin()).or_else(origin).map(|origin| origin.facts()).unwrap_or_default()
}

impl<T: HttpCall> Listen for T {
    fn notified(slf: &Bound<'_, Self>, notice: Notice) {
        let (py, call) = (slf.py(), slf.get());
        match notice {
            Notice::ClientHalfClosed => call.client_half_closed(py),
            Notice::Draining => call.drains(py),
            Notice::ConnectionClosed => {
                call.connection_closed(py);
                if call.outlives_head(py) {
                    end_later(slf.clone().unbind());
                }
                if !call.exchange().is_suspended(py) {
                    call.exchange().stop_listening(py);
                }
            }
        }
    }
}

/// Ends an endless response to HEAD.
fn end_later<T: HttpCall>(call: Py<T>) {
    spawn_local(async move {
        sleep(HEAD_LIMIT).await;
        Python::attach(|py| {
            if call.get().outlives_head(py) {
                call.get().client_gone(py);
            }
        });
    });
}

impl<T: HttpCall> Owner for Py<T> {
    fn on_body_dropped(&self, py: Python<'_>, delivered: bool) {
        let call = self.get();
        if !delivered {
            return call.response_dropped(py);
        }
        call.delivered(py);
        call.exchange().outlived(py);
    }

    fn gone(&self, py: Python<'_>) -> PyErr {
        self.get().gone(py)
    }
}
