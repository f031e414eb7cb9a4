//! What the parts of a connection share: its task, its socket, hyper's calls, and those who look at it from outside.

use super::{
    place::Place,
    state::{Event, Life, WaitsFor},
};
use crate::{
    connections::{Connections, Phase},
    framing::{Framing, Malformed},
    load::Tracked,
    request_body::{BodyFate, BodyReport},
};
use hostler_sys::socket::Departure;
use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

/// A connection's state, for one thread.
pub(crate) struct ConnectionState {
    place: Cell<Place>,
    /// The worker's connections, of which this is one.
    connections: Connections,
    /// The socket's, which is open as long as the connection's task lives.
    descriptor: RawFd,
    /// Where the client's requests begin and end.
    pub(crate) framing: RefCell<Framing>,
    /// What becomes of the body of the current request.
    pub(crate) body: Arc<BodyReport>,
    /// The last request, in flight until the kernel has its answer.
    request: RefCell<Option<Tracked>>,
    /// Earlier ones, whose answers the kernel does not have either.
    unsent: RefCell<Vec<Tracked>>,
    departure: Cell<Option<Departure>>,
    /// The socket took no more when it was last written to.
    blocked: Cell<bool>,
    /// Rise with everything that is read, and written.
    reads: Cell<u32>,
    writes: Cell<u32>,
    /// Rises with every beginning of a request or of a wait for one.
    turns: Cell<u32>,
    /// The answer under way is the connection's last.
    last: Cell<bool>,
    /// Closing the socket resets the connection.
    resets: Cell<bool>,
    task: RefCell<Option<Waker>>,
    /// What the sweeper saw at its last look, and how often it has seen nothing else since.
    seen: Cell<(Sight, u32)>,
    /// For what the client was waited for too long.
    expired: Cell<Option<WaitsFor>>,
    quiet: Cell<Quiet>,
}

/// What a look at a connection shows. If two looks show the same, nothing has moved.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sight {
    waits_for: Option<WaitsFor>,
    turns: u32,
    /// Only while the client is waited for in the middle of something.
    moves: u32,
    /// Bytes that the kernel has yet to deliver, while the client is to read.
    unread: usize,
}

/// Since when nothing was said on a connection that is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quiet {
    /// Something was said since the last look.
    #[default]
    No,
    /// The last look.
    Since,
    /// Longer: its task is to have it rest.
    Long,
}

impl ConnectionState {
    pub(crate) fn new(connections: Connections, descriptor: RawFd) -> Rc<Self> {
        Rc::new(Self {
            place: Cell::new(Life::Resting.place()),
            connections,
            descriptor,
            framing: RefCell::default(),
            body: Arc::default(),
            request: RefCell::default(),
            unsent: RefCell::default(),
            departure: Cell::default(),
            blocked: Cell::default(),
            reads: Cell::default(),
            writes: Cell::default(),
            turns: Cell::default(),
            last: Cell::default(),
            resets: Cell::default(),
            task: RefCell::default(),
            seen: Cell::default(),
            expired: Cell::default(),
            quiet: Cell::default(),
        })
    }

    /// Where the connection stands.
    pub(crate) fn life(&self) -> Life {
        self.place.get().life()
    }

    /// The same, for what is asked with every request.
    #[inline]
    pub(crate) fn place(&self) -> Place {
        self.place.get()
    }

    /// Something happened.
    #[inline(always)]
    pub(crate) fn on(&self, event: Event) {
        let (before, place) = (self.place.get(), self.place.get().step(event));
        if place == before {
            return;
        }
        self.place.set(place);
        match event {
            Event::Head { .. } | Event::BytesRead => {
                self.expired.set(None);
                self.turns.set(self.turns.get().wrapping_add(1));
                self.quiet.set(Quiet::No);
            }
            Event::OutboxEmpty => self.written(place),
            // What was read and not used is read again.
            Event::Spoken | Event::Rested => drop(self.framing.take()),
            Event::Upgraded => {
                self.framing.take();
                self.all_sent();
            }
            _ => {}
        }
    }

    /// The kernel has taken everything.
    fn written(&self, place: Place) {
        self.turns.set(self.turns.get().wrapping_add(1));
        if place.awaits_application() {
            self.unsent.borrow_mut().clear();
        } else {
            self.all_sent();
        }
        // An idle connection is news to a drain.
        if self.ends_soon() || place.awaits_hyper() {
            self.wake();
        }
    }

    /// The kernel has everything that was answered.
    pub(crate) fn all_sent(&self) {
        drop(self.request.take());
        let mut unsent = self.unsent.borrow_mut();
        if !unsent.is_empty() {
            unsent.clear();
        }
    }

    /// A request is in flight from now on.
    pub(crate) fn begin(&self, request: Tracked) {
        if let Some(unsent) = self.request.replace(Some(request)) {
            self.unsent.borrow_mut().push(unsent);
        }
    }

    /// The answer to the request begins with this status.
    pub(crate) fn answer_begins(&self, status: u16) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            request.status = status;
        }
        self.on(Event::AnswerBegan);
    }

    /// Method, path and age of the request, for the log.
    pub(crate) fn describe_request(&self) -> String {
        self.request.borrow().as_ref().map(Tracked::describe).unwrap_or_default()
    }

    /// How far the worker has got towards its end.
    pub(crate) fn phase(&self) -> Phase {
        self.connections.phase()
    }

    /// The connection ends with the answer under way, whatever becomes of the request's body.
    pub(crate) fn ends_with_answer(&self) {
        self.last.set(true);
    }

    fn ends_soon(&self) -> bool {
        self.last.get() || self.connections.phase().is_drain()
    }

    /// Whether the connection is to be closed although a part of its request is still to be read.
    pub(crate) fn is_over_early(&self) -> bool {
        self.place().is_answered_early() && self.ends_soon()
    }

    /// Notes what became of the request's body.
    pub(crate) fn hear_of_body(&self) {
        if !self.place().has_body() {
            return;
        }
        match self.body.fate() {
            BodyFate::Held { .. } => {}
            BodyFate::Ended => self.on(Event::BodyEnded),
            BodyFate::GivenUp | BodyFate::Malformed => self.on(Event::BodyGivenUp),
        }
    }

    /// The client sent these bytes, or its end if there are none.
    pub(crate) fn has_read(&self, bytes: &[u8]) -> Result<(), Malformed> {
        self.reads.set(self.reads.get().wrapping_add(1));
        if !self.place().is_http() {
            return Ok(());
        }
        self.on(Event::BytesRead);
        self.framing.borrow_mut().read(bytes)
    }

    /// The socket took something.
    pub(crate) fn has_written(&self) {
        self.blocked.set(false);
        self.writes.set(self.writes.get().wrapping_add(1));
    }

    /// The socket takes no more for now.
    pub(crate) fn stopped_taking(&self) {
        self.blocked.set(true);
    }

    /// Whether the socket took no more when it was last written to.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// The answer ends with the connection, or does not end well: a connection that breaks off is to be seen as such.
    pub(crate) fn reset_on_close(&self, reset: bool) {
        if self.resets.replace(reset) != reset {
            // A connection that cannot be told so is one that is broken already.
            let _ = hostler_sys::stream::reset_on_close(self.descriptor, reset);
        }
    }

    /// Whether closing the socket resets the connection.
    pub(crate) fn resets_on_close(&self) -> bool {
        self.resets.get()
    }

    /// The socket's descriptor, for system calls that only look.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The task that serves the connection.
    pub(crate) fn set_task(&self, task: &Waker) {
        self.task.replace(Some(task.clone()));
    }

    /// Has the connection's task look.
    pub(crate) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The client left; whether that is news.
    pub(crate) fn client_left(&self, departure: Departure) -> bool {
        self.departure.replace(Some(departure)) != Some(departure)
    }

    /// How the client left, if it did.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.departure.get()
    }

    /// The client has some of what it was sent still to come.
    pub(crate) fn has_unread(&self) -> bool {
        hostler_sys::stream::unsent(self.descriptor) > 0
    }

    /// For what the client was waited for too long.
    pub(crate) fn expired(&self) -> Option<WaitsFor> {
        self.expired.get()
    }

    /// Looks at the connection, some time after the last look. `most` says how many looks in a row may show nothing
    /// new; `None` is any number.
    pub(crate) fn look(&self, most: impl Fn(WaitsFor) -> Option<u32>) {
        let sight = self.sight();
        let (seen, looks) = self.seen.get();
        let looks = if seen == sight { looks + 1 } else { 0 };
        self.seen.set((sight, looks));
        // One that only waits for the client's kernel to take the rest is told by nobody else.
        if self.life() == Life::Closing {
            self.wake();
        }
        if let Some(waits_for) = sight.waits_for
            && most(waits_for).is_some_and(|most| looks > most)
        {
            self.expired.set(Some(waits_for));
            self.wake();
        }
    }

    fn sight(&self) -> Sight {
        let reading = self.body.fate() == BodyFate::Held { wanted: true };
        let mut waits_for = self.life().waits_for(reading, self.blocked.get());
        // Its time to say goodbye begins when it has what it was sent.
        if waits_for == Some(WaitsFor::Goodbye) && self.has_unread() {
            waits_for = Some(WaitsFor::Reader);
        }
        // A head and a goodbye have their time in all, bodies and answers from one piece to the next.
        let (moves, unread) = match waits_for {
            Some(WaitsFor::Body) => (self.reads.get(), 0),
            // The socket takes more only when much of its buffer is free, and the buffer may be megabytes.
            Some(WaitsFor::Reader) => (self.writes.get(), hostler_sys::stream::unsent(self.descriptor)),
            Some(WaitsFor::Head | WaitsFor::Goodbye) | None => (0, 0),
        };
        Sight { waits_for, turns: self.turns.get(), moves, unread }
    }

    /// Listens whether something is said, some time after the last time.
    pub(crate) fn listen(&self) {
        if !self.life().may_rest() {
            return;
        }
        match self.quiet.get() {
            Quiet::No => self.quiet.set(Quiet::Since),
            Quiet::Since => {
                self.quiet.set(Quiet::Long);
                self.wake();
            }
            Quiet::Long => {}
        }
    }

    /// The client has said nothing for a while.
    pub(crate) fn should_rest(&self) -> bool {
        self.quiet.get() == Quiet::Long && self.life().may_rest()
    }
}
