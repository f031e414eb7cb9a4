//! How long a request has waited in this process: for its turn, and for a thread. Not while its body arrives.

use hostler_sys::clock;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Where it is noted, on one thread after the other. Found among the request's extensions, if the access log asks for it and the
/// application says that requests queue ([`App::queues`](crate::App::queues)).
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// In nanoseconds, until it began to wait for the last time.
    waited: AtomicU64,
    /// When that was, if it waits.
    since: AtomicU64,
}

impl Waiting {
    /// Of a request that waits from its beginning on.
    pub(crate) fn since(began: u64) -> Self {
        let this = Self::default();
        this.0.since.store(began, Relaxed);
        this
    }

    /// It waits from now on, unless it does already.
    pub fn begin(&self) {
        let _ = self.0.since.compare_exchange(0, clock::now(), Relaxed, Relaxed);
    }

    /// It waits no more.
    pub fn end(&self) {
        self.end_at(clock::now());
    }

    /// As [`Waiting::end`]; for how long it has waited, in nanoseconds.
    pub(crate) fn end_at(&self, now: u64) -> u64 {
        let since = self.0.since.swap(0, Relaxed);
        let more = if since == 0 { 0 } else { now.saturating_sub(since) };
        self.0.waited.fetch_add(more, Relaxed) + more
    }
}

#[cfg(test)]
mod tests {
    use super::Waiting;

    #[test]
    fn what_lies_between_two_waits_is_not_counted() {
        let waiting = Waiting::since(100);
        assert_eq!(waiting.end_at(130), 30);
        assert_eq!(waiting.end_at(1000), 30, "it did not wait");
        waiting.0.since.store(2000, std::sync::atomic::Ordering::Relaxed);
        waiting.begin();
        assert_eq!(waiting.end_at(2005), 35, "it waited already");
    }
}
