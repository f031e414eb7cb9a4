//! Threads that may wait for clients: those of the pool, or a few beside the one thread that calls in place.
//!
//! Threads avoid waiting for clients: request bodies are stored before the call, responses are taken off the thread.
//! Two kinds of requests still wait: one that expects a 100 before it sends its body, which the application may refuse
//! unread, and one whose body is too large to be stored. Both read while the application runs and occupy a thread for
//! as long as their clients take. They may borrow half of the threads at most; with one thread they get
//! threads of their own, of which one at a time runs application code ([`Gate`]).

use super::{gate::Gate, pool::Jobs};
use pyo3::prelude::*;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many threads are started beside the one that calls in place when the first request needs one.
const EXTRA_THREADS: usize = 4;

/// A queue of requests, and the threads that serve it.
pub(super) struct Threads {
    pub(super) jobs: Jobs,
    pub(super) gate: Gate,
    /// How many more threads may be lent to requests that wait for their clients.
    loans: Arc<Semaphore>,
}

impl Threads {
    /// The pool.
    pub(super) fn pool(jobs: Jobs, count: usize) -> Self {
        Self { jobs, gate: Gate::default(), loans: loans(count) }
    }

    /// Threads beside the one that calls in place.
    pub(super) fn extra(py: Python<'_>, idle_timeout: Option<Duration>) -> PyResult<Self> {
        let idle_timeout = idle_timeout.map(|limit| limit.as_secs_f64());
        let jobs = py.import("hostler._wsgi")?.call_method1("start_pool", (EXTRA_THREADS, idle_timeout))?;
        let jobs = jobs.cast::<Jobs>()?.get().clone();
        Ok(Self { jobs, gate: Gate::single(), loans: loans(EXTRA_THREADS) })
    }

    /// A thread for a request that waits for its client, if there is one left.
    pub(super) fn try_lend(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.loans).try_acquire_owned().ok()
    }

    /// A thread for a request that waits for its client, as soon as there is one.
    pub(super) async fn lend(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.loans).acquire_owned().await.ok()
    }
}

fn loans(threads: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((threads / 2).max(1)))
}
