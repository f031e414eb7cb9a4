//! A response body on its way from a pool thread to the connection: a bounded queue.
//!
//! The thread adds pieces and goes on; it waits only while more than the limit is buffered. hyper drops the receiver
//! when the connection ends, for whatever reason, and that wakes the thread at once.

use super::gate::Gate;
use crate::response::{BreakDelay, Broken};
use bytes::{Bytes, BytesMut};
use pyo3::Python;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Pieces smaller than this, in bytes, are coalesced with those that follow.
const SMALL: usize = 8 * 1024;
/// The most that pieces are coalesced to, in bytes.
const MAX_COALESCED: usize = 64 * 1024;

struct Shared {
    limit: usize,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    buffered: usize,
    end: Option<End>,
    reader: Option<Waker>,
    /// The receiver was dropped.
    abandoned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Broken,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = self.lock();
            change(&mut state);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Both ends of a body of which `limit` bytes and one piece are buffered at most.
pub(super) fn body_queue(limit: usize) -> (Sender, Receiver) {
    let (state, room) = (Mutex::default(), Condvar::new());
    let shared = Arc::new(Shared { limit, state, room });
    (Sender(Arc::clone(&shared)), Receiver { shared, delay: BreakDelay::default() })
}

/// The thread's end. Dropped without [`Sender::complete`], it breaks the response off.
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    /// Adds a piece once there is room; waits without the GIL.
    pub(super) fn send(&self, py: Python<'_>, gate: &Gate, piece: Bytes) -> Result<(), Broken> {
        let is_full = |state: &State| state.buffered >= self.0.limit && !state.abandoned;
        if is_full(&self.0.lock()) {
            gate.outside(py, || drop(self.0.room.wait_while(self.0.lock(), |state| is_full(state))));
        }
        if self.0.lock().abandoned {
            return Err(Broken);
        }
        if !piece.is_empty() {
            self.0.change(|state| {
                state.buffered += piece.len();
                state.pieces.push_back(piece);
            });
        }
        Ok(())
    }

    /// Ends the body.
    pub(super) fn complete(&self) {
        self.0.change(|state| state.end = state.end.or(Some(End::Complete)));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.change(|state| state.end = state.end.or(Some(End::Broken)));
    }
}

/// The connection's end.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    delay: BreakDelay,
}

impl Receiver {
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let polled = self.next(cx);
        self.delay.before(polled, cx)
    }

    fn next(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let mut state = self.shared.lock();
        if let Some(piece) = state.next() {
            // Half of the limit, so that a thread is not woken for every piece.
            if state.buffered <= self.shared.limit / 2 {
                self.shared.room.notify_all();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.end {
            Some(End::Complete) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err(Broken))),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        let state = self.shared.lock();
        state.pieces.is_empty() && state.end == Some(End::Complete)
    }
}

impl State {
    /// The next piece, coalesced with those that follow if they are small.
    fn next(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        self.buffered -= first.len();
        if first.len() >= SMALL || self.pieces.front().is_none_or(|next| next.len() >= SMALL) {
            return Some(first);
        }
        let mut coalesced = BytesMut::from(&first[..]);
        while let Some(next) = self.pieces.front()
            && next.len() < SMALL
            && coalesced.len() + next.len() <= MAX_COALESCED
        {
            coalesced.extend_from_slice(next);
            self.buffered -= next.len();
            self.pieces.pop_front();
        }
        Some(coalesced.freeze())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let unsent = {
            let mut state = self.shared.lock();
            state.abandoned = true;
            state.buffered = 0;
            std::mem::take(&mut state.pieces)
        };
        self.shared.room.notify_all();
        drop(unsent);
    }
}
