//! What the parts of a connection share: its task, its socket, the service that hyper calls, and the worker's checks.
//!
//! Every event of the state machine passes through [`ConnectionHandle::on`], which also does what follows from it.

use super::{
    state::{ConnState, Event, WaitsFor},
    table::StateId,
    turn::PollTime,
};
use crate::{
    connections::{Connections, Phase},
    h1::framing::{Framing, Malformed},
    limits::progress::{Progress, ProgressChecks},
    request::{
        body::{BodyReport, BodyStatus},
        record::RequestRecord,
    },
};
use hostler_sys::{
    clock,
    stream::{Disconnect, disconnects},
};
use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Instant,
};

/// A connection as its parts see it, for one thread.
pub(crate) struct ConnectionHandle {
    state: Cell<StateId>,
    /// The worker's connections, of which this is one.
    connections: Connections,
    /// The socket's, open as long as the connection's task lives.
    descriptor: RawFd,
    /// Where the client's requests begin and end.
    pub(crate) framing: RefCell<Framing>,
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
    /// Counts reads and writes.
    reads: Cell<u32>,
    writes: Cell<u32>,
    /// Rises whenever a request, or a wait for one, begins.
    turns: Cell<u32>,
    /// The connection ends with the response under way.
    last: Cell<bool>,
    /// Closing the socket resets the connection.
    resets: Cell<bool>,
    task: RefCell<Option<Waker>>,
    checks: ProgressChecks,
    /// What the client was waited for too long.
    expired: Cell<Option<WaitsFor>>,
    idle: Cell<IdleChecks>,
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
            framing: RefCell::default(),
            body: Arc::default(),
            request: RefCell::default(),
            poll_time: PollTime::default(),
            unsent: RefCell::default(),
            disconnect: Cell::default(),
            blocked: Cell::default(),
            reads: Cell::default(),
            writes: Cell::default(),
            turns: Cell::default(),
            last: Cell::default(),
            resets: Cell::default(),
            task: RefCell::default(),
            checks: ProgressChecks::default(),
            expired: Cell::default(),
            idle: Cell::default(),
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
                self.turns.set(self.turns.get().wrapping_add(1));
                self.idle.set(IdleChecks::Zero);
            }
            Event::OutboxEmpty => self.written(state),
            // Bytes that were read and not used are read again.
            Event::Attached | Event::Parked => drop(self.framing.take()),
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
            self.unsent.borrow_mut().clear();
        } else {
            self.all_sent();
        }
        // A drain waits for connections to become idle.
        if self.ends_soon() || state.awaits_hyper() {
            self.wake();
        }
    }

    /// The kernel has every response: their requests are no longer in flight.
    pub(crate) fn all_sent(&self) {
        drop(self.request.take());
        let mut unsent = self.unsent.borrow_mut();
        if !unsent.is_empty() {
            unsent.clear();
        }
    }

    /// A request is in flight from now on. Whether the loop is to turn before its application is called.
    pub(crate) fn begin(&self, request: RequestRecord) -> bool {
        let waits = self.poll_time.is_used_up(request.began_nanos);
        if let Some(unsent) = self.request.replace(Some(request)) {
            self.unsent.borrow_mut().push(unsent);
        }
        waits
    }

    /// The loop has turned before the request's application is called. Whether the client is still there: it may have
    /// pipelined many requests and left, and each of them may take long.
    pub(crate) fn has_turned(&self) -> bool {
        self.poll_time.is_used_up(clock::now());
        let broken = disconnects(&[self.descriptor]) == [Some(Disconnect::Broken)];
        if broken {
            self.disconnected(Disconnect::Broken);
        }
        !broken
    }

    /// The response to the request begins with this status.
    pub(crate) fn response_starts(&self, status: u16) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            request.status = status;
        }
        self.on(Event::ResponseStarted);
    }

    /// Method, path and age of the request, for the log.
    pub(crate) fn describe_request(&self) -> String {
        self.request.borrow().as_ref().map(RequestRecord::describe).unwrap_or_default()
    }

    /// The worker's phase.
    pub(crate) fn phase(&self) -> Phase {
        self.connections.phase()
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

    /// These bytes were received; none is the client's end-of-file.
    pub(crate) fn has_read(&self, bytes: &[u8]) -> Result<(), Malformed> {
        self.reads.set(self.reads.get().wrapping_add(1));
        if !self.id().is_http() {
            return Ok(());
        }
        self.on(Event::BytesRead);
        self.framing.borrow_mut().read(bytes)
    }

    /// The socket has taken bytes.
    pub(crate) fn has_written(&self) {
        self.blocked.set(false);
        self.writes.set(self.writes.get().wrapping_add(1));
    }

    /// The send buffer of the socket is full.
    pub(crate) fn write_blocked(&self) {
        self.blocked.set(true);
    }

    /// Whether the last write found the send buffer of the socket full.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Has closing the socket reset the connection, so that the client sees that its response is not complete.
    pub(crate) fn reset_on_close(&self, reset: bool) {
        if self.resets.replace(reset) != reset {
            // It fails only on a connection that is broken already.
            let _ = hostler_sys::stream::reset_on_close(self.descriptor, reset);
        }
    }

    /// Whether closing the socket resets the connection.
    pub(crate) fn resets_on_close(&self) -> bool {
        self.resets.get()
    }

    /// The socket's descriptor, for system calls that only inspect it.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
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

    /// The client has disconnected; whether that was unknown.
    pub(crate) fn disconnected(&self, disconnect: Disconnect) -> bool {
        self.disconnect.replace(Some(disconnect)) != Some(disconnect)
    }

    /// How the client has disconnected, if it has.
    pub(crate) fn disconnect(&self) -> Option<Disconnect> {
        self.disconnect.get()
    }

    /// Whether the kernel holds bytes of the client that were not read yet.
    pub(crate) fn has_unread(&self) -> bool {
        hostler_sys::stream::unread(self.descriptor) > 0
    }

    /// Whether the kernel still has bytes that the client has not acknowledged.
    pub(crate) fn has_unsent(&self) -> bool {
        hostler_sys::stream::unsent(self.descriptor) > 0
    }

    /// What the client was waited for too long.
    pub(crate) fn expired(&self) -> Option<WaitsFor> {
        self.expired.get()
    }

    /// Checks for progress, some time after the last check; see [`ProgressChecks::record`].
    pub(crate) fn check_progress(&self, max_checks: impl Fn(WaitsFor) -> Option<u32>) {
        let expired = self.checks.record(self.progress(), max_checks);
        // No event tells a closing connection that the client's kernel has taken the rest.
        if self.state() == ConnState::Closing {
            self.wake();
        }
        if expired.is_some() {
            self.expired.set(expired);
            self.wake();
        }
    }

    fn progress(&self) -> Progress {
        let reading = self.body.status() == BodyStatus::Open { awaited: true };
        let mut waits_for = self.state().waits_for(reading, self.blocked.get());
        // The linger time begins when the client has everything.
        if waits_for == Some(WaitsFor::Linger) && self.has_unsent() {
            waits_for = Some(WaitsFor::ResponseRead);
        }
        // Heads and lingering are limited in all, bodies and responses from one piece to the next.
        let (moves, unsent_bytes) = match waits_for {
            Some(WaitsFor::RequestBody) => (self.reads.get(), 0),
            // The socket becomes writable only when much of its buffer is free, and the buffer may be megabytes.
            Some(WaitsFor::ResponseRead) => (self.writes.get(), hostler_sys::stream::unsent(self.descriptor)),
            Some(WaitsFor::RequestHead | WaitsFor::Linger) | None => (0, 0),
        };
        Progress { waits_for, turns: self.turns.get(), moves, unsent_bytes }
    }

    /// Checks whether the connection is idle, some time after the last check; wakes it to be parked after the second.
    pub(crate) fn check_idle(&self) {
        if !self.state().may_park() {
            return;
        }
        match self.idle.get() {
            IdleChecks::Zero => self.idle.set(IdleChecks::One),
            IdleChecks::One => {
                self.idle.set(IdleChecks::Two);
                self.wake();
            }
            IdleChecks::Two => {}
        }
    }

    /// Whether two checks in a row have found the connection idle.
    pub(crate) fn should_park(&self) -> bool {
        self.idle.get() == IdleChecks::Two && self.state().may_park()
    }
}
