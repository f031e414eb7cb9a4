//! The open connections of a worker, and the phase of the worker, by which they end.

use crate::{
    connection::ConnectionHandle,
    limits::{self, connections::FullReports, request::RequestLimits},
    request::{background::Running, refusal::RefusalReports},
};
use hostler_settings::{Http, Limits};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

/// How long clients of idle connections may still send a request when the server stops, and those that are accepted
/// meanwhile: an HTTP/1 connection cannot be closed without the risk that a request is on its way.
pub const IDLE_GRACE: Duration = Duration::from_millis(500);

/// How far the worker is on its way to its exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Connections are accepted and kept alive.
    Serving,
    /// Connections are accepted; each ends with its next response.
    LameDuck,
    /// Nothing is accepted; connections that become idle go to other workers.
    HandingOver,
    /// The accept queue is emptied; each connection ends with its next response.
    Draining,
    /// Idle connections are closed.
    Closing,
}

impl Phase {
    /// Whether the worker accepts no new connections.
    pub(crate) fn is_drain(self) -> bool {
        self >= Self::HandingOver
    }

    /// Whether responses end their connections.
    pub(crate) fn ends_connections(self) -> bool {
        !matches!(self, Self::Serving | Self::HandingOver)
    }
}

/// All connections of a worker; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Connections(Rc<Shared>);

pub(crate) struct Shared {
    phase: Cell<Phase>,
    next_id: Cell<u64>,
    /// How many connections are to go to other workers when they are idle.
    surplus: Cell<usize>,
    /// A connection removes itself when it ends, by dropping its [`Registration`].
    open: RefCell<HashMap<u64, Rc<ConnectionHandle>>>,
    /// Tasks that wait for a change of the phase (acceptors) or for the last connection to end.
    watchers: RefCell<Vec<Waker>>,
    /// What applications still run after their responses.
    pub(crate) background: RefCell<Running>,
    /// How many may be open.
    max_open: usize,
    reports_full: FullReports,
    limits: RequestLimits,
    refusals: RefusalReports,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(&Http::default(), &Limits::default())
    }
}

impl Connections {
    /// No connections yet, with these limits for the requests of each.
    #[must_use]
    pub fn new(http: &Http, limits: &Limits) -> Self {
        Self(Rc::new(Shared {
            phase: Cell::new(Phase::Serving),
            next_id: Cell::new(0),
            surplus: Cell::new(0),
            open: RefCell::default(),
            watchers: RefCell::default(),
            background: RefCell::default(),
            max_open: limits::connections::most(limits),
            reports_full: FullReports::default(),
            limits: RequestLimits::new(http, limits),
            refusals: RefusalReports::default(),
        }))
    }
}

impl Connections {
    /// Keeps serving; each connection ends with its next response.
    pub fn lame_duck(&self) {
        self.enter(Phase::LameDuck);
    }

    /// Leaves so many connections to other workers, as they become idle.
    pub(crate) fn leave(&self, surplus: usize) {
        self.0.surplus.set(surplus);
        if surplus > 0 {
            self.each(ConnectionHandle::wake);
        }
    }

    /// Whether connections are to go to other workers although this one serves.
    pub(crate) fn have_surplus(&self) -> bool {
        self.0.surplus.get() > 0
    }

    /// One has gone.
    pub(crate) fn one_left(&self) {
        self.0.surplus.set(self.0.surplus.get().saturating_sub(1));
    }

    /// Stops accepting; connections go to other workers as they become idle.
    pub fn hand_over(&self) {
        self.enter(Phase::HandingOver);
    }

    /// Stops accepting once the queue is empty; connections end with their next response.
    pub fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Also closes idle connections.
    pub fn close_idle(&self) {
        self.enter(Phase::Closing);
    }

    /// The worker exits: has the access log tell of the requests in flight, which are cut.
    pub fn cut(&self) {
        self.each(ConnectionHandle::cut);
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.borrow().len()
    }

    /// Waits until no connection is open and no background task runs.
    pub async fn all_ended(&self) {
        self.watch(|shared| shared.open.borrow().is_empty() && !shared.has_background()).await;
    }

    /// Waits until the drain begins.
    pub async fn drain_began(&self) {
        self.watch(|shared| shared.phase.get().is_drain()).await;
    }

    /// Whether as many connections are open as may be (`--backpressure`).
    pub(crate) fn is_full(&self) -> bool {
        self.open() >= self.0.max_open
    }

    /// Waits until another connection may be accepted.
    pub(crate) async fn have_room(&self) {
        if self.is_full() {
            self.0.reports_full.tell(self.0.max_open);
            self.watch(|shared| shared.open.borrow().len() < shared.max_open).await;
        }
    }

    pub(crate) fn limits(&self) -> &RequestLimits {
        &self.0.limits
    }

    pub(crate) fn refusals(&self) -> &RefusalReports {
        &self.0.refusals
    }

    pub(crate) fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Counts a connection as open until the registration is dropped.
    pub(crate) fn register(&self, connection: Rc<ConnectionHandle>) -> Registration {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        self.0.open.borrow_mut().insert(id, connection);
        Registration { connections: self.clone(), id }
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.set(self.0.phase.get().max(phase));
        self.each(ConnectionHandle::wake);
        self.wake_watchers();
    }

    pub(crate) fn each(&self, visit: impl Fn(&ConnectionHandle)) {
        self.0.open.borrow().values().for_each(|connection| visit(connection));
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn wake_watchers(&self) {
        let watchers = std::mem::take(&mut *self.0.watchers.borrow_mut());
        watchers.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn watch(&self, done: impl Fn(&Shared) -> bool) {
        poll_fn(|cx| {
            if done(&self.0) {
                return Poll::Ready(());
            }
            let mut watchers = self.0.watchers.borrow_mut();
            // Acceptors poll again for every connection, with the same waker.
            if !watchers.iter().any(|watcher| watcher.will_wake(cx.waker())) {
                watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// A registered connection; dropping it says that the connection ended.
pub(crate) struct Registration {
    connections: Connections,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let was_full = self.connections.is_full();
        let ended = self.connections.0.open.borrow_mut().remove(&self.id);
        drop(ended);
        if was_full || self.connections.phase().is_drain() {
            self.connections.wake_watchers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Connections;
    use std::{
        future::Future,
        pin::pin,
        sync::Arc,
        task::{Context, Wake, Waker},
    };

    struct NoOp;

    impl Wake for NoOp {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_waker_that_is_registered_again_and_again_is_kept_once() {
        let (connections, waker) = (Connections::default(), Waker::from(Arc::new(NoOp)));
        for _ in 0..1000 {
            let began = pin!(connections.drain_began()).poll(&mut Context::from_waker(&waker));
            assert!(began.is_pending());
        }
        assert_eq!(connections.0.watchers.borrow().len(), 1);
        connections.drain();
        assert!(connections.0.watchers.borrow().is_empty());
    }
}
