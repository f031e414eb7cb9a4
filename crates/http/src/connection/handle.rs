//! What the parts of a connection share: its task, its socket, the service that hyper calls, and the worker's checks.
//!
//! Every event of the state machine passes through [`ConnectionHandle::on`], which also does what follows from it. Its requests, its
//! socket and the checks of its progress have files of their own in `handle/`.

mod progress;
mod requests;
mod socket;

use super::{
    Origin,
    state::{ConnState, Event, WaitsFor},
    table::StateId,
    turn::PollTime,
    unread::Unread,
};
use crate::{
    connections::{Connections, Phase},
    h1::framing::Framing,
    h2::side::Side,
    io::file_pieces::FileParts,
    limits::{progress::ProgressChecks, request::RequestLimits},
    log::entry::SessionEntry,
    request::{
        body::{BodyReport, BodyStatus},
        record::RequestRecord,
        session::SessionRecord,
    },
};
use hostler_sys::{board, clock, stream::Disconnect};
use hostler_wire::Page;
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    os::fd::RawFd,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Instant,
};

/// A connection as its parts see it, for one thread.
pub(crate) struct ConnectionHandle {
    state: Cell<StateId>,
    /// The worker's connections, of which this is one.
    pub(super) connections: Connections,
    /// The socket's, open as long as the connection's task lives.
    descriptor: RawFd,
    /// Whom a PROXY header names.
    proxied: OnceCell<SocketAddr>,
    /// Where the client's requests begin and end.
    pub(crate) framing: RefCell<Framing>,
    /// Parts of files that hyper has placeholders of.
    pub(crate) files: FileParts,
    /// What becomes of the body of the current request.
    pub(crate) body: Arc<BodyReport>,
    /// The last request, in flight until the kernel has its response.
    request: RefCell<Option<RequestRecord>>,
    /// How long requests have kept the loop in this poll of the task.
    pub(crate) poll_time: PollTime,
    /// Earlier requests whose responses the kernel does not have yet.
    unsent: RefCell<Vec<RequestRecord>>,
    disconnect: Cell<Option<Disconnect>>,
    /// The last write found the send buffer of the socket full.
    blocked: Cell<bool>,
    /// The client is gone: reading or writing has failed.
    lost: Cell<bool>,
    /// Counts reads.
    reads: Cell<u32>,
    /// Bytes that the kernel has taken in all.
    sent: Cell<u64>,
    /// What followed a 101, and its line in the access log, if there is to be one.
    session: RefCell<Option<(SessionRecord, Option<SessionEntry>)>>,
    /// Rises whenever a request, or a wait for one, begins.
    turns: Cell<u32>,
    /// The connection ends with the response under way.
    last: Cell<bool>,
    /// Closing the socket resets the connection.
    resets: Cell<bool>,
    /// No other worker can continue it.
    stays: Cell<bool>,
    /// The client has sent the beginning of what an HTTP/2 client sends first.
    undecided: Cell<bool>,
    task: RefCell<Option<Waker>>,
    checks: ProgressChecks,
    /// What the client was waited for too long.
    expired: Cell<Option<WaitsFor>>,
    /// The request that arrives, if it is refused.
    pub(super) unread: OnceCell<Box<Unread>>,
    /// hyper has responded to what arrives, and that response is not sent.
    pub(super) replaced: Cell<bool>,
    /// When the last head began to arrive.
    pub(super) head_at: Cell<u64>,
    idle: Cell<IdleChecks>,
    /// On an HTTP/2 connection.
    http2: OnceCell<Box<Side>>,
}

/// How many checks have found the connection idle, without anything received in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IdleChecks {
    #[default]
    Zero,
    One,
    /// It is to be parked.
    Two,
}

impl ConnectionHandle {
    pub(crate) fn new(connections: Connections, descriptor: RawFd) -> Rc<Self> {
        Rc::new(Self {
            state: Cell::new(ConnState::Parked.id()),
            connections,
            descriptor,
            proxied: OnceCell::new(),
            framing: RefCell::default(),
            files: FileParts::default(),
            body: Arc::default(),
            request: RefCell::default(),
            poll_time: PollTime::default(),
            unsent: RefCell::default(),
            disconnect: Cell::default(),
            blocked: Cell::default(),
            lost: Cell::default(),
            reads: Cell::default(),
            sent: Cell::default(),
            session: RefCell::default(),
            turns: Cell::default(),
            last: Cell::default(),
            resets: Cell::default(),
            stays: Cell::default(),
            undecided: Cell::default(),
            task: RefCell::default(),
            checks: ProgressChecks::default(),
            expired: Cell::default(),
            unread: OnceCell::new(),
            replaced: Cell::default(),
            head_at: Cell::default(),
            idle: Cell::default(),
            http2: OnceCell::new(),
        })
    }

    /// The state in full.
    pub(crate) fn state(&self) -> ConnState {
        self.state.get().state()
    }

    /// The state in one byte, for the questions that are asked for each request.
    #[inline]
    pub(crate) fn id(&self) -> StateId {
        self.state.get()
    }

    /// Applies an event.
    #[inline(always)]
    pub(crate) fn on(&self, event: Event) {
        let (before, state) = (self.state.get(), self.state.get().step(event));
        if state == before {
            return;
        }
        self.state.set(state);
        match event {
            Event::Head { .. } | Event::BytesRead => {
                self.expired.set(None);
                self.head_at.set(board::own().map_or(0, Page::turned_at));
                self.turns.set(self.turns.get().wrapping_add(1));
                self.idle.set(IdleChecks::Zero);
            }
            Event::OutboxEmpty => self.written(state),
            // Bytes that were read and not used are read again.
            Event::Attached | Event::StreamsAttached | Event::Parked => drop(self.framing.take()),
            Event::Upgraded => {
                self.framing.take();
                self.all_sent();
            }
            _ => {}
        }
    }

    /// The kernel has taken everything.
    fn written(&self, state: StateId) {
        self.turns.set(self.turns.get().wrapping_add(1));
        if state.awaits_application() {
            let (left, sent) = (self.disconnect.get().is_some(), self.sent.get());
            self.unsent.borrow_mut().drain(..).for_each(|request| request.sent(left, sent));
        } else {
            self.all_sent();
        }
        // A drain waits for connections to become idle.
        if self.ends_soon() || state.awaits_hyper() {
            self.wake();
        }
    }

    /// The connection speaks HTTP/2.
    pub(crate) fn speaks_http2(&self, side: Side) {
        // A connection begins to do so once.
        let _ = self.http2.set(Box::new(side));
    }

    /// What only HTTP/2 connections have.
    pub(crate) fn http2(&self) -> Option<&Side> {
        self.http2.get().map(|side| &**side)
    }

    /// A stream begins or ceases to have bytes of its response in h2.
    pub(crate) fn count_unsent_stream(&self, begins: bool) {
        if let Some(http2) = self.http2.get() {
            http2.count_unsent(begins);
        }
    }

    /// Whether h2 has bytes of responses that it has not written.
    pub(crate) fn has_unsent_streams(&self) -> bool {
        self.http2.get().is_some_and(|http2| http2.has_unsent())
    }

    /// The worker's phase.
    pub(crate) fn phase(&self) -> Phase {
        self.connections.phase()
    }

    /// No other worker can continue the connection: when this one is replaced, it ends with its next response.
    pub(crate) fn stays_here(&self) {
        self.stays.set(true);
    }

    /// Whether the client has sent bytes of which it is not known yet which version of HTTP they are.
    pub(crate) fn is_undecided(&self, undecided: bool) {
        if undecided && !self.undecided.get() {
            self.head_at.set(clock::now());
        }
        self.undecided.set(undecided);
    }

    /// Whether the response under way is to be the last.
    pub(crate) fn ends_connections(&self) -> bool {
        let phase = self.phase();
        phase.ends_connections() || (phase == Phase::HandingOver && self.stays.get())
    }

    /// A handshake has ended: the client has its time for a request from now on.
    pub(crate) fn handshake_ended(&self) {
        self.expired.set(None);
        self.turns.set(self.turns.get().wrapping_add(1));
        self.idle.set(IdleChecks::Zero);
    }

    /// Ends the connection with the response under way, whatever becomes of the request's body.
    pub(crate) fn ends_with_response(&self) {
        self.last.set(true);
    }

    fn ends_soon(&self) -> bool {
        self.last.get() || self.connections.phase().is_drain()
    }

    /// Whether the connection is to be closed although its request was not read to the end.
    pub(crate) fn is_over_early(&self) -> bool {
        self.id().is_responded_early() && self.ends_soon()
    }

    /// Turns what the body has reported into events.
    pub(crate) fn sync_body(&self) {
        if !self.id().has_body() {
            return;
        }
        match self.body.status() {
            BodyStatus::Open { .. } => {}
            BodyStatus::Ended => self.on(Event::BodyEnded),
            BodyStatus::Abandoned | BodyStatus::Malformed => self.on(Event::BodyAbandoned),
        }
    }

    /// The limits of requests.
    pub(crate) fn limits(&self) -> &RequestLimits {
        self.connections.limits()
    }

    /// Sets the task that serves the connection.
    pub(crate) fn set_task(&self, task: &Waker) {
        self.task.replace(Some(task.clone()));
    }

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Wakes the connection's task then.
    pub(crate) fn wake_at(self: &Rc<Self>, then: Instant) {
        let handle = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep_until(then.into()).await;
            handle.wake();
        });
    }

    /// Waits until idle connections are closed: a client that has not come to its first request by then has sent none.
    pub(crate) async fn worker_ends(&self, origin: Origin) {
        poll_fn(|cx| {
            self.set_task(cx.waker());
            match self.phase() == Phase::Closing && !origin.is_new() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
