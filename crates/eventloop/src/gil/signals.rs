//! Python's signal handlers, which run when the loop's thread stops waiting.

use pyo3::prelude::*;
use std::{cell::RefCell, task::Waker};

thread_local! {
    /// What a Python signal handler raised while the thread was parked.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// The driver's waker, woken when a handler raises.
    static ON_RAISED: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Runs the handlers set with `signal.signal` whose signals have arrived, as Python's own waits do (PEP 475).
pub(super) fn check() {
    if let Err(raised) = Python::attach(|py| py.check_signals()) {
        RAISED.replace(Some(raised));
        if let Some(waker) = ON_RAISED.take() {
            waker.wake();
        }
    }
}

/// What a signal handler raised while the thread was parked; otherwise `waker` is woken when one does.
pub(crate) fn raised_by_signal(waker: &Waker) -> Option<PyErr> {
    let raised = RAISED.take();
    if raised.is_none() {
        ON_RAISED.with_borrow_mut(|slot| match slot {
            Some(kept) if kept.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        });
    }
    raised
}
