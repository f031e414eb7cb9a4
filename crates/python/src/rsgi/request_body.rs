//! A request's body, whole or piece by piece.

use crate::gil::GilCell;
use bytes::Bytes;
use hostler_http::RequestBody as Incoming;
use http_body::Body;
use pyo3::{intern, prelude::*, types::PyBytes};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// The body did not arrive whole: the client is gone.
pub(super) struct Cut;

/// The body of a request, for one reader.
pub(super) struct RequestBody(GilCell<State>);

enum State {
    /// Nobody has begun to read.
    Untouched(Incoming),
    /// Being iterated over. The pieces are those that a cancelled reader left.
    Iterated(Option<Incoming>, Vec<Bytes>),
    /// Being read by a task of the runtime, for a future that waits for the next piece.
    Lent(Py<PyAny>),
    /// Whoever asked for all of it has it.
    Taken,
}

impl RequestBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(GilCell::new(State::Untouched(body)))
    }

    /// All of the body, for whoever is the first to ask.
    pub(super) fn take(&self, py: Python<'_>) -> Option<Whole> {
        let state = self.0.with(py, |state| match state {
            State::Untouched(_) => Some(std::mem::replace(state, State::Taken)),
            State::Iterated(..) | State::Lent(_) | State::Taken => None,
        });
        match state {
            Some(State::Untouched(body)) => Some(Whole { body, pieces: Vec::new() }),
            _ => None,
        }
    }

    /// Makes it a body that is iterated over; whether it was untouched.
    pub(super) fn iterate(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| match std::mem::replace(state, State::Taken) {
            State::Untouched(body) => {
                *state = State::Iterated(Some(body), Vec::new());
                true
            }
            other => {
                *state = other;
                false
            }
        })
    }

    /// Looks for the next piece at once.
    pub(super) fn next(&self, py: Python<'_>) -> Next {
        self.0.with(py, |state| {
            let State::Iterated(body, pieces) = state else { return Next::Busy };
            if let Some(piece) = pieces.pop() {
                return Next::Piece(piece);
            }
            let Some(incoming) = body else { return Next::End };
            match poll_piece(incoming, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(piece))) => Next::Piece(piece),
                Poll::Ready(Some(Err(Cut))) => {
                    *body = None;
                    Next::Cut
                }
                Poll::Ready(None) => {
                    *body = None;
                    Next::End
                }
                Poll::Pending => Next::Later,
            }
        })
    }

    /// Lends the body to a task that reads its next piece for `future`.
    pub(super) fn lend(&self, py: Python<'_>, future: Py<PyAny>) -> Option<Incoming> {
        self.0.with(py, |state| match std::mem::replace(state, State::Lent(future)) {
            State::Iterated(body, _) => body,
            _ => None,
        })
    }

    /// Puts another future in the place of one that was cancelled; false if that one waits still.
    pub(super) fn wait_instead(&self, py: Python<'_>, future: &Bound<'_, PyAny>) -> bool {
        let waiting = self.0.with(py, |state| match state {
            State::Lent(waiting) => Some(waiting.clone_ref(py)),
            _ => None,
        });
        let Some(waiting) = waiting.filter(|waiting| is_done(waiting.bind(py))) else { return false };
        let future = future.clone().unbind();
        self.0.with(py, |state| *state = State::Lent(future));
        drop(waiting);
        true
    }

    /// Takes the body back from the task; whoever waits for what it read, if anybody does. What nobody waits for is
    /// kept for the next one who asks.
    pub(super) fn give_back(
        &self,
        py: Python<'_>,
        body: Option<Incoming>,
        read: Option<&Bytes>,
    ) -> Option<Py<PyAny>> {
        let before = self.0.with(py, |state| std::mem::replace(state, State::Iterated(body, Vec::new())));
        match before {
            State::Lent(waiting) if !is_done(waiting.bind(py)) => Some(waiting),
            _ => {
                self.0.with(py, |state| {
                    if let State::Iterated(_, pieces) = state {
                        pieces.extend(read.cloned());
                    }
                });
                None
            }
        }
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> bool {
    let done = future.call_method0(intern!(future.py(), "done"));
    done.and_then(|done| done.is_truthy()).unwrap_or(true)
}

/// What there is of a body that is iterated over.
pub(super) enum Next {
    Piece(Bytes),
    End,
    Cut,
    /// It has not arrived.
    Later,
    /// Somebody waits for it already.
    Busy,
}

/// A body on its way to being whole.
pub(super) struct Whole {
    body: Incoming,
    pieces: Vec<Bytes>,
}

impl Whole {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        loop {
            match std::task::ready!(poll_piece(&mut self.body, cx)) {
                Some(Ok(piece)) => self.pieces.push(piece),
                Some(Err(cut)) => return Poll::Ready(Err(cut)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    pub(super) async fn arrive(&mut self) -> Result<(), Cut> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The pieces as one byte string.
    pub(super) fn join<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let size = self.pieces.iter().map(Bytes::len).sum();
        PyBytes::new_with(py, size, |target| {
            let mut rest = target;
            for piece in &self.pieces {
                let (begin, end) = rest.split_at_mut(piece.len());
                begin.copy_from_slice(piece);
                rest = end;
            }
            Ok(())
        })
    }
}

/// The next piece that is not empty; `None` at the end. Trailers have no place in RSGI.
pub(super) fn poll_piece(body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
    loop {
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(Err(Cut))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Poll::Ready(Some(Ok(piece))),
                _ => {}
            },
        }
    }
}
