//! Coalesced writes: what many connections have to send is written in one go, at the end of a turn of the loop.
//!
//! A write to a socket whose peer sleeps wakes that peer, and on loopback or with a busy proxy the wake-up is what
//! costs most. When the responses of all connections that were ready are written one right after another, the peer is
//! awake from the second on. Redis writes its replies like that, before it sleeps.
//!
//! The bytes of a connection wait in its [`Outbox`](super::outbox::Outbox) until the flusher runs, which is after the
//! connections that were ready with it, or until the first of them has waited for [`MAX_DELAY_NANOS`]. Large writes do
//! not wait. If the application blocks the thread meanwhile, the flusher cannot run; another thread may then send what
//! is [`Overdue`].

pub use super::overdue::Overdue;

pub(super) use super::overdue::Entry;
use hostler_sys::clock;
use hostler_wire::Page;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The longest that a response waits for others, beyond the turn of the connection that notices. It waits only while
/// its worker is busy with them. With a tenth of this, Starlette routes are a quarter slower.
const MAX_DELAY_NANOS: u64 = Duration::from_millis(1).as_nanos() as u64;

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
    /// Records every flush: the loop turns.
    page: &'static Page,
}

/// An outbox, as the batch sees it.
pub(super) trait Flush {
    /// It is no longer in the batch: sends these bytes and what came since, or leaves it to the connection's task.
    fn flush(&self, bytes: Vec<u8>, cx: &mut Context<'_>);
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

    /// What another thread may send while this one is blocked.
    pub(crate) fn overdue(&self) -> Overdue {
        self.0.overdue.clone()
    }

    /// Writes whenever there is something; never returns.
    pub(crate) async fn run_flusher(self) {
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

    /// How many outboxes are in the batch, and so the index of the next one.
    pub(super) fn len(&self) -> usize {
        self.0.outboxes.borrow().len()
    }

    /// Has an outbox flushed soon.
    pub(super) fn add(&self, outbox: Rc<dyn Flush>, entry: Entry, cx: &mut Context<'_>) {
        self.0.outboxes.borrow_mut().push(outbox);
        let now = clock::now();
        match self.0.overdue.add(entry, now) {
            0 => {
                self.0.page.turn(now);
                if let Some(flusher) = &*self.0.flusher.borrow() {
                    flusher.wake_by_ref();
                }
            }
            since if now - since >= MAX_DELAY_NANOS => {
                self.0.page.turn(now);
                self.flush(cx);
            }
            _ => {}
        }
    }

    /// How many bytes of the outbox with this index wait.
    pub(super) fn waiting(&self, index: usize) -> usize {
        self.0.overdue.entries().get(index).map_or(0, |entry| entry.bytes.len())
    }

    /// The bytes of the outbox with this index, which stays in the batch.
    pub(super) fn take_back(&self, index: usize) -> Vec<u8> {
        self.0
            .overdue
            .entries()
            .get_mut(index)
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
