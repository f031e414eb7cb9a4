//! A body on its way from the application to hyper, in pieces: a bounded queue, and hyper's end of it.

use super::{BreakDelay, Broken};
use bytes::Bytes;
use hostler_eventloop::{GilCell, reject, resolve};
use http_body::Frame;
use hyper::HeaderMap;
use pyo3::prelude::*;
use std::{
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// From this many buffered bytes on, `send` suspends the application.
pub(super) const HIGH_WATER: usize = 64 * 1024;
/// At this many, suspended applications go on.
const LOW_WATER: usize = 16 * 1024;

/// Pieces on their way from the application to hyper.
pub(crate) struct Stream {
    state: GilCell<State>,
    endless: bool,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    buffered: usize,
    /// How many bytes hyper takes before it has all, if that is known: none of a response to HEAD.
    expected: Option<u64>,
    taken: u64,
    end: Option<End>,
    /// What follows the last piece.
    trailers: Option<HeaderMap>,
    reader: Option<Waker>,
    /// Futures of applications that wait for room.
    writers: Vec<Py<PyAny>>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    Broken,
}

impl Stream {
    /// A stream of which hyper takes so many bytes, if that is known; `endless`: it is known to have no end.
    pub(super) fn new(expected: Option<u64>, endless: bool) -> Rc<Self> {
        Rc::new(Self { state: GilCell::new(State { expected, ..State::default() }), endless })
    }

    /// Whether it is known to have no end.
    pub(crate) fn is_endless(&self) -> bool {
        self.endless
    }

    /// Adds a piece; true if the application should wait before it sends more.
    pub(super) fn push(&self, py: Python<'_>, piece: Bytes) -> bool {
        self.change(py, |state| {
            state.buffered += piece.len();
            if !piece.is_empty() {
                state.pieces.push_back(piece);
            }
            state.buffered >= HIGH_WATER
        })
    }

    /// Has `future` finished once there is room.
    pub(super) fn await_room(&self, py: Python<'_>, future: Py<PyAny>) {
        self.state.with(py, |state| state.writers.push(future));
    }

    /// Ends the body.
    pub(crate) fn complete(&self, py: Python<'_>) {
        self.change(py, |state| state.end = state.end.or(Some(End::Complete)));
    }

    /// Ends the body with trailers (RFC 9110 §6.5).
    pub(crate) fn complete_with(&self, py: Python<'_>, trailers: HeaderMap) {
        self.state.with(py, |state| state.trailers = Some(trailers));
        self.complete(py);
    }

    /// Breaks the body off. Applications that wait for room go on, and find that their client is gone.
    pub(crate) fn fail(&self, py: Python<'_>) {
        let writers = self.change(py, |state| {
            state.end = state.end.or(Some(End::Broken));
            std::mem::take(&mut state.writers)
        });
        finish_all(py, writers);
    }

    /// Whether the body was broken off.
    pub(crate) fn has_failed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.end == Some(End::Broken))
    }

    /// hyper dropped the body: whether all of it was delivered, and the futures that wait for room.
    fn dropped(&self, py: Python<'_>) -> (bool, Vec<Py<PyAny>>) {
        self.state.with(py, |state| {
            let delivered = state.is_complete() || state.expected == Some(state.taken);
            state.pieces.clear();
            (delivered, std::mem::take(&mut state.writers))
        })
    }

    fn change<R>(&self, py: Python<'_>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, reader) = self.state.with(py, |state| (change(state), state.reader.take()));
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }

    fn poll_frame(&self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let (polled, writers) = self.state.with(py, |state| {
            if let Some(piece) = state.pieces.pop_front() {
                state.buffered -= piece.len();
                state.taken += piece.len() as u64;
                let room = state.buffered <= LOW_WATER;
                let writers = if room { std::mem::take(&mut state.writers) } else { Vec::new() };
                return (Poll::Ready(Some(Ok(Frame::data(piece)))), writers);
            }
            let polled = match state.end {
                Some(End::Complete) => {
                    Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
                }
                Some(End::Broken) => Poll::Ready(Some(Err(Broken))),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
            (polled, Vec::new())
        });
        finish_all(py, writers);
        polled
    }

    fn is_complete(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_complete())
    }
}

impl State {
    fn is_complete(&self) -> bool {
        self.pieces.is_empty() && self.end == Some(End::Complete) && self.trailers.is_none()
    }
}

fn finish_all(py: Python<'_>, writers: Vec<Py<PyAny>>) {
    for writer in writers {
        resolve(writer.bind(py), py.None().into_bound(py));
    }
}

/// The request that a streamed body responds to.
pub(crate) trait Owner {
    /// hyper dropped the body. Either all of it was delivered, though the application may not have ended it yet, or
    /// the client is gone.
    fn on_body_dropped(&self, py: Python<'_>, delivered: bool);

    /// The exception for `send` calls that wait when the client goes.
    fn gone(&self, py: Python<'_>) -> PyErr;
}

/// hyper's end of a stream.
pub(crate) struct Streaming {
    stream: Rc<Stream>,
    owner: Box<dyn Owner>,
    delay: BreakDelay,
}

impl Streaming {
    pub(super) fn new(stream: Rc<Stream>, owner: Box<dyn Owner>) -> Self {
        Self { stream, owner, delay: BreakDelay::default() }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = Python::attach(|py| self.stream.poll_frame(py, cx));
        self.delay.before(polled, cx)
    }

    pub(super) fn is_complete(&self) -> bool {
        Python::attach(|py| self.stream.is_complete(py))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        Python::attach(|py| {
            let (delivered, writers) = self.stream.dropped(py);
            self.owner.on_body_dropped(py, delivered);
            if delivered {
                return finish_all(py, writers);
            }
            for writer in writers {
                reject(writer.bind(py), self.owner.gone(py));
            }
        });
    }
}
