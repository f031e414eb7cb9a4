//! The open connections of a worker, and how they are told to end.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
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

/// All connections of a worker; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Connections(Rc<Shared>);

struct Shared {
    phase: Cell<Phase>,
    next: Cell<u64>,
    /// The task of each connection; a connection removes itself when it ends, by dropping its [`Guard`].
    tasks: RefCell<HashMap<u64, Waker>>,
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
    pub(crate) fn register(&self, waker: Waker) -> Guard {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        self.0.tasks.borrow_mut().insert(id, waker);
        Guard { connections: self.clone(), id }
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.set(self.0.phase.get().max(phase));
        let tasks: Vec<Waker> = self.0.tasks.borrow().values().cloned().collect();
        tasks.into_iter().for_each(Waker::wake);
        self.wake_watchers();
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
