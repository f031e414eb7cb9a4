//! A request's body, read when the application asks for it.

use bytes::Bytes;
use hostler_http::RequestBody;
use http_body::Body;
use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker, ready},
};

/// The body is incomplete: the client disconnected, or its framing is malformed.
pub(crate) struct Cut;

/// A body, and what was read of it that the application has not taken yet.
pub(crate) struct BodyReader {
    /// Until its end was read.
    body: Option<RequestBody>,
    arrived: VecDeque<Bytes>,
    /// The end was given out, or it was closed.
    over: bool,
    /// It was closed before its end was given out.
    closed: bool,
    pump: Pump,
}

/// A task of the runtime that reads for `receive` calls that wait.
enum Pump {
    None,
    Begun,
    Parked(Waker),
}

/// What a reader held, to be dropped outside of its cell: that may run Python code.
pub(super) struct Leftovers {
    _body: Option<RequestBody>,
    _arrived: VecDeque<Bytes>,
}

impl BodyReader {
    pub(super) fn new(body: RequestBody) -> Self {
        Self { body: Some(body), arrived: VecDeque::new(), over: false, closed: false, pump: Pump::None }
    }

    /// Whether nothing more comes out of it.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether all of it has arrived.
    pub(crate) fn has_arrived(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Whether it was closed before its end was given out.
    pub(crate) fn was_closed(&self) -> bool {
        self.closed
    }

    /// Reads what is there without waiting: one piece, or all.
    pub(crate) fn look(&mut self, all: bool) -> Result<(), Cut> {
        // The pump's waker must not be lost.
        if !matches!(self.pump, Pump::None) {
            return Ok(());
        }
        match self.poll(all, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(arrived) => arrived,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads one piece or all, unless that was read already.
    fn poll(&mut self, all: bool, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        while all || self.arrived.is_empty() {
            let Some(body) = &mut self.body else { break };
            match ready!(body.poll_data(cx)) {
                None => self.body = None,
                Some(Err(_)) => return Poll::Ready(Err(Cut)),
                Some(Ok(piece)) => self.arrived.push_back(piece),
            }
            if self.body.as_ref().is_some_and(Body::is_end_stream) {
                self.body = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A piece, and whether more follow; the last one may be empty. `None` if there is nothing.
    pub(crate) fn take_piece(&mut self) -> Option<(Bytes, bool)> {
        let piece = self.arrived.pop_front();
        let more = self.body.is_some() || !self.arrived.is_empty();
        if self.over || (piece.is_none() && more) {
            return None;
        }
        self.over = !more;
        Some((piece.unwrap_or_default(), more))
    }

    /// All of it, if it has arrived.
    pub(crate) fn take_all(&mut self) -> Option<VecDeque<Bytes>> {
        if self.over || self.body.is_some() {
            return None;
        }
        self.over = true;
        Some(std::mem::take(&mut self.arrived))
    }

    /// Gives nothing more out. The rest is to be dropped, and the pump to be woken.
    pub(super) fn close(&mut self) -> (Leftovers, Option<Waker>) {
        self.closed |= !self.over;
        self.over = true;
        let waker = match std::mem::replace(&mut self.pump, Pump::None) {
            Pump::Parked(waker) => Some(waker),
            Pump::None | Pump::Begun => None,
        };
        (Leftovers { _body: self.body.take(), _arrived: std::mem::take(&mut self.arrived) }, waker)
    }

    /// Whether a pump is to begin, which it has from now on.
    pub(super) fn begin_pump(&mut self) -> bool {
        let begins = matches!(self.pump, Pump::None) && self.body.is_some() && !self.over;
        if begins {
            self.pump = Pump::Begun;
        }
        begins
    }

    /// The pump could not begin.
    pub(super) fn no_pump(&mut self) {
        self.pump = Pump::None;
    }

    /// Reads one piece or all for the pump, which is parked meanwhile.
    pub(super) fn poll_pump(&mut self, all: bool, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        let polled = self.poll(all, cx);
        self.pump = if polled.is_pending() { Pump::Parked(cx.waker().clone()) } else { Pump::None };
        polled
    }
}
