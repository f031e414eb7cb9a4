//! The open streams of a connection: their futures, and the lanes on which applications serve them.

use super::{
    ready::{CONNECTION, NumberedWaker, Ready},
    side::CheckStreams,
    stream::Stream,
};
use crate::{
    App, BackgroundTasks, ConnectionInfo, Interim, Link, Upgrades,
    connection::{ConnectionHandle, Event, Server, WaitsFor},
    request::body::BodyReport,
};
use hyper::rt::Executor;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What serves one request at a time.
pub(crate) struct Lane<A: App> {
    pub(crate) connection: Rc<A::Connection>,
    pub(crate) upgrades: Upgrades,
}

impl<A: App> Clone for Lane<A> {
    fn clone(&self) -> Self {
        Self { connection: Rc::clone(&self.connection), upgrades: self.upgrades.clone() }
    }
}

/// A place for a stream, used by one after the other.
struct Slot<A: App> {
    wake: Arc<NumberedWaker>,
    waker: Waker,
    /// Kept from one stream to the next, unless one was reset.
    lane: Option<Lane<A>>,
    /// hyper's future of the stream, except while it is polled.
    work: Option<Work>,
    stream: Option<Rc<Stream>>,
    /// What follows hyper's future: another protocol speaks on the stream.
    next: Option<Work>,
    /// It does.
    follows: bool,
    /// The slot of hyper's future that sends what that protocol writes.
    sender: Option<u32>,
    /// The slot for which this one's future sends.
    sends_for: Option<u32>,
    /// The client is too slow: the stream is to be reset.
    resets: bool,
}

/// The streams of a connection.
pub(crate) struct Streams<A: App> {
    pub(crate) server: Rc<Server<A>>,
    pub(crate) handle: Rc<ConnectionHandle>,
    info: ConnectionInfo,
    ready: Arc<Ready>,
    connection_wake: Arc<NumberedWaker>,
    slots: RefCell<Vec<Slot<A>>>,
    free: RefCell<Vec<u32>>,
    /// The slot of the request for which hyper is about to have a future executed.
    claimed: Cell<Option<u32>>,
    /// The slot that is polled.
    polled: Cell<Option<u32>>,
    open: Cell<u32>,
    /// Whether there was any stream.
    begun: Cell<bool>,
    rest: Cell<Rest>,
}

/// How long no stream was open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// One is, or was since the last check.
    #[default]
    None,
    /// At the last check, and since.
    Begun,
    /// For so long that what is not needed is to be given up.
    GivesUp,
    /// It was.
    GivenUp,
}

impl<A: App> Streams<A> {
    /// The first lane is the connection that the application was told of.
    pub(crate) fn new(
        server: Rc<Server<A>>,
        handle: Rc<ConnectionHandle>,
        info: ConnectionInfo,
        first: Lane<A>,
    ) -> Rc<Self> {
        let ready = Arc::new(Ready::default());
        let connection_wake = NumberedWaker::new(&ready, CONNECTION);
        let streams = Self {
            server,
            handle,
            info,
            ready,
            connection_wake,
            slots: RefCell::default(),
            free: RefCell::default(),
            claimed: Cell::default(),
            polled: Cell::default(),
            open: Cell::default(),
            begun: Cell::default(),
            rest: Cell::default(),
        };
        let number = streams.add_slot(Some(first));
        streams.free.borrow_mut().push(number);
        Rc::new(streams)
    }

    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Wakes hyper's connection.
    pub(crate) fn connection_waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.connection_wake))
    }

    /// hyper's connection is about to be polled because it was woken.
    pub(crate) fn connection_taken(&self) {
        self.connection_wake.taken();
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> u32 {
        self.open.get()
    }

    /// Whether there was any stream.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whether several were open at the same time, some time ago.
    pub(crate) fn have_overlapped(&self) -> bool {
        self.slots.borrow().len() > 1
    }

    /// Opens a stream for a request; hyper has its future executed next.
    pub(crate) fn claim(&self, body: Option<Arc<BodyReport>>) -> (Rc<Stream>, Lane<A>) {
        self.begun.set(true);
        let number = self.take_slot();
        let lane = self.slots.borrow()[number as usize].lane.clone();
        let lane = lane.unwrap_or_else(|| self.new_lane());
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[number as usize];
        slot.lane = Some(lane.clone());
        let stream = Stream::new((Rc::clone(&self.handle), number), slot.waker.clone(), body);
        slot.stream = Some(Rc::clone(&stream));
        drop(slots);
        self.claimed.set(Some(number));
        (stream, lane)
    }

    /// A free slot, or a new one.
    fn take_slot(&self) -> u32 {
        self.open.set(self.open.get() + 1);
        self.rest.set(Rest::None);
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| self.add_slot(None))
    }

    /// A slot for what sends bytes of the protocol that follows the response of the stream that is polled.
    fn take_slot_to_send(&self) -> u32 {
        let number = self.take_slot();
        if let Some(stream) = self.polled.get() {
            let mut slots = self.slots.borrow_mut();
            slots[stream as usize].sender = Some(number);
            slots[number as usize].sends_for = Some(stream);
        }
        number
    }

    fn add_slot(&self, lane: Option<Lane<A>>) -> u32 {
        let mut slots = self.slots.borrow_mut();
        let number = u32::try_from(slots.len()).unwrap_or(CONNECTION - 1);
        let wake = NumberedWaker::new(&self.ready, number);
        let waker = Waker::from(Arc::clone(&wake));
        slots.push(Slot {
            wake,
            waker,
            lane,
            work: None,
            stream: None,
            next: None,
            follows: false,
            sender: None,
            sends_for: None,
            resets: false,
        });
        number
    }

    /// Tells the application of a connection for one request at a time.
    fn new_lane(&self) -> Lane<A> {
        let upgrades = Upgrades::default();
        let client = match self.info.peer {
            crate::PeerAddress::Tcp(client) => Some(client),
            crate::PeerAddress::Unix(_) => None,
        };
        let background =
            BackgroundTasks::new(self.server.connections.clone(), self.server.load.clone(), client);
        let link = Link { upgrades: upgrades.clone(), interim: Interim::nowhere(), background };
        Lane { connection: Rc::new(self.server.app.connect(self.info.clone(), link)), upgrades }
    }

    /// Has a future polled, in the slot of the request that was claimed or in one of its own.
    fn execute(&self, work: Work) {
        let number = self.claimed.take().unwrap_or_else(|| self.take_slot_to_send());
        let wake = {
            let slot = &mut self.slots.borrow_mut()[number as usize];
            slot.work = Some(work);
            slot.waker.clone()
        };
        wake.wake();
    }

    /// Polls the stream of this number, which was woken.
    pub(crate) fn poll(&self, number: u32) {
        let (work, waker, resets) = {
            let mut slots = self.slots.borrow_mut();
            let Some(slot) = slots.get_mut(number as usize) else { return };
            slot.wake.taken();
            let Some(work) = slot.work.take() else { return };
            (work, slot.waker.clone(), slot.resets)
        };
        let mut work = work;
        self.polled.set(Some(number));
        let polled = if resets { None } else { poll_alone(&mut work, &waker) };
        self.polled.set(None);
        if polled.is_some_and(|polled| polled.is_pending()) {
            self.slots.borrow_mut()[number as usize].work = Some(work);
            return;
        }
        let resets = polled.is_none();
        // h2 resets the stream if it was not over.
        drop(work);
        if resets {
            self.stop_sending(number);
        }
        if resets || !self.begin_next(number) {
            self.end(number);
        }
    }

    /// Drops what sends for a stream, which cannot be reset before.
    fn stop_sending(&self, number: u32) {
        let sender = self.slots.borrow()[number as usize].sender;
        let Some(sender) = sender else { return };
        let work = self.slots.borrow_mut()[sender as usize].work.take();
        if work.is_some() {
            drop(work);
            self.end(sender);
        }
    }

    /// A stream and what sends for it know each other no more.
    fn part(slots: &mut [Slot<A>], number: u32) {
        let slot = &mut slots[number as usize];
        let (sender, sends_for) = (slot.sender.take(), slot.sends_for.take());
        if let Some(sender) = sender {
            slots[sender as usize].sends_for = None;
        }
        if let Some(stream) = sends_for {
            slots[stream as usize].sender = None;
        }
    }

    /// Has another protocol speak on a stream, after its response.
    pub(super) fn follow(&self, stream: &Stream, work: Work) {
        self.slots.borrow_mut()[stream.number as usize].next = Some(work);
    }

    /// Whether another protocol goes on with the stream of this number.
    fn begin_next(&self, number: u32) -> bool {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[number as usize];
        let Some(next) = slot.next.take() else { return false };
        (slot.work, slot.follows) = (Some(next), true);
        let waker = slot.waker.clone();
        drop(slots);
        waker.wake();
        true
    }

    /// The stream of this number has ended.
    fn end(&self, number: u32) {
        let reset_lane = {
            let slots = &mut *self.slots.borrow_mut();
            Self::part(slots, number);
            let slot = &mut slots[number as usize];
            (slot.resets, slot.follows) = (false, false);
            let stream = slot.stream.take();
            let complete = stream.as_ref().is_some_and(|stream| stream.is_complete());
            if let Some(stream) = stream {
                stream.leave();
            }
            // What the application still has of a request that was reset is told that its connection is gone.
            if complete { None } else { slot.lane.take() }
        };
        drop(reset_lane);
        self.free.borrow_mut().push(number);
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.handle.on(Event::StreamsEnded);
        }
    }

    /// The connection is over: drops all that its streams have left.
    pub(crate) fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        self.free.borrow_mut().clear();
        self.open.set(0);
        for slot in slots {
            // They learn from their streams that these are over, and end by themselves.
            if let (true, Some(work)) = (slot.follows, slot.work) {
                tokio::task::spawn_local(work);
            } else {
                drop((slot.next, slot.lane));
            }
        }
    }
}

impl<A: App> CheckStreams for Streams<A> {
    fn check_progress(&self, max_checks: &dyn Fn(WaitsFor) -> Option<u32>) {
        for slot in &mut *self.slots.borrow_mut() {
            if let Some(stream) = &slot.stream
                && stream.check_progress(max_checks)
            {
                slot.resets = true;
            }
        }
    }

    fn cut(&self) {
        self.slots.borrow().iter().filter_map(|slot| slot.stream.as_deref()).for_each(Stream::cut);
    }

    fn check_idle(&self) {
        match self.rest.get() {
            Rest::None if self.open.get() == 0 => self.rest.set(Rest::Begun),
            Rest::Begun => {
                self.rest.set(Rest::GivesUp);
                self.give_up_lanes();
                self.handle.wake();
            }
            Rest::None | Rest::GivesUp | Rest::GivenUp => {}
        }
    }
}

impl<A: App> Streams<A> {
    /// Whether the connection is to give up now what it does not need while it rests.
    pub(super) fn gives_up(&self) -> bool {
        let gives_up = self.rest.get() == Rest::GivesUp;
        if gives_up {
            self.rest.set(Rest::GivenUp);
        }
        gives_up
    }

    /// Applications keep something for each lane; the first is the connection's own.
    fn give_up_lanes(&self) {
        if self.slots.borrow().len() == 1 {
            return;
        }
        let first = self.slots.borrow_mut().first_mut().and_then(|slot| slot.lane.take());
        let lanes = std::mem::take(&mut *self.slots.borrow_mut());
        let number = self.add_slot(first);
        self.free.replace(vec![number]);
        drop(lanes);
    }
}

/// Polls a stream; `None` if it panics, which ends no other stream of the connection. The panic was logged.
fn poll_alone(work: &mut Work, waker: &Waker) -> Option<Poll<()>> {
    catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(waker)))).ok()
}

/// Has hyper's futures polled inside the connection's task.
pub(crate) struct InTask<A: App>(pub(crate) Rc<Streams<A>>);

impl<A: App> Clone for InTask<A> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<A: App, F: Future<Output = ()> + 'static> Executor<F> for InTask<A> {
    fn execute(&self, future: F) {
        self.0.execute(Box::pin(future));
    }
}
