//! Writing what many connections have to say in one go, at the end of a turn of the loop.
//!
//! A write to a socket whose peer sleeps wakes that peer, and on loopback or a busy proxy the wake-up is what
//! costs most. When the answers of all connections that were ready are written one right after another, the
//! peer is awake from the second on. Redis writes its replies like that, before it sleeps.
//!
//! A connection's bytes wait in its [`Outbox`](crate::outbox::Outbox) until the flusher runs, which is after the connections that
//! were ready with it, or until the first of them has waited for [`LONGEST_WAIT`]. Large writes do not wait.
//!
//! If the application blocks the thread meanwhile, the flusher cannot run. Another thread may then send what is
//! [`Overdue`].

use hostler_sys::{clock, stream::send_now};
use hostler_wire::Page;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    os::fd::{BorrowedFd, RawFd},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The longest that an answer waits for others, beyond the turn of the connection that notices. It waits only
/// while its worker is busy with them. With a tenth of this, Starlette routes are a quarter slower.
const LONGEST_WAIT: u64 = Duration::from_millis(1).as_nanos() as u64;
/// An answer that has waited for this long waits for a thread that is blocked.
const OVERDUE: u64 = Duration::from_millis(3).as_nanos() as u64;

/// The outboxes that have something to send; one for each worker, cheap to clone.
#[derive(Clone)]
pub(crate) struct Batch(Rc<Waiting>);

type Outboxes = Vec<Rc<dyn Flush>>;

struct Waiting {
    outboxes: RefCell<Outboxes>,
    overdue: Overdue,
    /// The allocations of the last flush, for the next one.
    spare: (Cell<Outboxes>, Cell<Vec<Entry>>),
    flusher: RefCell<Option<Waker>>,
    /// Told of every flush: the loop turns.
    page: &'static Page,
}

/// An outbox, as the batch sees it.
pub(crate) trait Flush {
    /// It is no longer in the batch: sends these bytes and what came since, or leaves it to the connection's task.
    fn flush(&self, bytes: Vec<u8>, cx: &mut Context<'_>);
}

/// What an outbox has in the batch.
pub(crate) struct Entry {
    /// The socket, which the batch keeps open by keeping its outbox.
    pub(crate) descriptor: RawFd,
    pub(crate) bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn new(page: &'static Page) -> Self {
        let (outboxes, flusher) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Waiting {
            outboxes,
            overdue: Overdue::default(),
            spare: Default::default(),
            flusher,
            page,
        }))
    }

    /// What a thread that is not blocked may do for this one.
    pub(crate) fn overdue(&self) -> Overdue {
        self.0.overdue.clone()
    }

    /// Writes whenever there is something, for ever.
    pub(crate) async fn flush_for_ever(self) {
        poll_fn(|cx| {
            self.flush(cx);
            let mut flusher = self.0.flusher.borrow_mut();
            if !flusher.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                *flusher = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// How many outboxes are in the batch, and so the place of the next one.
    pub(crate) fn len(&self) -> usize {
        self.0.outboxes.borrow().len()
    }

    /// Has an outbox flushed soon.
    pub(crate) fn add(&self, outbox: Rc<dyn Flush>, entry: Entry, cx: &mut Context<'_>) {
        self.0.outboxes.borrow_mut().push(outbox);
        let now = clock::now();
        match self.0.overdue.add(entry, now) {
            0 => {
                self.0.page.turn(now);
                if let Some(flusher) = &*self.0.flusher.borrow() {
                    flusher.wake_by_ref();
                }
            }
            since if now - since >= LONGEST_WAIT => {
                self.0.page.turn(now);
                self.flush(cx);
            }
            _ => {}
        }
    }

    /// The bytes of the outbox in this place, which stays in the batch.
    pub(crate) fn take_back(&self, place: usize) -> Vec<u8> {
        self.0
            .overdue
            .entries()
            .get_mut(place)
            .map(|entry| std::mem::take(&mut entry.bytes))
            .unwrap_or_default()
    }

    fn flush(&self, cx: &mut Context<'_>) {
        let spare = &self.0.spare;
        let mut outboxes = self.0.outboxes.replace(spare.0.take());
        let mut entries = self.0.overdue.replace(spare.1.take());
        for (outbox, entry) in outboxes.iter().zip(&mut entries) {
            outbox.flush(std::mem::take(&mut entry.bytes), cx);
        }
        outboxes.clear();
        entries.clear();
        spare.0.set(outboxes);
        spare.1.set(entries);
    }
}

/// Answers that wait in their outboxes, for a thread that sends them while the loop's own is blocked.
#[derive(Clone, Default)]
pub struct Overdue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// When the first of them came, by the monotonic clock in nanoseconds; zero if there is none.
    since: AtomicU64,
    /// One for each outbox of the batch, in its order. The one thing of connections that another thread touches.
    entries: Mutex<Vec<Entry>>,
}

impl Overdue {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the first one waits, before this one came; zero if there was none.
    fn add(&self, entry: Entry, now: u64) -> u64 {
        self.entries().push(entry);
        let since = self.0.since.load(Relaxed);
        if since == 0 {
            self.0.since.store(now, Relaxed);
        }
        since
    }

    /// Leaves `none`, which is empty.
    fn replace(&self, none: Vec<Entry>) -> Vec<Entry> {
        self.0.since.store(0, Relaxed);
        std::mem::replace(&mut *self.entries(), none)
    }

    /// Whether any answer waits for the loop.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.since.load(Relaxed) == 0
    }

    /// Sends the answers that have waited for some milliseconds, from any thread.
    pub fn send(&self) {
        let since = self.0.since.load(Relaxed);
        if since == 0 || clock::now().saturating_sub(since) < OVERDUE {
            return;
        }
        self.entries().iter_mut().for_each(Entry::send);
    }
}

impl Entry {
    /// Sends what can be sent at once. An error is met again by the loop.
    fn send(&mut self) {
        #[expect(unsafe_code, reason = "the socket's owner is another thread")]
        // SAFETY: the entry is in the batch, whose outbox owns the socket and is kept beside it.
        let socket = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        if let Ok(sent) = send_now(socket, &self.bytes) {
            self.bytes.drain(..sent);
        }
    }
}
