//! Responses that wait for the end of a turn while the application blocks the loop: another thread may send them.

use hostler_sys::{clock, stream::send_now};
use std::{
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A response that has waited for this long waits for a thread that is blocked.
const OVERDUE_AFTER_NANOS: u64 = Duration::from_millis(3).as_nanos() as u64;

/// The bytes of the outboxes in the batch, for a thread that sends them while the loop's own is blocked.
#[derive(Clone, Default)]
pub struct Overdue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// When the first of them came, in nanoseconds of the monotonic clock; zero if there is none.
    since_nanos: AtomicU64,
    /// One for each outbox of the batch, in its order. The one part of connections that another thread touches.
    entries: Mutex<Vec<Entry>>,
}

/// What an outbox has in the batch.
pub(super) struct Entry {
    /// The socket, which the batch keeps open by keeping its outbox.
    pub(super) descriptor: RawFd,
    pub(super) bytes: Vec<u8>,
}

impl Overdue {
    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the first entry before this one waits; zero if there was none.
    pub(super) fn add(&self, entry: Entry, now: u64) -> u64 {
        self.entries().push(entry);
        let since = self.0.since_nanos.load(Relaxed);
        if since == 0 {
            self.0.since_nanos.store(now, Relaxed);
        }
        since
    }

    /// Takes all entries, and leaves `empty`.
    pub(super) fn replace(&self, empty: Vec<Entry>) -> Vec<Entry> {
        self.0.since_nanos.store(0, Relaxed);
        std::mem::replace(&mut *self.entries(), empty)
    }

    /// Whether no response waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.since_nanos.load(Relaxed) == 0
    }

    /// Sends the responses that have waited for some milliseconds, from any thread.
    pub fn send(&self) {
        let since = self.0.since_nanos.load(Relaxed);
        if since == 0 || clock::now().saturating_sub(since) < OVERDUE_AFTER_NANOS {
            return;
        }
        self.entries().iter_mut().for_each(Entry::send);
    }
}

impl Entry {
    /// Sends what the socket takes at once. The loop meets any error again.
    fn send(&mut self) {
        #[expect(unsafe_code, reason = "the socket's owner is another thread")]
        // SAFETY: the entry is in the batch, whose outbox owns the socket and is kept beside it.
        let socket = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        if let Ok(sent) = send_now(socket, &self.bytes) {
            self.bytes.drain(..sent);
        }
    }
}
