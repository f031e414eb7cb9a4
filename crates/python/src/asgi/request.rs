//! One request: its state. `receive` and `send`, which the application gets, are in files of their own.
//!
//! The application's task and hyper's future share the state; the one that changes it wakes the other. hyper may have
//! all of a response before the application has sent its last event: it drops a body at its Content-Length, and ignores
//! the body of a response to HEAD. That is a delivery, not a disconnect, and what the application still sends is
//! accepted.

use super::{
    events,
    phase::{Effect, Event, Phase},
    shared::Shared,
};
use crate::{
    call::{ApplicationTask, Listeners, Origin},
    exchange::{Call, Exchange, HttpCall, Standing},
    response::Stream,
};
use hostler_eventloop::GilCell;
use hostler_http::{Interim, RequestBody};
use pyo3::prelude::*;
use std::rc::Rc;

/// The request as the application holds it: `receive` and `send` are bound to it.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct HttpRequest {
    pub(super) exchange: Exchange,
    state: GilCell<State>,
    shared: GilCell<Rc<Shared>>,
    /// Where interim responses go; not to clients of HTTP/1.0.
    interim: GilCell<Option<Interim>>,
    /// A response to HEAD has the headers alone.
    head_request: bool,
}

struct State {
    phase: Phase,
    /// The client sends no more.
    half_closed: bool,
}

/// What `receive` gives.
pub(super) enum Receivable {
    /// The request's body, as far as it was not received yet.
    Body,
    /// The client is gone, the response is complete, or the worker drains and the stream is to end.
    Disconnect,
}

impl HttpRequest {
    pub(super) fn new(
        shared: Rc<Shared>,
        body: RequestBody,
        head_request: bool,
        interim: Option<Interim>,
    ) -> Self {
        Self {
            exchange: Exchange::new(body),
            state: GilCell::new(State { phase: Phase::Open, half_closed: false }),
            shared: GilCell::new(shared),
            interim: GilCell::new(interim),
            head_request,
        }
    }

    pub(super) fn shared(&self, py: Python<'_>) -> Rc<Shared> {
        self.shared.with(py, |shared| Rc::clone(shared))
    }

    pub(super) fn interim(&self, py: Python<'_>) -> Option<Interim> {
        self.interim.with(py, |interim| interim.clone())
    }

    /// Has a suspended request notified from now on.
    pub(super) fn listen(&self, request: &Bound<'_, Self>, connection: &Listeners) {
        let py = request.py();
        if self.exchange.is_suspended(py) {
            let worker = self.shared.with(py, |shared| shared.application.requests.add(request));
            self.exchange.listen(py, [connection.add(request), worker]);
        }
    }

    pub(super) fn receivable(&self, py: Python<'_>) -> Receivable {
        let ends = self.ends(py);
        // What arrives of the body comes first.
        let (over, finished) =
            self.state.with(py, |state| (state.phase.is_over(), state.half_closed || ends));
        match over || (finished && self.exchange.with_body(py, |body| body.is_over())) {
            true => Receivable::Disconnect,
            false => Receivable::Body,
        }
    }

    /// Whether the worker drains and the stream is to end.
    fn ends(&self, py: Python<'_>) -> bool {
        let ends = |stream: &Stream| self.shared.with(py, |shared| shared.application.ends(stream));
        self.state.with(py, |state| state.phase.streaming().is_some_and(ends))
    }

    /// Takes an event of the application; the caller performs its effect.
    pub(super) fn step(&self, py: Python<'_>, event: Event) -> Effect {
        self.state.with(py, |state| state.phase.step(event, self.head_request))
    }

    /// Nothing more is sent: wakes `receive` calls that wait.
    fn end(&self, py: Python<'_>, phase: Phase) {
        let old = self.state.with(py, |state| {
            if state.phase.is_over() { None } else { Some(std::mem::replace(&mut state.phase, phase)) }
        });
        drop(old);
        self.exchange.close_body(py);
    }
}

impl Call for HttpRequest {
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

impl HttpCall for HttpRequest {
    const INTERFACE: &'static str = "ASGI";

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    fn standing(&self, py: Python<'_>, _failed: bool) -> Standing {
        self.state.with(py, |state| {
            let (place, unfinished) = match &state.phase {
                Phase::Open => ("before it sent a response", true),
                Phase::Headed { .. } => ("before it sent a body", true),
                Phase::Streaming { .. } => ("in the middle of its response", true),
                Phase::Trailing { .. } => ("before it sent its trailers", true),
                Phase::Complete => ("after its response was complete", false),
                Phase::Gone => ("after the client had gone", false),
            };
            Standing { place, unfinished }
        })
    }

    fn stream(&self, py: Python<'_>) -> Option<Rc<Stream>> {
        self.state.with(py, |state| state.phase.stream())
    }

    fn is_open(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Open | Phase::Headed { .. }))
    }

    fn client_gone(&self, py: Python<'_>) {
        self.end(py, Phase::Gone);
    }

    fn broken_off(&self, py: Python<'_>) {
        self.end(py, Phase::Complete);
    }

    fn delivered(&self, py: Python<'_>) {
        self.state.with(py, |state| state.phase.delivered());
    }

    fn outlives_head(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.phase.outlives_head())
    }

    /// Wakes `receive` calls that wait; what the application sends is still sent.
    fn client_half_closed(&self, py: Python<'_>) {
        self.state.with(py, |state| state.half_closed = true);
        // Pieces of the body that arrived come first.
        self.exchange.readers.wake_first(py);
    }

    fn drains(&self, py: Python<'_>) {
        if self.ends(py) {
            self.exchange.readers.wake_first(py);
        }
    }

    fn gone(&self, _py: Python<'_>) -> PyErr {
        events::gone()
    }

    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        events::is_departure(py, error)
    }
}
