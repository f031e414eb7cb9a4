//! A request's body on its way to the application, which reads it when it asks.

use super::call::HttpCall;
use bytes::Bytes;
use hostler_eventloop::spawn_local;
use hostler_http::RequestBody;
use http_body::Body;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, Waker, ready},
};

/// The body did not arrive whole: the client is gone, or broke the rules.
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

/// Reads on behalf of those who wait.
enum Pump {
    None,
    Begun,
    Parked(Waker),
}

/// What a reader held, to be dropped where Python code may run.
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

    /// Whether it was closed before its end was given out.
    pub(crate) fn was_closed(&self) -> bool {
        self.closed
    }

    /// Takes in what is there without waiting: one piece, or all.
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

    /// Takes in one piece or all, if it is not there already.
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
}

/// Reads a request's body, in a task of the runtime, until there is something for those who wait; unless that goes on
/// already.
pub(crate) fn pump<T: HttpCall>(py: Python<'_>, call: &Py<T>) -> PyResult<()> {
    let exchange = call.get().exchange();
    let begins = exchange.with_body(py, |reader| {
        let begins = matches!(reader.pump, Pump::None) && reader.body.is_some() && !reader.over;
        if begins {
            reader.pump = Pump::Begun;
        }
        begins
    });
    if !begins {
        return Ok(());
    }
    let spawned = spawn_local(poll_fn({
        let call = call.clone_ref(py);
        move |cx| Python::attach(|py| poll_pump(call.get(), py, cx))
    }));
    if !spawned {
        exchange.with_body(py, |reader| reader.pump = Pump::None);
        return Err(PyRuntimeError::new_err("a request is read in the thread that serves it"));
    }
    Ok(())
}

fn poll_pump(call: &impl HttpCall, py: Python<'_>, cx: &mut Context<'_>) -> Poll<()> {
    let all = call.wants_whole_body(py);
    let polled = call.exchange().with_body(py, |reader| {
        let polled = reader.poll(all, cx);
        reader.pump = if polled.is_pending() { Pump::Parked(cx.waker().clone()) } else { Pump::None };
        polled
    });
    match ready!(polled) {
        Ok(()) => call.exchange().readers.wake_first(py),
        Err(Cut) => call.body_cut(py),
    }
    Poll::Ready(())
}
