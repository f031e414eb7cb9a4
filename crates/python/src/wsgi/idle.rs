//! `--blocking-threads-idle-timeout`: threads that had nothing to do for so long end, all but one, and come back when requests
//! need them. Nothing of this is there if the option is not set.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many threads a pool has and may have.
pub(super) struct Idle {
    /// How long a thread waits for a request.
    pub(super) timeout: Duration,
    most: usize,
    // It is held for a moment, by threads that do not wait for the GIL meanwhile.
    count: Mutex<Count>,
}

struct Count {
    /// Threads that run, or are about to.
    alive: usize,
    /// Threads that wait for a request, less the requests that wait for a thread.
    free: isize,
}

impl Idle {
    /// That of a pool with so many threads, all of which are started.
    pub(super) fn new(timeout: Duration, most: usize) -> Self {
        Self { timeout, most, count: Mutex::new(Count { alive: most, free: 0 }) }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread begins to wait for a request.
    pub(super) fn thread_waits(&self) {
        self.count().free += 1;
    }

    /// A request is put into the queue. Whether a thread is to be started for it.
    pub(super) fn request_waits(&self) -> bool {
        let mut count = self.count();
        count.free -= 1;
        let is_needed = count.free < 0 && count.alive < self.most;
        if is_needed {
            count.alive += 1;
        }
        is_needed
    }

    /// A thread could not be started.
    pub(super) fn not_started(&self) {
        self.count().alive -= 1;
    }

    /// A thread has waited for too long. Whether it is to end: one stays, and one that a request counts on as well.
    pub(super) fn may_end(&self) -> bool {
        let mut count = self.count();
        let may_end = count.alive > 1 && count.free > 0;
        if may_end {
            count.alive -= 1;
            count.free -= 1;
        }
        may_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(threads: usize) -> Idle {
        let idle = Idle::new(Duration::from_secs(1), threads);
        (0..threads).for_each(|_| idle.thread_waits());
        idle
    }

    #[test]
    fn all_threads_but_one_end_and_come_back_as_requests_need_them() {
        let idle = waiting(3);
        assert!(idle.may_end() && idle.may_end() && !idle.may_end());
        // The one that is left takes the first.
        assert!(
            !idle.request_waits() && idle.request_waits() && idle.request_waits() && !idle.request_waits()
        );
    }

    #[test]
    fn a_thread_that_a_request_counts_on_stays() {
        let idle = waiting(2);
        assert!(!idle.request_waits());
        assert!(idle.may_end(), "there is another one");
        assert!(!idle.may_end());
        assert!(idle.request_waits());
        idle.not_started();
        assert!(idle.request_waits(), "it is tried again");
    }
}
