//! Accepting: a worker takes one connection a turn, only while its loop turns, and only if no sibling that
//! has less to do would take it.
//!
//! The queue is the kernel's and is shared by all workers, and every worker is told of every connection.
//! Those that have more to do than a healthy sibling hold back ([`Load::is_least`]) for a moment each, so a
//! connection that nobody else takes is taken all the same.
//!
//! Where each slot has a socket of its own, a worker accepts from its own without asking, and from the others
//! when it sees that their workers do not come to it ([`Load::is_slot_served`]).

use crate::{
    App, ConnectionInfo, Line, PeerAddress,
    accept_errors::{Attempts, is_out_of_descriptors},
    batch::{Batch, Overdue},
    connection::{ConnectionState, Origin, Server},
    connections::{Connections, Phase},
    departures::Departures,
    handover::Descriptor,
    handover::Handed,
    io::Batched,
    load::Load,
    watch::watch,
};
use bytes::Bytes;
use hostler_sys::socket;
use hostler_wire::{HttpSettings, ListenerInfo};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::{TcpStream, UnixStream},
};
use tracing::warn;

/// How long a worker with more to do leaves a connection to its siblings, and how often in a row.
const HOLD_BACK: Duration = Duration::from_millis(1);
const MOST_HOLDS: u32 = 16;

/// How often to look whether a sibling neglects a queue of its own.
const RESCUE_INTERVAL: Duration = Duration::from_millis(5);

/// A listening socket, registered with this thread's runtime.
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    info: ListenerInfo,
    /// The sockets of other slots, by their numbers; empty if all slots share one.
    neighbours: Vec<(u32, OwnedFd)>,
}

impl Listener {
    /// Takes over a socket that the master bound.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be watched.
    pub fn adopt(info: &ListenerInfo, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: watch(socket, Interest::READABLE)?, info: info.clone(), neighbours: Vec::new() })
    }

    /// Takes over the sockets of all slots, of which this worker's is watched.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be watched; `InvalidInput` if there are no sockets.
    pub fn adopt_for_slot(info: &ListenerInfo, sockets: Vec<OwnedFd>, slot: u16) -> io::Result<Self> {
        let own = usize::from(slot.max(1) - 1) % sockets.len().max(1);
        let (mine, neighbours): (Vec<_>, Vec<_>) =
            (1u32..).zip(sockets).partition(|(number, _)| *number as usize == own + 1);
        let (_, socket) = mine.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { neighbours, ..Self::adopt(info, socket)? })
    }

    async fn ready(&self) {
        if let Ok(mut ready) = self.socket.readable().await {
            ready.retain_ready();
        }
    }

    fn take(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.socket.try_io(Interest::READABLE, |socket| socket::accept(socket.as_fd()))
    }
}

/// What all acceptors of a worker share.
pub struct Acceptor<A: App> {
    server: Rc<Server<A>>,
    builder: Rc<http1::Builder>,
    listeners: Vec<Listener>,
    batch: Batch,
}

impl<A: App<Body: Unpin>> Acceptor<A> {
    /// An acceptor for these listeners, which nobody runs yet.
    pub fn new(
        app: A,
        settings: &HttpSettings,
        request_timeout: Option<Duration>,
        listeners: Vec<Listener>,
        connections: Connections,
        load: Load,
        line: Line,
    ) -> Rc<Self> {
        let batch = Batch::new(load.page());
        let server =
            Server { app, connections, load, line, departures: Departures::default(), request_timeout };
        Rc::new(Self { server: Rc::new(server), builder: Rc::new(builder(settings)), listeners, batch })
    }

    /// Accepts and serves connections until the drain begins, on tasks of this thread's runtime.
    pub fn start(self: &Rc<Self>) {
        tokio::task::spawn_local(self.batch.clone().flush_for_ever());
        for index in 0..self.listeners.len() {
            tokio::task::spawn_local(Rc::clone(self).accept_from(index));
            if !self.listeners[index].neighbours.is_empty() {
                tokio::task::spawn_local(Rc::clone(self).rescue(index));
            }
        }
        tokio::task::spawn_local(Rc::clone(self).adopt());
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.server.app
    }

    /// What another thread may send while the application blocks this one.
    pub fn overdue(&self) -> Overdue {
        self.batch.overdue()
    }

    /// Takes what waits in the queues, though the drain began: nobody else will.
    pub async fn empty_queues(&self) {
        for (index, listener) in self.listeners.iter().enumerate() {
            while let Ok((socket, peer)) = listener.take() {
                self.serve(index, socket, peer, Bytes::new());
                tokio::task::yield_now().await;
            }
            for (_, socket) in &listener.neighbours {
                while let Ok((connection, peer)) = socket::accept(socket.as_fd()) {
                    self.serve(index, connection, peer, Bytes::new());
                    tokio::task::yield_now().await;
                }
            }
        }
        // Also what others handed over and nobody took.
        while self.adopt_one().is_ok() {
            tokio::task::yield_now().await;
        }
    }

    async fn accept_from(self: Rc<Self>, index: usize) {
        let listener = &self.listeners[index];
        let mut attempts = Attempts::default();
        while self.until_drain(listener.ready()).await {
            let shared = listener.neighbours.is_empty();
            if shared && !self.until_drain(self.my_turn()).await {
                return;
            }
            match listener.take() {
                Ok((socket, peer)) => {
                    attempts.succeeded();
                    self.server.load.page().connection_accepted();
                    self.serve(index, socket, peer, Bytes::new());
                }
                Err(error) => attempts.failed(&error).await,
            }
            // What is here already goes first: the next connection may suit a sibling better.
            tokio::task::yield_now().await;
        }
    }

    /// Accepts for slots whose workers do not: those that are busy for long, and those that are gone.
    async fn rescue(self: Rc<Self>, index: usize) {
        let mut looks = tokio::time::interval(RESCUE_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self
            .until_drain(async {
                looks.tick().await;
            })
            .await
        {
            for (slot, socket) in &self.listeners[index].neighbours {
                if self.server.load.is_slot_served(*slot) {
                    continue;
                }
                while let Ok((connection, peer)) = socket::accept(socket.as_fd()) {
                    self.server.load.page().connection_accepted();
                    self.serve(index, connection, peer, Bytes::new());
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Takes over connections from workers that drain.
    async fn adopt(self: Rc<Self>) {
        let mut attempts = Attempts::default();
        while self.until_drain(self.server.line.ready()).await {
            if !self.until_drain(self.my_turn()).await {
                return;
            }
            match self.adopt_one() {
                Ok(()) => attempts.succeeded(),
                Err(error) => attempts.failed(&error).await,
            }
            tokio::task::yield_now().await;
        }
    }

    fn adopt_one(&self) -> io::Result<()> {
        let Handed { socket, listener, unread } = match self.server.line.take() {
            Ok(handed) => handed,
            Err(error) => {
                let harmless = error.kind() == io::ErrorKind::WouldBlock || is_out_of_descriptors(&error);
                if !harmless {
                    warn!(%error, "a connection that was handed over could not be taken and is closed");
                }
                return Err(error);
            }
        };
        let peer = socket::peer(socket.as_fd());
        let listener = self.listener_like(listener, peer.is_some());
        if let Some(listener) = listener {
            self.serve(listener, socket, peer, unread);
        }
        Ok(())
    }

    /// The listener of this number; another one of its kind if the connection comes from a server whose listeners
    /// are others.
    fn listener_like(&self, number: usize, is_tcp: bool) -> Option<usize> {
        let suits = |listener: &Listener| matches!(listener.info, ListenerInfo::Tcp(_)) == is_tcp;
        let told = self.listeners.get(number).is_some_and(suits).then_some(number);
        told.or_else(|| self.listeners.iter().position(suits))
    }

    /// Whether the future was ready before the drain began.
    async fn until_drain(&self, future: impl Future<Output = ()>) -> bool {
        let mut future = pin!(future);
        let mut drain = pin!(self.server.connections.drain_began());
        poll_fn(|cx| match drain.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => future.as_mut().poll(cx).map(|()| true),
        })
        .await
    }

    /// Waits until no healthy sibling has less to do, but not for long.
    async fn my_turn(&self) {
        for _ in 0..MOST_HOLDS {
            if self.server.load.is_least() || self.server.connections.phase() == Phase::LameDuck {
                return;
            }
            tokio::time::sleep(HOLD_BACK).await;
        }
    }

    fn serve(&self, listener: usize, socket: OwnedFd, peer: Option<SocketAddr>, unread: Bytes) {
        let origin = Origin { listener };
        match &self.listeners[listener].info {
            ListenerInfo::Tcp(_) => {
                // A client that has reset the connection meanwhile has no address any more: nothing to serve.
                let Ok(stream) = TcpStream::from_std(socket.into()) else { return };
                let (Some(peer), Ok(local)) = (peer, stream.local_addr()) else { return };
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                let info = ConnectionInfo { peer: PeerAddress::Tcp(peer), local: PeerAddress::Tcp(local) };
                self.spawn(stream, info, origin, unread);
            }
            ListenerInfo::Unix(path) => {
                let Ok(stream) = UnixStream::from_std(socket.into()) else { return };
                let local = PeerAddress::Unix(Some(path.clone()));
                let info = ConnectionInfo { peer: PeerAddress::Unix(None), local };
                self.spawn(stream, info, origin, unread);
            }
        }
    }

    fn spawn<S>(&self, stream: S, info: ConnectionInfo, origin: Origin, unread: Bytes)
    where
        S: AsFd + 'static,
        TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Descriptor + Unpin,
    {
        let connections = self.server.connections.clone();
        let state = |descriptor| ConnectionState::new(connections, descriptor);
        let io = Batched::new(TokioIo::new(stream), self.batch.clone(), unread, state);
        // Open from now on, before its task runs: a drain that begins meanwhile waits for it.
        let guard = self.server.connections.register(Rc::clone(io.state()));
        let (server, builder) = (Rc::clone(&self.server), Rc::clone(&self.builder));
        tokio::task::spawn_local(server.serve(builder, io, info, origin, guard));
    }
}

fn builder(settings: &HttpSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Connections::sweep` does this for all connections at once.
        .header_read_timeout(None)
        // A client that has sent its request and shut down its side still waits for the answer; whether it is there
        // is looked at by `Departures`.
        .half_close(true)
        .keep_alive(settings.keep_alive)
        // `pipeline_flush` is not used: the batch gathers pipelined answers anyway, and hyper's way holds an answer back
        // for as long as a part of the next request is there, in memory without limit.
        .max_buf_size(settings.max_buffer);
    builder
}
