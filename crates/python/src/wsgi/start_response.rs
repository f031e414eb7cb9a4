//! `start_response` and `write` of one request, and the head they collect.

use super::{
    direct::DirectResponse,
    head::{head, piece},
    response_sender::ResponseSender,
};
use crate::response::{Broken, Head, Length, WrongLength};
use bytes::Bytes;
use hostler_eventloop::GilCell;
use hostler_http::{Additions, Began, Interim};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError},
    intern,
    prelude::*,
    types::{PyList, PyString, PyTuple},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The callable that the application gets as `start_response`.
#[pyclass(frozen, module = "hostler")]
pub(super) struct StartResponse {
    state: GilCell<State>,
    pub(super) head_request: bool,
    /// The request, for the log.
    pub(super) began: Began,
}

/// What `write()` in place needs.
pub(super) struct InPlace {
    /// Set when it is used: later calls need a thread of their own.
    pub(super) writes: Arc<AtomicBool>,
    pub(super) interim: Interim,
    pub(super) http_10: bool,
    /// What the server adds to the head.
    pub(super) additions: Option<Additions>,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The head was sent and cannot be replaced.
    begun: bool,
    /// What `write()` got and cannot send before the application returns.
    written: Vec<Bytes>,
    /// Of the body, as far as it was sent.
    length: Length,
    in_place: Option<InPlace>,
    /// In place: the response that `write()` has begun.
    direct: Option<DirectResponse>,
    /// In the pool: where `write()` sends to.
    sender: Option<ResponseSender>,
}

impl StartResponse {
    /// For a call in place.
    pub(super) fn in_place(head_request: bool, began: Began, in_place: InPlace) -> Self {
        let state = State { in_place: Some(in_place), ..State::default() };
        Self { state: GilCell::new(state), head_request, began }
    }

    /// For a call on a thread of the pool.
    pub(super) fn in_pool(head_request: bool, began: Began, sender: ResponseSender) -> Self {
        let state = State { sender: Some(sender), ..State::default() };
        Self { state: GilCell::new(state), head_request, began }
    }

    /// The head, to begin the response with; an error if `start_response` was not called.
    pub(super) fn begin(&self, py: Python<'_>) -> PyResult<Head> {
        self.state.with(py, |state| {
            state.begun = true;
            state
                .head
                .take()
                .ok_or_else(|| PyRuntimeError::new_err("`start_response` was not called before the body"))
        })
    }

    /// Begins the response before the application returned; the head is kept for the iterable that follows.
    fn begin_by_write(&self, py: Python<'_>, sender: &mut ResponseSender) -> PyResult<()> {
        let head = self.begin(py)?;
        sender.begin(head.clone(), self.head_request);
        self.state.with(py, |state| state.head = Some(head));
        Ok(())
    }

    /// Whether `write()` has sent the head.
    pub(super) fn is_begun(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| {
            state.direct.is_some() || state.sender.as_ref().is_some_and(ResponseSender::has_begun)
        })
    }

    /// In place: sends the next piece of a response that `write()` has begun, or ends it; whether more can be sent.
    pub(super) fn go_on(&self, py: Python<'_>, piece: Option<&Bytes>) -> bool {
        self.state.with(py, |state| match (&state.direct, piece) {
            (Some(direct), Some(piece)) => direct.send(piece),
            (Some(direct), None) => {
                direct.end();
                false
            }
            (None, _) => false,
        })
    }

    /// In place: a response that `write()` has begun will not be completed.
    pub(super) fn fail(&self, py: Python<'_>) {
        self.state.with(py, |state| {
            if let Some(direct) = &state.direct {
                direct.fail();
            }
        });
    }

    /// Keeps a piece that follows what `write()` has sent.
    pub(super) fn keep(&self, py: Python<'_>, piece: Option<Bytes>) {
        self.state.with(py, |state| state.written.extend(piece));
    }

    /// Counts a piece of the body against Content-Length.
    pub(super) fn count(&self, py: Python<'_>, piece: &Bytes) -> Result<(), WrongLength> {
        self.state.with(py, |state| state.length.add(piece.len() as u64))
    }

    /// Whether as much was sent as was announced.
    pub(super) fn is_complete(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.length.is_reached())
    }

    /// Whether so much more would be too much.
    pub(super) fn check_more(&self, py: Python<'_>, size: u64) -> Result<(), WrongLength> {
        self.state.with(py, |state| {
            let mut length = state.length;
            length.add(size)
        })
    }

    /// Whether the body may end here.
    pub(super) fn check_end(&self, py: Python<'_>) -> Result<(), WrongLength> {
        self.state.with(py, |state| state.length.check_end())
    }

    /// Whether `write()` was not used.
    pub(super) fn has_sent_nothing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.begun && state.written.is_empty())
    }

    pub(super) fn take_written(&self, py: Python<'_>) -> Vec<Bytes> {
        self.state.with(py, |state| std::mem::take(&mut state.written))
    }

    /// In the pool: whether the response is still wanted.
    pub(super) fn is_wanted(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.sender.as_ref().is_some_and(ResponseSender::is_wanted))
    }

    /// In the pool: the channel to hyper, to send the response with.
    pub(super) fn take_sender(&self, py: Python<'_>) -> Option<ResponseSender> {
        self.state.with(py, |state| state.sender.take())
    }

    fn put_sender(&self, py: Python<'_>, sender: ResponseSender) {
        self.state.with(py, |state| state.sender = Some(sender));
    }

    fn send(&self, py: Python<'_>, sender: &mut ResponseSender, piece: Bytes) -> PyResult<()> {
        if !sender.has_begun() {
            self.begin_by_write(py, sender)?;
        }
        self.count(py, &piece)?;
        Ok(sender.send(py, piece)?)
    }
}

impl State {
    /// Sends a piece in place, or keeps it if that is not possible.
    fn write_in_place(&mut self, piece: Bytes, head_request: bool) -> PyResult<()> {
        self.begun = true;
        if self.direct.is_none()
            && self.written.is_empty()
            && let (Some(way), Some(head)) = (&self.in_place, &self.head)
        {
            way.writes.store(true, Relaxed);
            self.direct = DirectResponse::begin(way, head, head_request);
        }
        if self.direct.is_none() {
            self.written.push(piece);
            return Ok(());
        }
        self.length.add(piece.len() as u64)?;
        match &self.direct {
            Some(direct) if !direct.send(&piece) => Err(Broken.into()),
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl StartResponse {
    /// `start_response(status, headers, exc_info=None)`.
    #[pyo3(signature = (status, headers, exc_info = None))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyString>,
        headers: &Bound<'py, PyList>,
        exc_info: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let (has_head, begun) = this.state.with(py, |state| (state.head.is_some(), state.begun));
        match exc_info {
            Some(exc_info) if begun => return Err(PyErr::from_value(exc_info.get_item(1)?)),
            None if has_head || begun => {
                return Err(PyRuntimeError::new_err("`start_response` was called again without exc_info"));
            }
            _ => {}
        }
        let head = head(status, headers)?;
        let length = head.body_length(head.is_bodiless(this.head_request));
        let old = this.state.with(py, |state| {
            state.length = length;
            state.head.replace(head)
        });
        drop(old);
        slf.getattr(intern!(py, "write"))
    }

    /// The `write()` of PEP 3333 §The write() Callable.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let piece = piece(data)?;
        match this.take_sender(py) {
            Some(mut sender) => {
                let sent = this.send(py, &mut sender, piece);
                this.put_sender(py, sender);
                sent
            }
            None => this.state.with(py, |state| state.write_in_place(piece, this.head_request)),
        }
    }
}

impl From<Broken> for PyErr {
    fn from(_: Broken) -> Self {
        PyOSError::new_err("the client has disconnected")
    }
}
