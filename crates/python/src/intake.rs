//! What comes in of a request's body, on its way to the application.

use crate::{eventloop::spawn_local, line::Line};
use bytes::Bytes;
use hostler_http::RequestBody;
use http_body::Body;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// The body did not arrive whole: the client is gone, or broke the rules.
pub(crate) struct Cut;

/// A body, and what was read of it that nobody has taken yet.
pub(crate) struct Intake {
    /// Until its end was read.
    body: Option<RequestBody>,
    arrived: VecDeque<Bytes>,
    /// The end was handed out, or nobody is to know.
    over: bool,
    /// It was closed before its end was handed out.
    closed: bool,
    pump: Pump,
}

/// Reads on behalf of those who wait.
enum Pump {
    None,
    Begun,
    Parked(Waker),
}

/// What an intake was, to be dropped where Python code may run.
pub(crate) struct Leftovers {
    _body: Option<RequestBody>,
    _arrived: VecDeque<Bytes>,
}

impl Intake {
    pub(crate) fn new(body: RequestBody) -> Self {
        Self { body: Some(body), arrived: VecDeque::new(), over: false, closed: false, pump: Pump::None }
    }

    /// Whether nothing more comes out of it.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it was closed before its end was handed out.
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
            match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => self.body = None,
                Some(Err(_)) => return Poll::Ready(Err(Cut)),
                // Trailers have no place in ASGI's and RSGI's requests.
                Some(Ok(frame)) => self.arrived.extend(frame.into_data().ok()),
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

    /// Nobody is to have any more of it. The rest is to be dropped, and whoever is returned to be woken.
    pub(crate) fn close(&mut self) -> (Leftovers, Option<Waker>) {
        self.closed |= !self.over;
        self.over = true;
        let waker = match std::mem::replace(&mut self.pump, Pump::None) {
            Pump::Parked(waker) => Some(waker),
            Pump::None | Pump::Begun => None,
        };
        (Leftovers { _body: self.body.take(), _arrived: std::mem::take(&mut self.arrived) }, waker)
    }
}

/// A request whose body is read.
pub(crate) trait Reader: Sized + 'static {
    /// Works on the intake, without calling Python.
    fn intake<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Intake) -> R) -> R;

    /// Where those stand who wait for it.
    fn line(&self) -> &Line;

    /// Whether they want all of it, or a piece.
    fn wants_all(&self, py: Python<'_>) -> bool;

    /// The body was cut.
    fn cut(&self, py: Python<'_>);

    /// Reads, in a task of the runtime, until there is something for who waits; unless that goes on already.
    fn pump(&self, py: Python<'_>) -> PyResult<()> {
        let begins = self.intake(py, |intake| {
            let begins = matches!(intake.pump, Pump::None) && intake.body.is_some() && !intake.over;
            if begins {
                intake.pump = Pump::Begun;
            }
            begins
        });
        if !begins {
            return Ok(());
        }
        let spawned = spawn_local(poll_fn({
            let reader = self.duplicate(py);
            move |cx| Python::attach(|py| poll_pump(&reader, py, cx))
        }));
        if !spawned {
            self.intake(py, |intake| intake.pump = Pump::None);
            return Err(PyRuntimeError::new_err("a request is read in the thread that serves it"));
        }
        Ok(())
    }

    /// Another reference to it.
    fn duplicate(&self, py: Python<'_>) -> Self;
}

fn poll_pump(reader: &impl Reader, py: Python<'_>, cx: &mut Context<'_>) -> Poll<()> {
    let all = reader.wants_all(py);
    let polled = reader.intake(py, |intake| {
        let polled = intake.poll(all, cx);
        intake.pump = if polled.is_pending() { Pump::Parked(cx.waker().clone()) } else { Pump::None };
        polled
    });
    match std::task::ready!(polled) {
        Ok(()) => reader.line().wake_first(py),
        Err(Cut) => reader.cut(py),
    }
    Poll::Ready(())
}
