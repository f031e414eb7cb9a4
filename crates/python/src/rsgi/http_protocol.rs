//! A request's state. What the application calls of it is in `methods`.
//!
//! ```text
//! Open ──response_*──► Complete        (further responses are ignored and logged)
//!   └──response_stream──► Streaming ──hyper has all──► Delivered
//! any ──client gone, body cut──► Gone
//! ```

use super::{connection::Connection, scope::Scope};
use crate::{
    call::{ApplicationTask, Origin},
    exchange::{Call, Exchange, HttpCall, Standing},
    response::{ResponseBody, Stream},
};
use hostler_eventloop::{GilCell, resolve};
use hostler_http::{Began, RequestBody, RequestFacts};
use hyper::Response;
use pyo3::{intern, prelude::*};
use std::rc::Rc;

/// `protocol` of a request.
#[pyclass(frozen, name = "HTTPProtocol", module = "hostler.rsgi")]
pub(crate) struct HttpProtocol {
    pub(super) exchange: Exchange,
    state: GilCell<State>,
    connection: GilCell<Rc<Connection>>,
    /// For the log, as when it began.
    scope: Py<Scope>,
    began: Began,
    /// A response to HEAD has the headers alone.
    pub(super) head_request: bool,
}

struct State {
    phase: Phase,
    mode: ReadMode,
    /// Futures of `client_disconnect()`.
    watchers: Vec<Py<PyAny>>,
}

pub(super) enum Phase {
    Open,
    Streaming(Rc<Stream>),
    /// hyper has all of the stream, though it may not have ended yet.
    Delivered,
    Complete,
    Gone,
}

/// How the application reads the body. One that was cancelled can go on, in the same way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadMode {
    Untouched,
    /// All of it was asked for.
    Whole,
    /// It is iterated over.
    Pieces,
    /// All of it was asked for, and given out.
    Taken,
}

impl HttpProtocol {
    pub(super) fn new(
        connection: Rc<Connection>,
        body: RequestBody,
        (scope, began, head_request): (Py<Scope>, Began, bool),
    ) -> Self {
        let state = State { phase: Phase::Open, mode: ReadMode::Untouched, watchers: Vec::new() };
        Self {
            exchange: Exchange::new(body),
            state: GilCell::new(state),
            connection: GilCell::new(connection),
            scope,
            began,
            head_request,
        }
    }

    pub(super) fn connection(&self, py: Python<'_>) -> Rc<Connection> {
        self.connection.with(py, |connection| Rc::clone(connection))
    }

    /// What the log says of the request.
    pub(super) fn facts(&self, py: Python<'_>) -> RequestFacts {
        self.scope.get().facts(py, self.began)
    }

    pub(super) fn is_streaming(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Streaming(_)))
    }

    /// Whether what the application sends is taken.
    pub(super) fn takes_pieces(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Streaming(_) | Phase::Delivered))
    }

    /// Whether the client is gone.
    pub(super) fn is_gone(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Gone))
    }

    pub(super) fn is_suspended(&self, py: Python<'_>) -> bool {
        self.exchange.is_suspended(py)
    }

    pub(super) fn mode(&self, py: Python<'_>) -> ReadMode {
        self.state.with(py, |state| state.mode)
    }

    pub(super) fn set_mode(&self, py: Python<'_>, mode: ReadMode) {
        self.state.with(py, |state| state.mode = mode);
    }

    /// The exception for a second reader.
    pub(super) fn read_already(&self, py: Python<'_>) -> PyErr {
        self.connection(py).shared.errors.wrong(py, "the request's body was read already")
    }

    /// The exception for reading when there is nothing to be read any more.
    pub(super) fn unreadable(&self, py: Python<'_>) -> PyErr {
        let connection = self.connection(py);
        let errors = &connection.shared.errors;
        match self.is_gone(py) {
            true => errors.gone(py),
            false => errors.wrong(py, "the response is complete: the request's body cannot be read any more"),
        }
    }

    pub(super) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.connection(py).shared.application.tasks.future(py)
    }

    /// Gives hyper the response.
    pub(super) fn respond(&self, py: Python<'_>, response: Response<ResponseBody>, phase: Phase) {
        let complete = matches!(phase, Phase::Complete);
        self.state.with(py, |state| state.phase = phase);
        self.exchange.put(py, Ok(response));
        if complete {
            self.exchange.close_body(py);
        }
    }

    /// Whether a response is still wanted. The first one counts, as in Granian; a second is logged.
    pub(super) fn may_respond(&self, py: Python<'_>) -> bool {
        let (open, mistake) = self.state.with(py, |state| match state.phase {
            Phase::Open => (true, false),
            Phase::Gone => (false, false),
            Phase::Streaming(_) | Phase::Delivered | Phase::Complete => (false, true),
        });
        if mistake {
            let RequestFacts { method, path, client, request_id, worker, pid } = self.facts(py);
            tracing::warn!(
                method,
                path,
                client,
                request_id,
                worker,
                pid,
                "the RSGI application sent a second response to a request: it is ignored"
            );
        }
        open
    }

    /// Has the request notified from now on.
    pub(super) fn listen(slf: &Bound<'_, Self>) {
        let (py, this) = (slf.py(), slf.get());
        if !this.exchange.listens(py) {
            let connection = this.connection(py);
            let worker = connection.shared.application.requests.add(slf);
            this.exchange.listen(py, [connection.requests.add(slf), worker]);
        }
    }

    /// Whether the worker drains and the stream is to end: not while the request's body still arrives.
    pub(super) fn ends(&self, py: Python<'_>) -> bool {
        let Some(stream) = self.stream(py) else { return false };
        let ends = self.connection.with(py, |connection| connection.shared.application.ends(&stream));
        ends && self.exchange.with_body(py, |body| body.has_arrived())
    }

    /// Has a future finished when the client has disconnected.
    pub(super) fn watch(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) {
        let (py, this) = (slf.py(), slf.get());
        this.forget_done_watchers(py);
        this.state.with(py, |state| state.watchers.push(future.clone().unbind()));
        Self::listen(slf);
    }

    /// Drops futures that are done; whether others remain.
    fn forget_done_watchers(&self, py: Python<'_>) -> bool {
        let all = self.state.with(py, |state| std::mem::take(&mut state.watchers));
        let (done, mut kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|future| is_done(future.bind(py)));
        drop(done);
        self.state.with(py, |state| {
            state.watchers.append(&mut kept);
            !state.watchers.is_empty()
        })
    }

    fn finish_watchers(&self, py: Python<'_>) {
        for future in self.state.with(py, |state| std::mem::take(&mut state.watchers)) {
            resolve(future.bind(py), py.None().into_bound(py));
        }
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> bool {
    let done = future.call_method0(intern!(future.py(), "done"));
    done.and_then(|done| done.is_truthy()).unwrap_or(true)
}

impl Call for HttpProtocol {
    fn suspended(slf: &Bound<'_, Self>, task: ApplicationTask) {
        slf.get().exchange.suspended(slf.py(), task);
    }

    fn application_ended(
        slf: &Bound<'_, Self>,
        error: Option<PyErr>,
        origin: impl FnOnce() -> Option<Origin>,
    ) {
        slf.get().ended(slf.py(), error, origin);
    }
}

impl HttpCall for HttpProtocol {
    const INTERFACE: &'static str = "RSGI";

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    fn standing(&self, py: Python<'_>, failed: bool) -> Standing {
        self.state.with(py, |state| {
            let (place, unfinished) = match &state.phase {
                Phase::Open => ("before it sent a response", true),
                // A stream ends with its transport, which may outlive the application.
                Phase::Streaming(_) => ("in the middle of its response", failed),
                Phase::Delivered | Phase::Complete => ("after its response was complete", false),
                Phase::Gone => ("after the client had gone", false),
            };
            Standing { place, unfinished }
        })
    }

    fn stream(&self, py: Python<'_>) -> Option<Rc<Stream>> {
        self.state.with(py, |state| match &state.phase {
            Phase::Streaming(stream) => Some(Rc::clone(stream)),
            Phase::Open | Phase::Delivered | Phase::Complete | Phase::Gone => None,
        })
    }

    fn is_open(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Open))
    }

    fn client_gone(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Gone));
        drop(before);
        self.exchange.close_body(py);
    }

    fn broken_off(&self, py: Python<'_>) {
        if self.is_open(py) {
            self.state.with(py, |state| state.phase = Phase::Complete);
            self.exchange.close_body(py);
        }
    }

    fn delivered(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| match state.phase {
            Phase::Streaming(_) => Some(std::mem::replace(&mut state.phase, Phase::Delivered)),
            Phase::Open | Phase::Delivered | Phase::Complete | Phase::Gone => None,
        });
        drop(before);
        self.exchange.close_body(py);
    }

    fn outlives_head(&self, py: Python<'_>) -> bool {
        self.head_request
            && self.state.with(py, |state| matches!(state.phase, Phase::Delivered))
            && self.exchange.is_suspended(py)
    }

    fn client_half_closed(&self, py: Python<'_>) {
        self.finish_watchers(py);
    }

    fn drains(&self, py: Python<'_>) {
        if self.ends(py) {
            self.finish_watchers(py);
        }
    }

    fn connection_closed(&self, py: Python<'_>) {
        self.finish_watchers(py);
    }

    fn listens_on(&self, py: Python<'_>) -> bool {
        self.forget_done_watchers(py)
    }

    fn wants_whole_body(&self, py: Python<'_>) -> bool {
        self.mode(py) == ReadMode::Whole
    }

    fn gone(&self, py: Python<'_>) -> PyErr {
        self.connection(py).shared.errors.gone(py)
    }

    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        self.connection(py).shared.errors.is_departure(py, error)
    }
}
