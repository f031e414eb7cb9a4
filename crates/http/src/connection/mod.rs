//! One connection: a task that gives it to hyper, rests it, hands it over, lets another protocol have it, and ends it.
//!
//! Where the connection stands is kept by [`state`], a pure state machine; what the socket, hyper's calls and the
//! request's body have to say about it goes through [`shared::ConnectionState`]. This module acts on it: hyper is taken
//! apart only while the connection is idle, because its buffers are lost with it.

mod closing;
mod place;
mod reply;
mod service;
mod shared;
mod state;

pub(crate) use shared::ConnectionState;
pub(crate) use state::{Event, WaitsFor};

use crate::{
    App, ConnectionInfo, Line, Link, PeerAddress, Upgraded, Upgrades, Works,
    connections::{Connections, Guard, Phase},
    departures::Departures,
    handover::Descriptor,
    io::Batched,
    load::Load,
};
use bytes::Bytes;
use closing::Closing;
use hostler_sys::socket::Departure;
use hyper::{
    rt::{Read, Write},
    server::conn::http1,
};
use hyper_util::rt::TokioIo;
use service::AppService;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tracing::debug;

/// How much of a request is read before hyper has the connection: most requests' heads.
const FIRST_READ: usize = 1024;

/// How long after it was refused a connection is offered to other workers again.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

/// What all connections of a worker share.
pub(crate) struct Server<A> {
    pub(crate) app: A,
    pub(crate) connections: Connections,
    pub(crate) load: Load,
    pub(crate) line: Line,
    pub(crate) departures: Departures,
    pub(crate) request_timeout: Option<Duration>,
}

/// Where a connection came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// The listener's place among the worker's.
    pub(crate) listener: usize,
}

impl<A: App<Body: Unpin>> Server<A> {
    /// Serves one connection until either side ends it or another worker takes it over.
    pub(crate) async fn serve<S>(
        self: Rc<Self>,
        builder: Rc<http1::Builder>,
        io: Batched<S>,
        info: ConnectionInfo,
        origin: Origin,
        guard: Guard,
    ) where
        S: Read + Write + Descriptor + Unpin + 'static,
    {
        let peer = match info.peer {
            PeerAddress::Tcp(peer) => Some(peer),
            PeerAddress::Unix(_) => None,
        };
        let upgrades = Upgrades::default();
        let works = Works::new(self.connections.clone(), self.load.clone());
        let link = Link { upgrades: upgrades.clone(), interim: io.interim(), works };
        let application = Rc::new(self.app.connect(info, link));
        let state = Rc::clone(io.state());
        let _counted = self.load.connection();
        let service = AppService { connection: application, server: self, state, peer };
        ConnectionTask {
            carrier: Carrier::Resting(io),
            builder,
            service,
            upgrades,
            origin,
            watched: false,
            refused: None,
            begun: false,
            _guard: guard,
        }
        .await;
    }
}

/// Who has the socket.
enum Carrier<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> {
    /// Nobody: the client has said nothing for a while, or nothing yet. hyper's buffers are half of what a connection
    /// takes, and most connections rest most of the time.
    Resting(Batched<S>),
    /// hyper. In a box, so that a resting connection is small.
    Http(Box<http1::Connection<Batched<S>, AppService<A>>>),
    /// What is spoken after a 101.
    Upgraded(Pin<Box<dyn Future<Output = ()>>>),
    /// Nobody any more.
    Closing(Box<Closing<S>>),
    /// Another worker, or nobody: the task is over.
    Gone,
}

/// The connection's future.
struct ConnectionTask<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> {
    carrier: Carrier<S, A>,
    builder: Rc<http1::Builder>,
    /// What hyper calls; it gets a copy whenever it takes the connection.
    service: AppService<A>,
    upgrades: Upgrades,
    origin: Origin,
    /// Its client is watched, in case it leaves.
    watched: bool,
    /// When other workers could not take it.
    refused: Option<Instant>,
    /// It was polled: its task is known.
    begun: bool,
    /// From the moment it was accepted.
    _guard: Guard,
}

impl<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> Drop for ConnectionTask<S, A> {
    fn drop(&mut self) {
        self.watch(false);
        // A protocol that was never spoken may hold the application's connection, which holds this.
        drop(self.upgrades.take());
    }
}

impl<S, A> Future for ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Descriptor + Unpin + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.begun, true) {
            this.service.state.set_task(cx.waker());
        }
        this.poll_on(cx)
    }
}

/// What becomes of a connection that is idle.
enum Idle {
    /// Its client is waited for.
    Stays,
    /// Somebody else has it now.
    Changed,
    /// It ends, or another worker has it.
    Over,
}

impl<S, A> ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Descriptor + Unpin + 'static,
{
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let pending = match &mut self.carrier {
                Carrier::Resting(_) => match self.poll_begin(cx) {
                    Poll::Ready(false) => return Poll::Ready(()),
                    polled => polled.is_pending(),
                },
                Carrier::Http(_) => self.poll_http(cx).is_pending(),
                Carrier::Upgraded(_) if self.service.state.expired().is_some() => return Poll::Ready(()),
                Carrier::Upgraded(protocol) => return protocol.as_mut().poll(cx),
                Carrier::Closing(closing) => return closing.poll(cx),
                Carrier::Gone => return Poll::Ready(()),
            };
            if !pending {
                continue;
            }
            if !self.service.state.place().is_idle() {
                if self.service.state.is_over_early() {
                    self.close(false);
                    continue;
                }
                return if self.is_client_served() { Poll::Pending } else { Poll::Ready(()) };
            }
            self.watch(false);
            match self.idle() {
                Idle::Stays => return Poll::Pending,
                Idle::Changed => {}
                Idle::Over => return Poll::Ready(()),
            }
        }
    }

    /// Gives the connection to hyper when the client says something; false when it leaves instead.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Carrier::Resting(io) = &mut self.carrier else { return Poll::Ready(true) };
        let mut storage = [0; FIRST_READ];
        let mut first = hyper::rt::ReadBuf::new(&mut storage);
        if ready!(Pin::new(&mut *io).poll_read(cx, first.unfilled())).is_err() || first.filled().is_empty() {
            return Poll::Ready(false);
        }
        io.unread_first(Bytes::copy_from_slice(first.filled()));
        self.speak();
        Poll::Ready(true)
    }

    fn speak(&mut self) {
        if let Carrier::Resting(io) = std::mem::replace(&mut self.carrier, Carrier::Gone) {
            let connection = self.builder.serve_connection(io, self.service.clone());
            self.carrier = Carrier::Http(Box::new(connection));
            self.service.state.on(Event::Spoken);
        }
    }

    /// Lets hyper work; ready when it is done with the connection, which somebody else has by then.
    fn poll_http(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Carrier::Http(connection) = &mut self.carrier else { return Poll::Ready(()) };
        let state = &self.service.state;
        state.hear_of_body();
        let asked = state.place().awaits_hyper();
        let Poll::Ready(ended) = Pin::new(&mut **connection).poll(cx) else {
            // hyper knew that nobody wants the body, and has nothing left to write: it would have ended the connection.
            if asked {
                state.on(Event::BodyDrained);
            }
            state.hear_of_body();
            return Poll::Pending;
        };
        if let Err(error) = &ended {
            debug!(%error, "connection ended");
        }
        if !(ended.is_ok() && self.upgrade()) {
            self.close(ended.is_ok());
        }
        Poll::Ready(())
    }

    /// Decides on a connection on which neither side owes the other a byte.
    fn idle(&mut self) -> Idle {
        let (expired, rests) = (self.service.state.expired(), self.service.state.should_rest());
        match self.service.server.connections.phase() {
            Phase::HandingOver if self.may_offer() => match self.hand_over() {
                true => Idle::Over,
                false => Idle::Changed,
            },
            Phase::Closing => {
                if !self.resume_if_asked() {
                    self.close(true);
                }
                Idle::Changed
            }
            _ if expired == Some(WaitsFor::Head) => {
                self.close(true);
                Idle::Changed
            }
            _ if rests => {
                if let Some(io) = self.take_apart() {
                    self.rest(io);
                }
                Idle::Changed
            }
            _ => Idle::Stays,
        }
    }

    /// Keeps a connection that was taken apart until its client says something. It goes back to hyper at once if a
    /// request has begun.
    fn rest(&mut self, io: Batched<S>) {
        io.shrink();
        let begun = !io.unread().is_empty();
        io.state().on(Event::Rested);
        self.carrier = Carrier::Resting(io);
        if begun {
            self.speak();
        }
    }

    /// Goes on with a connection that is about to be closed if a whole request has come in the last moment.
    fn resume_if_asked(&mut self) -> bool {
        let Some(io) = self.take_apart() else { return false };
        let asked = has_whole_head(io.unread());
        self.carrier = Carrier::Resting(io);
        self.service.state.on(Event::Rested);
        if asked {
            self.speak();
        }
        asked
    }

    /// The connection itself, with what was read beyond the last request. Only from a connection that is idle, or with
    /// which hyper is done.
    fn take_apart(&mut self) -> Option<Batched<S>> {
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Http(connection) => {
                let http1::Parts { mut io, read_buf, .. } = connection.into_parts();
                io.unread_first(read_buf);
                Some(io)
            }
            Carrier::Resting(io) => Some(io),
            Carrier::Upgraded(_) | Carrier::Closing(_) | Carrier::Gone => None,
        }
    }

    /// Lets another protocol have the connection, if the application answered with one.
    fn upgrade(&mut self) -> bool {
        // hyper does not wait until its 101 has left it, behind answers that the client does not read.
        if self.service.state.life().is_in_hyper() {
            return false;
        }
        let Some(protocol) = self.upgrades.take() else { return false };
        let Some(io) = self.take_apart() else { return false };
        self.service.state.on(Event::Upgraded);
        self.watch(false);
        self.carrier = Carrier::Upgraded(protocol(Upgraded::new(TokioIo::new(io))));
        true
    }

    /// Ends the connection when the client has its last answer.
    fn close(&mut self, well: bool) {
        self.watch(false);
        let state = &self.service.state;
        if state.life().is_broken() && state.resets_on_close() {
            self.carrier = Carrier::Gone;
            return;
        }
        state.reset_on_close(false);
        let heard_out = well && self.service.state.life().is_heard_out();
        let Some(io) = self.take_apart() else { return };
        let heard_out = heard_out && io.unread().is_empty();
        self.carrier = Carrier::Closing(Box::new(Closing::new(io, heard_out)));
    }

    /// Has the client watched, which may leave while an application works for it, or no more.
    fn watch(&mut self, watched: bool) {
        if self.watched != watched {
            self.watched = watched;
            let departures = &self.service.server.departures;
            match watched {
                true => departures.watch(&self.service.state),
                false => departures.forget(&self.service.state),
            }
        }
    }

    /// Looks whether the client of the request in flight is there; false if nobody is left to be answered.
    fn is_client_served(&mut self) -> bool {
        let state = &self.service.state;
        let place = state.place();
        let awaited = place.awaits_application();
        match (state.expired(), state.departure()) {
            (None, None) => {}
            (Some(WaitsFor::Reader), _) => {
                debug!("the client does not read its answer: --write-timeout");
                state.reset_on_close(true);
                return false;
            }
            // Whoever had not begun to answer has answered 408 by now.
            (Some(WaitsFor::Body), _) if awaited => return false,
            (_, Some(Departure::Broken)) => return false,
            (_, Some(Departure::Finished)) if awaited => {
                return self.service.server.app.client_finished(&self.service.connection);
            }
            _ => {}
        }
        // A body that somebody keeps would hide for ever that its client has left.
        self.watch(awaited || place.is_answered_early());
        true
    }

    /// Sends the idle connection to another worker; whether that was possible.
    fn hand_over(&mut self) -> bool {
        let Some(io) = self.take_apart() else { return false };
        let listener = u16::try_from(self.origin.listener).unwrap_or_default();
        let line = &self.service.server.line;
        let offered = io.with_descriptor(|socket| line.offer(listener, io.unread(), socket));
        let Err(error) = offered else { return true };
        debug!(%error, "a connection cannot be handed over and is served on");
        self.rest(io);
        self.refused = Some(Instant::now());
        let state = Rc::clone(&self.service.state);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(OFFER_AGAIN).await;
            state.wake();
        });
        false
    }

    fn may_offer(&self) -> bool {
        self.refused.is_none_or(|at| at.elapsed() >= OFFER_AGAIN)
    }
}

/// Whether a request's head ends in these bytes (RFC 9112 §2.1, §2.2).
fn has_whole_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}
