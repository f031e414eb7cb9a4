//! The right to run application code. With one thread only one call runs at a time, although a few requests are called
//! on extra threads because they may wait for their clients ([`super::threads`]).

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

/// One call at a time, first come, first served; without a lock, as many as there are threads.
#[derive(Clone, Default)]
pub(super) struct Gate(Option<Arc<Lock>>);

struct Lock {
    /// One permit, acquired and released by hand, because a thread releases it in the middle of a call.
    turns: Semaphore,
    /// The pool thread that runs application code; zero if none does.
    holder: AtomicU64,
    /// How often a pool thread has entered.
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

    /// Enters if no other thread is inside.
    pub(super) fn try_enter(&self) -> Option<Entered> {
        if let Some(lock) = &self.0 {
            lock.turns.try_acquire().ok()?.forget();
        }
        Some(Entered(self.clone()))
    }

    /// Waits on a thread of the pool, without the GIL.
    pub(super) fn enter_thread(&self, py: Python<'_>) -> Entered {
        if let Some(lock) = &self.0 {
            lock.acquire(py);
        }
        Entered(self.clone())
    }

    /// Blocks the loop while a thread stays inside for longer than `limit`: no other application code runs
    /// meanwhile, and the master must see that stall as it does for a call in place. Never returns.
    pub(super) async fn block_loop_with_threads(self, limit: Duration) {
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

    /// Leaves while this thread waits for something else, without the GIL.
    pub(super) fn outside<R: Send>(&self, py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(lock) if lock.holder.load(Relaxed) == capi::thread_ident() => {
                lock.release();
                let result = py.detach(wait);
                lock.acquire(py);
                result
            }
            // Without a lock, or on a thread of the application's own, which holds none.
            _ => py.detach(wait),
        }
    }

    /// Lets a waiting thread run, if there is one.
    pub(super) fn yield_now(&self, py: Python<'_>) {
        if let Some(lock) = &self.0
            && lock.holder.load(Relaxed) == capi::thread_ident()
        {
            lock.release();
            lock.acquire(py);
        }
    }
}

impl Lock {
    fn acquire(&self, py: Python<'_>) {
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

    /// The entry of the pool thread that is inside now.
    fn turn(&self) -> Option<u64> {
        (self.holder.load(Relaxed) != 0).then(|| self.count.load(Relaxed))
    }

    fn release(&self) {
        self.holder.store(0, Relaxed);
        self.turns.add_permits(1);
    }
}

/// The right to run application code, released when dropped.
pub(super) struct Entered(Gate);

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(lock) = &self.0.0 {
            lock.release();
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
