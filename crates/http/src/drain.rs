//! The open connections of a worker, and how they are told to end: at a drain, or for sending nothing.

use hostler_sys::socket::Departure;
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

/// Since when nothing was said on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quiet {
    /// A request was in flight since the last look.
    #[default]
    No,
    /// The last look.
    Since,
    /// Longer: its task is to know.
    Long,
    /// Its task knows.
    Resting,
}

/// What a connection is doing, for those who look at it from outside.
#[derive(Default)]
pub(crate) struct Activity {
    /// Requests whose answers are not sent yet.
    in_flight: Cell<usize>,
    /// Looks of the sweeper since a request was last in flight.
    idle_looks: Cell<u32>,
    quiet: Cell<Quiet>,
    /// The client took too long to send a request's head.
    expired: Cell<bool>,
    departure: Cell<Option<Departure>>,
}

impl Activity {
    /// The client left; whether that is news.
    pub(crate) fn client_left(&self, departure: Departure) -> bool {
        self.departure.replace(Some(departure)) != Some(departure)
    }

    /// How the client left, if it did.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.departure.get()
    }

    pub(crate) fn request_began(&self) {
        self.quiet.set(Quiet::No);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(crate) fn request_ended(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.idle_looks.set(0);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// The client has said nothing for a while; told once.
    pub(crate) fn should_rest(&self) -> bool {
        let rests = self.quiet.get() == Quiet::Long;
        if rests {
            self.quiet.set(Quiet::Resting);
        }
        rests
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
        self.0.tasks.borrow().len()
    }

    /// Waits until no connection is open.
    pub async fn all_ended(&self) {
        self.watch(|shared| shared.tasks.borrow().is_empty()).await;
    }

    /// Waits until the drain began.
    pub async fn drain_began(&self) {
        self.watch(|shared| shared.phase.get().is_drain()).await;
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

    /// Has connections rest on which nothing was said for half a second or more, for ever.
    pub async fn quieten(self) {
        let mut looks = tokio::time::interval(Duration::from_millis(500));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let quiet: Vec<Waker> = self.0.tasks.borrow().values().filter_map(listen).collect();
            quiet.into_iter().for_each(Waker::wake);
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

/// Listens to a connection; its task, if it should rest.
fn listen((waker, activity): &(Waker, Rc<Activity>)) -> Option<Waker> {
    if !activity.is_idle() {
        return None;
    }
    match activity.quiet.get() {
        Quiet::No => {
            activity.quiet.set(Quiet::Since);
            None
        }
        Quiet::Since => {
            activity.quiet.set(Quiet::Long);
            Some(waker.clone())
        }
        Quiet::Long | Quiet::Resting => None,
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
        if self.connections.phase().is_drain() {
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
}
