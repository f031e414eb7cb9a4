//! How many requests the application works on at a time, how many more wait for their turn, and for how long.
//!
//! A request that waits has been parsed and no more: its body stays with the kernel and its client. Requests are let
//! through in their order; those of health checks have a slot of their own beside the others.
//!
//! Handlers that block the thread never let requests overlap: then requests wait in the kernel instead. That is waiting, too.

use crate::{
    log::{queue::Waiting, turns::Turns},
    request::refusal::Refusal,
};
use hostler_settings::Limits;
use hostler_sys::clock;
use hyper::StatusCode;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    os::fd::RawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

const QUEUE_FULL: Refusal = Refusal::over(
    StatusCode::SERVICE_UNAVAILABLE,
    "the server is busy: too many requests wait already",
    "--limit-concurrency, --limit-queue",
);
const WAITED_TOO_LONG: Refusal = Refusal::over(
    StatusCode::SERVICE_UNAVAILABLE,
    "the server is busy: the request has waited too long",
    "--limit-concurrency, --queue-timeout",
);

/// The requests of a worker, where their number is limited.
pub(crate) struct Concurrency {
    most: usize,
    max_waiting: usize,
    patience: Duration,
    health_paths: Vec<String>,
    running: Cell<usize>,
    /// A health check runs beside the others.
    health_check_runs: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    turns: Turns,
}

/// What becomes of a request.
pub(crate) enum Turn {
    Now(Slot),
    Later(Box<Place>),
    Never(Refusal),
}

#[derive(Default)]
struct Waiter {
    granted: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Concurrency {
    /// `None` if there is no limit.
    pub(crate) fn new(limits: &Limits) -> Option<Rc<Self>> {
        let most = limits.concurrency?;
        Some(Rc::new(Self {
            most,
            max_waiting: limits.queue,
            patience: limits.queue_timeout,
            health_paths: limits.health_paths.0.iter().map(|path| path.0.clone()).collect(),
            running: Cell::new(0),
            health_check_runs: Cell::new(false),
            waiting: RefCell::default(),
            turns: Turns::default(),
        }))
    }

    /// Whether a request of this connection has waited for too long already: the loop, which last turned then, was blocked.
    pub(crate) fn is_stale(&self, turned_at: u64, connection: RawFd) -> bool {
        if self.patience.is_zero() {
            return false;
        }
        let waited = self.turns.kernel_wait(turned_at, clock::now(), connection).map(Duration::from_nanos);
        waited.is_some_and(|waited| waited > self.patience)
    }

    /// Whether the request for this path may begin; `is_stale`: it has waited for too long.
    pub(crate) fn ask(self: &Rc<Self>, path: &str, is_stale: bool) -> Turn {
        if self.running.get() < self.most {
            if is_stale && !self.is_health_check(path) {
                return Turn::Never(WAITED_TOO_LONG);
            }
            self.running.set(self.running.get() + 1);
            return Turn::Now(Slot { owner: Rc::clone(self), is_reserved: false });
        }
        if self.is_health_check(path) && !self.health_check_runs.replace(true) {
            return Turn::Now(Slot { owner: Rc::clone(self), is_reserved: true });
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.max_waiting || self.patience.is_zero() {
            return Turn::Never(QUEUE_FULL);
        }
        let waiter = Rc::<Waiter>::default();
        waiting.push_back(Rc::clone(&waiter));
        Turn::Later(Box::new(Place {
            owner: Rc::clone(self),
            waiter,
            patience: Box::pin(sleep(self.patience)),
            waiting: None,
        }))
    }

    fn is_health_check(&self, path: &str) -> bool {
        self.health_paths.iter().any(|health| health == path)
    }

    /// A request is over: the next one has its slot.
    fn release(&self) {
        let Some(next) = self.waiting.borrow_mut().pop_front() else {
            self.running.set(self.running.get() - 1);
            return;
        };
        next.granted.set(true);
        if let Some(task) = next.task.take() {
            task.wake();
        }
    }
}

/// The right to be worked on, until it is dropped.
pub(crate) struct Slot {
    owner: Rc<Concurrency>,
    is_reserved: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_reserved {
            self.owner.health_check_runs.set(false);
        } else {
            self.owner.release();
        }
    }
}

/// A place in the queue, until it is dropped.
pub(crate) struct Place {
    owner: Rc<Concurrency>,
    waiter: Rc<Waiter>,
    patience: Pin<Box<Sleep>>,
    /// Where is noted how long the request waits.
    waiting: Option<Waiting>,
}

impl Place {
    /// Has noted there how long the request waits.
    pub(crate) fn note(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
    }

    /// Ready when it is the request's turn, or never will be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Slot, Refusal>> {
        if self.waiter.granted.replace(false) {
            return Poll::Ready(Ok(Slot { owner: Rc::clone(&self.owner), is_reserved: false }));
        }
        if self.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(WAITED_TOO_LONG));
        }
        self.waiter.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waiting {
            waiting.end();
        }
        if self.waiter.granted.get() {
            self.owner.release();
        } else {
            self.owner.waiting.borrow_mut().retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
        }
    }
}

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
