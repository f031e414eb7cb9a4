//! What the application receives of its request: `receive`.

use super::{
    cycle::{Cycle, Phase, State},
    events,
};
use crate::awaitable::{Finished, reject, resolve};
use crate::eventloop::spawn_local;
use bytes::Bytes;
use http_body::Body;
use pyo3::{intern, prelude::*};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

impl Cycle {
    /// ASGI's `receive`.
    pub(super) fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let ending = this.shared.with(py, |shared| shared.ending.get());
        let polled = this.state.with(py, |state| match state.phase {
            Phase::Complete | Phase::Gone => Poll::Ready(Piece::Gone),
            Phase::Streaming { .. } if ending => Poll::Ready(Piece::Ended),
            _ if state.body.is_none() && state.departed => Poll::Ready(Piece::Ended),
            _ if state.body.is_none() => Poll::Pending,
            _ => state.poll_body(&mut Context::from_waker(Waker::noop())),
        });
        match polled {
            Poll::Ready(Piece::Data { bytes, more }) => {
                Finished::with(py, events::request(py, &bytes, more)?)
            }
            Poll::Ready(Piece::Gone) => {
                this.end(py, Phase::Gone);
                Finished::with(py, events::disconnect(py)?)
            }
            Poll::Ready(Piece::Ended) => Finished::with(py, events::disconnect(py)?),
            Poll::Pending => {
                let future = this.future(py)?;
                let address = std::ptr::from_ref(this) as usize;
                let before = this
                    .shared
                    .with(py, |shared| shared.waiting.borrow_mut().insert(address, slf.clone().unbind()));
                drop(before);
                let pump = this.state.with(py, |state| {
                    state.receivers.push(future.clone().unbind());
                    state.body.is_some() && !std::mem::replace(&mut state.pumping, true)
                });
                if pump {
                    let cycle = slf.clone().unbind();
                    spawn_local(poll_fn(move |cx| Python::attach(|py| cycle.get().poll_pump(py, cx))));
                }
                Ok(future)
            }
        }
    }

    /// Reads the request's body for those that wait for it, until nobody does.
    fn poll_pump(&self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(receiver) = self.next_receiver(py) else {
                self.state.with(py, |state| state.pumping = false);
                return Poll::Ready(());
            };
            let polled = self.state.with(py, |state| state.body.is_some().then(|| state.poll_body(cx)));
            match polled {
                Some(Poll::Ready(Piece::Data { bytes, more })) => {
                    self.forget_receiver(py, &receiver);
                    match events::request(py, &bytes, more) {
                        Ok(event) => resolve(receiver.bind(py), event),
                        Err(error) => reject(receiver.bind(py), error),
                    }
                }
                Some(Poll::Ready(Piece::Gone | Piece::Ended)) => self.end(py, Phase::Gone),
                Some(Poll::Pending) => return Poll::Pending,
                None => {
                    self.state.with(py, |state| state.pumping = false);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The first `receive` that still waits; a piece given to a cancelled one would be lost.
    fn next_receiver(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        loop {
            let first =
                self.state.with(py, |state| state.receivers.first().map(|first| first.clone_ref(py)))?;
            let done = first.bind(py).call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
            if !done.unwrap_or(true) {
                return Some(first);
            }
            self.forget_receiver(py, &first);
        }
    }

    fn forget_receiver(&self, py: Python<'_>, receiver: &Py<PyAny>) {
        let gone: Vec<_> =
            self.state.with(py, |state| state.receivers.extract_if(.., |kept| kept.is(receiver)).collect());
        drop(gone);
        if self.state.with(py, |state| state.receivers.is_empty()) {
            self.receives_no_more(py);
        }
    }
}

/// A piece of the request's body, or the news that no more will come.
enum Piece {
    Data {
        bytes: Bytes,
        more: bool,
    },
    Gone,
    /// The worker drains: streams are to end, though the client is there.
    Ended,
}

impl State {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let Some(body) = &mut self.body else { return Poll::Ready(Piece::Gone) };
        loop {
            let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
            let piece = match frame {
                None => Piece::Data { bytes: Bytes::new(), more: false },
                Some(Err(_)) => Piece::Gone,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Piece::Data { bytes, more: !body.is_end_stream() },
                    // Trailers, which ASGI's HTTP events have no place for.
                    Err(_) => continue,
                },
            };
            if !matches!(piece, Piece::Data { more: true, .. }) {
                self.body = None;
            }
            return Poll::Ready(piece);
        }
    }
}
