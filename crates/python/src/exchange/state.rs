//! Body, response and task of one request.

use super::body::BodyReader;
use crate::{
    call::{ApplicationTask, Listening},
    response::{ResponseResult, ResponseSlot},
};
use hostler_eventloop::{GilCell, WaitQueue};
use hostler_http::RequestBody;
use pyo3::prelude::*;
use std::task::{Context, Poll};

/// What an interface keeps of each request.
pub(crate) struct Exchange {
    state: GilCell<State>,
    /// Calls that wait for the body, or for a piece of it.
    pub(crate) readers: WaitQueue,
}

struct State {
    body: BodyReader,
    response: ResponseSlot,
    /// The application, if it is suspended.
    task: Option<Box<ApplicationTask>>,
    /// With the connection and with the worker.
    listening: Option<[Listening; 2]>,
}

impl Exchange {
    pub(crate) fn new(body: RequestBody) -> Self {
        let (body, response) = (BodyReader::new(body), ResponseSlot::default());
        let state = State { body, response, task: None, listening: None };
        Self { state: GilCell::new(state), readers: WaitQueue::default() }
    }

    /// Works on the body, without calling Python.
    pub(crate) fn with_body<R>(&self, py: Python<'_>, work: impl FnOnce(&mut BodyReader) -> R) -> R {
        self.state.with(py, |state| work(&mut state.body))
    }

    /// Gives no more of the body out, and drops the rest: an unread body keeps the connection from its next request.
    pub(crate) fn close_body(&self, py: Python<'_>) {
        let (leftovers, pump) = self.state.with(py, |state| state.body.close());
        drop(leftovers);
        if let Some(pump) = pump {
            pump.wake();
        }
        // Each wakes the next one when it leaves.
        self.readers.wake_first(py);
    }

    /// The response, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_response(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<ResponseResult> {
        self.state.with(py, |state| state.response.poll(cx))
    }

    /// Gives hyper the response.
    pub(crate) fn put(&self, py: Python<'_>, response: ResponseResult) {
        if let Some(waiting) = self.state.with(py, |state| state.response.put(response)) {
            waiting.wake();
        }
    }

    /// The response is not wanted any more.
    pub(super) fn clear_response(&self, py: Python<'_>) {
        let unsent = self.state.with(py, |state| state.response.clear());
        drop(unsent);
    }

    /// The application is suspended.
    pub(crate) fn suspended(&self, py: Python<'_>, task: ApplicationTask) {
        let task = Box::new(task);
        self.state.with(py, |state| state.task = Some(task));
    }

    pub(crate) fn is_suspended(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.task.is_some())
    }

    /// The client has its response or is gone: if the application goes on, its task counts as in flight.
    pub(crate) fn outlived(&self, py: Python<'_>) {
        let Some(mut task) = self.state.with(py, |state| state.task.take()) else { return };
        task.outlives_request(py);
        self.state.with(py, |state| state.task = Some(task));
    }

    /// The application ended.
    pub(super) fn task_ended(&self, py: Python<'_>) -> Option<Box<ApplicationTask>> {
        self.state.with(py, |state| state.task.take())
    }

    pub(super) fn cancel_task(&self, py: Python<'_>) {
        let cancel = self.state.with(py, |state| state.task.as_ref().map(|task| task.canceller(py)));
        if let Some(cancel) = cancel {
            cancel();
        }
    }

    /// Whether it is notified.
    pub(crate) fn listens(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.listening.is_some())
    }

    /// Keeps the handles of its notifications.
    pub(crate) fn listen(&self, py: Python<'_>, listening: [Listening; 2]) {
        let before = self.state.with(py, |state| state.listening.replace(listening));
        drop(before);
    }

    pub(super) fn stop_listening(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| state.listening.take());
        drop(before);
    }
}
