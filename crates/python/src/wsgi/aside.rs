//! Threads that may wait for clients: those of the pool, or a few beside the one thread that calls in place.
//!
//! No thread waits for a client if that can be helped: bodies are stored before the call, answers are taken off the
//! thread. What is left is a request that expects a 100 before it sends its body, which the application may refuse
//! unseen, and a body that is too large to be stored. Both read while the application runs, and so occupy a thread for
//! as long as their clients please; so at most half of the threads may be lent to them, and with one thread
//! they get threads of their own, of which one at a time runs application code ([`Gate`]).

use super::{gate::Gate, pool::Jobs};
use pyo3::prelude::*;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many threads stand beside the one that calls in place, from the first request on that needs one.
const BESIDE_ONE: usize = 4;

/// A queue of requests, and the threads that serve it.
pub(super) struct Threads {
    pub(super) jobs: Jobs,
    pub(super) gate: Gate,
    /// How many threads may still be lent to requests that wait for their clients.
    loans: Arc<Semaphore>,
}

impl Threads {
    /// The pool.
    pub(super) fn pool(jobs: Jobs, count: usize) -> Self {
        Self { jobs, gate: Gate::default(), loans: loans(count) }
    }

    /// Threads beside the one that calls in place.
    pub(super) fn beside(py: Python<'_>) -> PyResult<Self> {
        let jobs = py.import("hostler._wsgi")?.call_method1("start_pool", (BESIDE_ONE,))?;
        let jobs = jobs.cast::<Jobs>()?.get().clone();
        Ok(Self { jobs, gate: Gate::single(), loans: loans(BESIDE_ONE) })
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
