//! Who may run application code. With one thread it is one at a time, though a few of its requests are answered on
//! threads beside it, because they may wait for their clients ([`super::aside`]).

use crate::capi;
use pyo3::prelude::*;
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// One at a time, in the order of coming; or, without a lock, as many as there are threads.
#[derive(Clone, Default)]
pub(super) struct Gate(Option<Arc<Lock>>);

struct Lock {
    /// One permit, which is taken and given back by hand: a thread gives it back in the middle of a call.
    turns: Semaphore,
    /// Which thread of the pool runs application code; zero if it is the loop's, or nobody.
    holder: AtomicU64,
    /// How often a thread of the pool has had its turn.
    count: AtomicU64,
}

impl Gate {
    /// One at a time.
    pub(super) fn single() -> Self {
        Self(Some(Arc::new(Lock {
            turns: Semaphore::new(1),
            holder: AtomicU64::new(0),
            count: AtomicU64::new(0),
        })))
    }

    /// Waits on the loop's thread until no other thread runs application code.
    pub(super) async fn enter(&self) -> Entered {
        if let Some(lock) = &self.0
            && let Ok(permit) = lock.turns.acquire().await
        {
            permit.forget();
            return Entered(self.clone());
        }
        Entered(Self(None))
    }

    /// Enters at once, if nobody is inside.
    pub(super) fn try_enter(&self) -> Option<Entered> {
        if let Some(lock) = &self.0 {
            lock.turns.try_acquire().ok()?.forget();
        }
        Some(Entered(self.clone()))
    }

    /// Waits on a thread of the pool, without the GIL.
    pub(super) fn enter_thread(&self, py: Python<'_>) -> Entered {
        if let Some(lock) = &self.0 {
            lock.take(py);
        }
        Entered(self.clone())
    }

    /// Has the loop stand still with a thread that keeps its turn for longer than `limit`, for ever: nobody else runs
    /// application code meanwhile, and the master is to see that, as if the call were in place.
    pub(super) async fn stand_still_with_threads(self, limit: Duration) {
        let Some(lock) = &self.0 else { return };
        let (mut turn, mut since) = (None, Instant::now());
        loop {
            tokio::time::sleep(limit / 4).await;
            let now = lock.turn();
            if now.is_none() || now != turn {
                (turn, since) = (now, Instant::now());
            } else if since.elapsed() >= limit {
                Python::attach(|py| drop(self.enter_thread(py)));
            }
        }
    }

    /// Lets others run while this thread waits for something else, without the GIL.
    pub(super) fn outside<R: Send>(&self, py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(lock) if lock.holder.load(Relaxed) == capi::thread_ident() => {
                lock.give_back();
                let result = py.detach(wait);
                lock.take(py);
                result
            }
            // Without a lock, or on a thread of the application's own, which holds none.
            _ => py.detach(wait),
        }
    }

    /// Lets those run who wait, if any do.
    pub(super) fn step_aside(&self, py: Python<'_>) {
        if let Some(lock) = &self.0
            && lock.holder.load(Relaxed) == capi::thread_ident()
        {
            lock.give_back();
            lock.take(py);
        }
    }
}

impl Lock {
    fn take(&self, py: Python<'_>) {
        match self.turns.try_acquire() {
            Ok(permit) => permit.forget(),
            // It is never closed.
            Err(_) => py.detach(|| {
                if let Ok(permit) = block_on(self.turns.acquire()) {
                    permit.forget();
                }
            }),
        }
        self.holder.store(capi::thread_ident(), Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    /// Which turn a thread of the pool has had for long, perhaps.
    fn turn(&self) -> Option<u64> {
        (self.holder.load(Relaxed) != 0).then(|| self.count.load(Relaxed))
    }

    fn give_back(&self) {
        self.holder.store(0, Relaxed);
        self.turns.add_permits(1);
    }
}

/// The right to run application code, given back when dropped.
pub(super) struct Entered(Gate);

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(lock) = &self.0.0 {
            lock.give_back();
        }
    }
}

/// Waits for a future on a thread that has no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
