//! The application and what every request of it needs.

use super::{
    closing::Closer,
    gate::{Entered, Gate},
    names::Names,
    pool::Jobs,
    threads::Threads,
};
use hostler_settings::Wsgi;
use pyo3::prelude::*;
use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// The application and what every request of it needs.
pub(crate) struct Shared {
    pub(super) app: Py<PyAny>,
    pub(super) names: Names,
    pub(super) root_path: String,
    pub(super) limits: Wsgi,
    stall_timeout: Option<Duration>,
    /// The pool; `None` calls in place.
    pool: Option<Threads>,
    /// In place: threads for the few requests that may wait for their clients, once one needed them.
    extra: OnceCell<Option<Threads>>,
    /// In place: the application has used `write()`, whose bytes cannot be sent while the loop's thread calls it.
    pub(super) writes: Arc<AtomicBool>,
    pub(super) closer: Arc<Closer>,
    closer_runs: Cell<bool>,
}

impl Shared {
    pub(super) fn new(
        app: Bound<'_, PyAny>,
        root_path: String,
        limits: Wsgi,
        stall_timeout: Option<Duration>,
        pool: Option<(Jobs, usize)>,
    ) -> Self {
        let names = Names::new(app.py());
        Self {
            app: app.unbind(),
            names,
            root_path,
            limits,
            stall_timeout,
            pool: pool.map(|(jobs, count)| Threads::pool(jobs, count)),
            extra: OnceCell::new(),
            writes: Arc::default(),
            closer: Arc::default(),
            closer_runs: Cell::new(false),
        }
    }

    /// Whether applications are called on threads of a pool.
    pub(super) fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// In place: whether the application has used `write()`.
    pub(super) fn uses_write(&self) -> bool {
        self.writes.load(Relaxed)
    }

    /// The right to run application code on the loop's thread.
    pub(super) fn gate(&self) -> Gate {
        match self.extra.get() {
            Some(Some(threads)) => threads.gate.clone(),
            _ => Gate::default(),
        }
    }

    /// Waits for that right.
    pub(super) async fn enter(&self) -> Entered {
        let gate = self.gate();
        match gate.try_enter() {
            Some(entered) => entered,
            None => Box::pin(gate.enter()).await,
        }
    }

    /// Threads on which requests may wait for their clients.
    pub(super) fn threads_for_waiting(&self) -> Option<&Threads> {
        if let Some(pool) = &self.pool {
            return Some(pool);
        }
        let begin =
            || match Python::attach(|py| Threads::extra(py, self.limits.blocking_threads_idle_timeout)) {
                Ok(threads) => {
                    if let Some(limit) = self.stall_timeout {
                        tokio::task::spawn_local(threads.gate.clone().block_loop_with_threads(limit));
                    }
                    Some(threads)
                }
                Err(error) => {
                    tracing::error!(%error, "cannot start a thread for a WSGI request");
                    None
                }
            };
        self.extra.get_or_init(begin).as_ref()
    }

    /// Threads that call the application; `None` calls it in place.
    pub(super) fn threads_for_calls(&self) -> Option<&Threads> {
        if self.has_pool() || self.uses_write() { self.threads_for_waiting() } else { None }
    }

    /// Starts the task that closes iterables; the first connection does, because that needs a runtime.
    pub(super) fn start_closer(self: &Rc<Self>) {
        if !self.closer_runs.replace(true) {
            let (closer, shared) = (Arc::clone(&self.closer), Rc::downgrade(self));
            let gate = move || shared.upgrade().map(|shared| shared.gate()).unwrap_or_default();
            tokio::task::spawn_local(closer.run(gate));
        }
    }
}
