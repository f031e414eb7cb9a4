//! Calling `close()` of an application's iterable, whatever happened before (PEP 3333).
//!
//! A pool thread calls it after the last piece of the response. In place that would delay this piece and those of other
//! connections, so a task calls it after they were written.

use super::{facts, gate::Gate, turn};
use crate::logging::request_error;
use hostler_http::Began;
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Calls `close()` when dropped, or has a [`Closer`] call it.
#[derive(Default)]
pub(crate) struct Closing {
    result: Option<Iterable>,
    later: Option<Arc<Closer>>,
}

/// What an application returned, and for which request.
struct Iterable {
    result: Py<PyAny>,
    environ: Py<PyDict>,
    began: Began,
}

impl Closing {
    /// For what an application returned; lists and tuples have no `close()`.
    pub(super) fn of(
        result: &Bound<'_, PyAny>,
        (environ, began): (&Bound<'_, PyDict>, Began),
        later: Option<&Arc<Closer>>,
    ) -> Self {
        if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
            return Self::default();
        }
        let environ = environ.clone().unbind();
        let result = Iterable { result: result.clone().unbind(), environ, began };
        Self { result: Some(result), later: later.cloned() }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        match self.later.take() {
            Some(closer) => closer.add(result),
            None => close(result),
        }
    }
}

fn close(Iterable { result, environ, began }: Iterable) {
    Python::attach(|py| {
        let result = result.into_bound(py);
        let closed = match result.getattr_opt(intern!(py, "close")) {
            Ok(Some(close)) => close.call0().map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = closed {
            let what = "close() of the WSGI application's iterable raised";
            request_error(py, what, &error, &facts::of(environ.bind(py), began));
        }
    });
}

/// Iterables to be closed once the pieces that are ready were sent. Dropping it at the worker's exit closes the rest.
#[derive(Default)]
pub(super) struct Closer(Mutex<Due>);

#[derive(Default)]
struct Due {
    results: Vec<Iterable>,
    task: Option<Waker>,
}

impl Closer {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, result: Iterable) {
        let task = {
            let mut due = self.lock();
            due.results.push(result);
            due.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Closes iterables as they come; never returns.
    pub(super) async fn run(self: Arc<Self>, gate: impl Fn() -> Gate) {
        loop {
            poll_fn(|cx| {
                let mut due = self.lock();
                if !due.results.is_empty() {
                    return Poll::Ready(());
                }
                due.task = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            turn::after_ready_tasks().await;
            let _entered = gate().enter().await;
            let due = std::mem::take(&mut self.lock().results);
            due.into_iter().for_each(close);
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        std::mem::take(&mut self.lock().results).into_iter().for_each(close);
    }
}
