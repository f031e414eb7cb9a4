//! The open connections of a worker, and how they are told to end: at a drain, or for sending nothing.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

/// How far the worker has got towards its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Connections are accepted and kept alive.
    Serving,
    /// Nothing new is accepted; requests in flight are answered, idle connections are closed.
    Draining,
    /// Connections on which no request is under way are dropped, also those that never sent one.
    Closing,
}

/// What a connection is doing, for those who look at it from outside.
#[derive(Default)]
pub(crate) struct Activity {
    /// Requests whose answers are not sent yet.
    in_flight: Cell<usize>,
    /// Looks of the sweeper since a request was last in flight.
    idle_looks: Cell<u32>,
    expired: Cell<bool>,
}

impl Activity {
    pub(crate) fn request_began(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(crate) fn request_ended(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.idle_looks.set(0);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// The client took too long to send a request's head.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired.get()
    }
}

/// All connections of a worker; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Connections(Rc<Shared>);

struct Shared {
    phase: Cell<Phase>,
    next: Cell<u64>,
    /// The task of each connection; a connection removes itself when it ends, by dropping its [`Guard`].
    tasks: RefCell<HashMap<u64, (Waker, Rc<Activity>)>>,
    /// Who waits for a change of the phase (acceptors) or for the last connection to end.
    watchers: RefCell<Vec<Waker>>,
}

impl Default for Connections {
    fn default() -> Self {
        Self(Rc::new(Shared {
            phase: Cell::new(Phase::Serving),
            next: Cell::new(0),
            tasks: RefCell::default(),
            watchers: RefCell::default(),
        }))
    }
}

impl Connections {
    /// Stops accepting; connections end after the answer that is under way, idle ones at once.
    pub fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Also drops connections that have not sent a request yet.
    pub fn close_unused(&self) {
        self.enter(Phase::Closing);
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// Waits until no connection is open.
    pub async fn all_ended(&self) {
        self.watch(|shared| shared.tasks.borrow().is_empty()).await;
    }

    /// Waits until the drain began.
    pub(crate) async fn drain_began(&self) {
        self.watch(|shared| shared.phase.get() > Phase::Serving).await;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Registers the task of a connection.
    pub(crate) fn register(&self, waker: Waker, activity: Rc<Activity>) -> Guard {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        self.0.tasks.borrow_mut().insert(id, (waker, activity));
        Guard { connections: self.clone(), id }
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.set(self.0.phase.get().max(phase));
        let tasks: Vec<Waker> = self.0.tasks.borrow().values().map(|(waker, _)| waker.clone()).collect();
        tasks.into_iter().for_each(Waker::wake);
        self.wake_watchers();
    }

    /// Ends connections on which no request has been in flight for `limit`, for ever.
    ///
    /// One look at all connections now and then costs less than a timer that is set for every request; in
    /// return a connection may live up to an eighth longer than the limit.
    pub async fn sweep(self, limit: Duration) {
        const LOOKS: u32 = 8;
        let mut looks = tokio::time::interval((limit / LOOKS).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let expired: Vec<Waker> =
                self.0.tasks.borrow().values().filter_map(|task| look(task, LOOKS)).collect();
            expired.into_iter().for_each(Waker::wake);
        }
    }

    fn wake_watchers(&self) {
        let watchers = std::mem::take(&mut *self.0.watchers.borrow_mut());
        watchers.into_iter().for_each(Waker::wake);
    }

    async fn watch(&self, done: impl Fn(&Shared) -> bool) {
        poll_fn(|cx| {
            if done(&self.0) {
                return Poll::Ready(());
            }
            self.0.watchers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Counts a look at a connection; its task, if it is to end.
fn look((waker, activity): &(Waker, Rc<Activity>), most: u32) -> Option<Waker> {
    if !activity.is_idle() {
        return None;
    }
    activity.idle_looks.set(activity.idle_looks.get() + 1);
    if activity.idle_looks.get() <= most {
        return None;
    }
    activity.expired.set(true);
    Some(waker.clone())
}

/// A registered connection; dropping it says that the connection ended.
pub(crate) struct Guard {
    connections: Connections,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.connections.0.tasks.borrow_mut().remove(&self.id);
        if self.connections.phase() > Phase::Serving {
            self.connections.wake_watchers();
        }
    }
}
