//! The open connections of a worker, and how they are told to end: at a drain, or for keeping the server waiting.

use crate::{
    connection::{ConnectionState, WaitsFor},
    work::UnderWay,
};
use hostler_wire::HttpSettings;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior};

/// How long a client may still send after its connection's last answer. Closing earlier would reset the connection, and
/// the client might lose the answer (RFC 9112 §9.6).
const GOODBYE: Duration = Duration::from_secs(5);
/// How often connections are looked at within the shortest of their limits.
const LOOKS: u32 = 8;
/// A connection on which nothing was said in one to two of these rests.
const REST: Duration = Duration::from_millis(500);

/// How far the worker has got towards its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Connections are accepted and kept alive.
    Serving,
    /// Connections are accepted; each ends with its next answer.
    LameDuck,
    /// Nothing is accepted; connections that become idle go to other workers.
    HandingOver,
    /// The accept queue is emptied; each connection ends with its next answer.
    Draining,
    /// Connections on which no request is under way are dropped.
    Closing,
}

impl Phase {
    /// Whether the worker accepts no more connections that come from now on.
    pub(crate) fn is_drain(self) -> bool {
        self >= Self::HandingOver
    }

    /// Whether answers are to end their connections.
    pub(crate) fn ends_connections(self) -> bool {
        !matches!(self, Self::Serving | Self::HandingOver)
    }
}

/// All connections of a worker; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Connections(Rc<Shared>);

pub(crate) struct Shared {
    phase: Cell<Phase>,
    next: Cell<u64>,
    /// A connection removes itself when it ends, by dropping its [`Guard`].
    open: RefCell<HashMap<u64, Rc<ConnectionState>>>,
    /// Who waits for a change of the phase (acceptors) or for the last connection to end.
    watchers: RefCell<Vec<Waker>>,
    /// What applications go on with after their answers.
    pub(crate) works: RefCell<UnderWay>,
}

impl Default for Connections {
    fn default() -> Self {
        Self(Rc::new(Shared {
            phase: Cell::new(Phase::Serving),
            next: Cell::new(0),
            open: RefCell::default(),
            watchers: RefCell::default(),
            works: RefCell::default(),
        }))
    }
}

impl Connections {
    /// Serves on, but each connection ends with its next answer.
    pub fn lame_duck(&self) {
        self.enter(Phase::LameDuck);
    }

    /// Stops accepting; idle connections go to other workers, the others after the answer under way.
    pub fn hand_over(&self) {
        self.enter(Phase::HandingOver);
    }

    /// Stops accepting once the queue is empty; connections end after their next answer.
    pub fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Also drops connections on which no request is under way.
    pub fn close_idle(&self) {
        self.enter(Phase::Closing);
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.borrow().len()
    }

    /// Waits until no connection is open and no work under way.
    pub async fn all_ended(&self) {
        self.watch(|shared| shared.open.borrow().is_empty() && !shared.has_work()).await;
    }

    /// Waits until the drain began.
    pub async fn drain_began(&self) {
        self.watch(|shared| shared.phase.get().is_drain()).await;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn register(&self, connection: Rc<ConnectionState>) -> Guard {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        self.0.open.borrow_mut().insert(id, connection);
        Guard { connections: self.clone(), id }
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.set(self.0.phase.get().max(phase));
        self.each(ConnectionState::wake);
        self.wake_watchers();
    }

    fn each(&self, visit: impl Fn(&ConnectionState)) {
        self.0.open.borrow().values().for_each(|connection| visit(connection));
    }

    /// Ends connections whose clients keep the server waiting for too long, for ever.
    ///
    /// One look at all connections now and then costs less than timers that are set for every request; in return
    /// a client may have up to a quarter more than its time. Looks are counted, not seconds: while the application
    /// blocks the thread, or the machine stands still, no client can be heard.
    pub async fn sweep(self, settings: HttpSettings) {
        let limits = Limits::new(&settings);
        let mut looks = every(limits.interval);
        loop {
            looks.tick().await;
            self.each(|connection| connection.look(|waits_for| limits.looks(waits_for)));
        }
    }

    /// Has connections rest on which nothing was said for half a second or more, for ever.
    pub async fn quieten(self) {
        let mut looks = every(REST);
        loop {
            looks.tick().await;
            self.each(ConnectionState::listen);
        }
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
            // Acceptors ask again for every connection, with the same waker.
            if !watchers.iter().any(|watcher| watcher.will_wake(cx.waker())) {
                watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

fn every(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// How long clients may keep the server waiting, and how often to look.
struct Limits {
    head: Duration,
    body: Option<Duration>,
    reader: Option<Duration>,
    interval: Duration,
}

impl Limits {
    fn new(settings: &HttpSettings) -> Self {
        let HttpSettings {
            header_read_timeout: head, body_read_timeout: body, write_timeout: reader, ..
        } = *settings;
        let shortest = [Some(head), body, reader, Some(GOODBYE)].into_iter().flatten().min();
        let interval = (shortest.unwrap_or(GOODBYE) / LOOKS).max(Duration::from_millis(1));
        Self { head, body, reader, interval }
    }

    /// How many looks in a row may show that nothing moves.
    fn looks(&self, waits_for: WaitsFor) -> Option<u32> {
        let limit = match waits_for {
            WaitsFor::Head => Some(self.head),
            WaitsFor::Body => self.body,
            WaitsFor::Reader => self.reader,
            WaitsFor::Goodbye => Some(GOODBYE),
        }?;
        let looks = limit.as_nanos().div_ceil(self.interval.as_nanos());
        Some(u32::try_from(looks).unwrap_or(u32::MAX - 1))
    }
}

/// A registered connection; dropping it says that the connection ended.
pub(crate) struct Guard {
    connections: Connections,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = self.connections.0.open.borrow_mut().remove(&self.id);
        drop(ended);
        if self.connections.phase().is_drain() {
            self.connections.wake_watchers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Connections, Limits, WaitsFor};
    use hostler_wire::HttpSettings;
    use std::{
        future::Future,
        pin::pin,
        sync::Arc,
        task::{Context, Wake, Waker},
        time::Duration,
    };

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn whoever_asks_again_and_again_is_remembered_once() {
        let (connections, waker) = (Connections::default(), Waker::from(Arc::new(Nobody)));
        for _ in 0..1000 {
            let asked = pin!(connections.drain_began()).poll(&mut Context::from_waker(&waker));
            assert!(asked.is_pending());
        }
        assert_eq!(connections.0.watchers.borrow().len(), 1);
        connections.drain();
        assert!(connections.0.watchers.borrow().is_empty());
    }

    #[test]
    fn every_limit_is_kept_whatever_the_shortest_is() {
        let settings = HttpSettings {
            header_read_timeout: Duration::from_millis(800),
            body_read_timeout: Some(Duration::from_secs(30)),
            write_timeout: None,
            ..HttpSettings::default()
        };
        let limits = Limits::new(&settings);
        assert_eq!(limits.interval, Duration::from_millis(100));
        assert_eq!(limits.looks(WaitsFor::Head), Some(8));
        assert_eq!(limits.looks(WaitsFor::Body), Some(300));
        assert_eq!(limits.looks(WaitsFor::Reader), None);
    }
}
