//! Accepting: a worker accepts one connection a turn, only while its loop turns, and only if no sibling that has less
//! to do would.
//!
//! The queue is the kernel's and is shared by all workers, and every worker is woken by every connection. Those that
//! have more to do than a healthy sibling defer to it ([`gate`]) for a moment each, so a connection that no sibling
//! accepts is accepted all the same.
//!
//! Where each slot has a socket of its own, a worker accepts from its own without asking, and from the others when it
//! sees that their workers do not ([`gate::Gate::is_slot_served`]).
//!
//! [`open`] turns what was accepted or handed over into a connection's task; TLS handshakes begin there, and a PROXY header
//! belongs there.

mod errors;
pub(crate) mod gate;
mod listener;
mod open;

pub use listener::Listener;

use crate::{
    App, Connections, HandoverChannel, Load,
    connection::{DisconnectWatcher, HttpBuilder, Server},
    connections::Phase,
    files::{Files, x_sendfile::Allowed},
    handover::ReceivedConnection,
    io::batch::{Batch, Overdue},
    limits::concurrency::Concurrency,
    proxy::Proxies,
    tls::{Certificates, redirect::Redirect},
};
use errors::{Attempts, is_out_of_descriptors};
use hostler_settings::{Settings, Tls};
use hostler_sys::{handshakes, socket, stream};
use hostler_wire::ListenerInfo;
use open::Arrival;
use std::{
    future::{Future, poll_fn},
    io,
    os::fd::AsFd,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tracing::warn;

/// How long a worker with more to do leaves a connection to its siblings, and how often in a row.
const DEFER_INTERVAL: Duration = Duration::from_millis(1);
const MAX_DEFERS: u32 = 16;

/// How often to check whether a sibling neglects a queue of its own.
const RESCUE_INTERVAL: Duration = Duration::from_millis(5);

/// What all accepting tasks of a worker share.
pub struct Acceptor<A: App> {
    server: Rc<Server<A>>,
    listeners: Vec<Listener>,
    certificates: Certificates,
    batch: Batch,
}

/// Where requests without TLS are redirected to, if they are.
fn redirect(settings: &Tls, listeners: &[Listener]) -> Option<Redirect> {
    let port = listeners.iter().filter(|listener| listener.tls).find_map(|listener| match &listener.info {
        ListenerInfo::Tcp(address) => Some(address.port()),
        ListenerInfo::Unix(_) => None,
    });
    port.filter(|_| settings.redirect_https).map(Redirect::to)
}

impl<A: App<Body: Unpin>> Acceptor<A> {
    /// An acceptor for these listeners; it does nothing before [`Acceptor::start`].
    ///
    /// # Errors
    /// The kernel's, for a directory of static files that cannot be entered.
    pub fn new(
        app: A,
        settings: &Settings,
        listeners: Vec<Listener>,
        certificates: Certificates,
        connections: Connections,
        load: Load,
        handover: HandoverChannel,
    ) -> io::Result<Rc<Self>> {
        let batch = Batch::new(load.page());
        let server = Server {
            app,
            http: HttpBuilder::new(&settings.http, settings.http2),
            files: Files::new(&settings.static_files)?,
            x_sendfile: Allowed::new(&settings.static_files)?,
            versions: settings.http.version,
            connections,
            load,
            handover,
            disconnects: DisconnectWatcher::default(),
            request_timeout: settings.http.request_timeout,
            concurrency: Concurrency::new(&settings.limits),
            proxies: Proxies::new(&settings.proxy, settings.http.header_read_timeout),
            redirect: redirect(&settings.tls, &listeners),
        };
        Ok(Rc::new(Self { server: Rc::new(server), listeners, certificates, batch }))
    }

    /// Accepts and serves connections until the drain begins, on tasks of this thread's runtime.
    pub fn start(self: &Rc<Self>) {
        tokio::task::spawn_local(self.batch.clone().run_flusher());
        for index in 0..self.listeners.len() {
            tokio::task::spawn_local(Rc::clone(self).accept_from(index));
            if !self.listeners[index].neighbours.is_empty() {
                tokio::task::spawn_local(Rc::clone(self).rescue(index));
            }
        }
        tokio::task::spawn_local(Rc::clone(self).receive_handovers());
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.server.app
    }

    /// What another thread may send while the application blocks this one.
    pub fn overdue(&self) -> Overdue {
        self.batch.overdue()
    }

    /// Leaves connections beyond this worker's share to the others, as they become idle.
    pub fn share_connections(&self) {
        let surplus = self.server.load.gate().surplus();
        self.server.connections.leave(surplus);
    }

    /// Accepts what waits in the queues although the drain began, when no other worker will.
    pub async fn empty_queues(self: &Rc<Self>) {
        for (index, listener) in self.listeners.iter().enumerate() {
            while let Ok((socket, peer)) = listener.accept_now() {
                self.open(index, socket, peer, Arrival::Accepted);
                tokio::task::yield_now().await;
            }
            for (_, socket) in &listener.neighbours {
                while let Ok((connection, peer)) = socket::accept(socket.as_fd()) {
                    self.open(index, connection, peer, Arrival::Accepted);
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Whether clients are about to be in the queues: their handshakes have begun.
    pub fn awaits_handshakes(&self) -> bool {
        self.listeners.iter().any(|listener| match &listener.info {
            ListenerInfo::Tcp(address) => handshakes::are_under_way(address.port()),
            ListenerInfo::Unix(_) => false,
        })
    }

    /// Receives what waits in the handover channel although the drain began.
    pub async fn empty_handover(self: &Rc<Self>) {
        while self.receive_handover().is_ok() {
            tokio::task::yield_now().await;
        }
    }

    async fn accept_from(self: Rc<Self>, index: usize) {
        let listener = &self.listeners[index];
        let mut attempts = Attempts::default();
        while self.until_drain(listener.ready()).await {
            let shared = listener.neighbours.is_empty();
            if shared && !self.until_drain(self.defer_to_siblings()).await
                || !self.until_drain(self.server.connections.have_room()).await
            {
                return;
            }
            match listener.accept() {
                Ok((socket, peer)) => {
                    attempts.succeeded();
                    self.server.load.page().connection_accepted();
                    self.open(index, socket, peer, Arrival::Accepted);
                }
                Err(error) => attempts.failed(&error).await,
            }
            // Connections that are ready go first: the next one may suit a sibling better.
            tokio::task::yield_now().await;
        }
    }

    /// Accepts for slots whose workers do not: those that are blocked, and those that are gone.
    async fn rescue(self: Rc<Self>, index: usize) {
        let mut checks = tokio::time::interval(RESCUE_INTERVAL);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self
            .until_drain(async {
                checks.tick().await;
            })
            .await
        {
            for (slot, socket) in &self.listeners[index].neighbours {
                while !self.server.load.gate().is_slot_served(*slot)
                    && !self.server.connections.phase().is_drain()
                    && !self.server.connections.is_full()
                    && let Ok((connection, peer)) = socket::accept(socket.as_fd())
                {
                    self.server.load.page().connection_accepted();
                    self.open(index, connection, peer, Arrival::Accepted);
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Takes over connections from workers that drain.
    async fn receive_handovers(self: Rc<Self>) {
        let mut attempts = Attempts::default();
        while self.until_drain(self.server.handover.ready()).await {
            if !self.until_drain(self.defer_to_siblings()).await {
                return;
            }
            match self.receive_handover() {
                Ok(()) => attempts.succeeded(),
                Err(error) => attempts.failed(&error).await,
            }
            tokio::task::yield_now().await;
        }
    }

    fn receive_handover(self: &Rc<Self>) -> io::Result<()> {
        let ReceivedConnection { socket, listener, proxied, unread } = match self.server.handover.receive() {
            Ok(received) => received,
            Err(error) => {
                let harmless = error.kind() == io::ErrorKind::WouldBlock || is_out_of_descriptors(&error);
                if !harmless {
                    warn!(%error, "a connection that was handed over could not be received and is closed");
                }
                return Err(error);
            }
        };
        let peer = stream::peer(socket.as_fd());
        let listener = self.listener_like(listener, peer.is_some());
        if let Some(listener) = listener {
            self.open(listener, socket, peer, Arrival::HandedOver(unread, proxied));
        }
        Ok(())
    }

    /// The listener of this number; another one of its kind if the connection comes from a server with other
    /// listeners.
    fn listener_like(&self, number: usize, is_tcp: bool) -> Option<usize> {
        let suits = |listener: &Listener| matches!(listener.info, ListenerInfo::Tcp(_)) == is_tcp;
        let same = self.listeners.get(number).is_some_and(suits).then_some(number);
        same.or_else(|| self.listeners.iter().position(suits))
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

    /// Waits until no healthy sibling has less to do, for [`MAX_DEFERS`] intervals at most.
    async fn defer_to_siblings(&self) {
        for _ in 0..MAX_DEFERS {
            let is_own = self.server.load.gate().is_least_loaded();
            if is_own || self.server.connections.phase() == Phase::LameDuck {
                return;
            }
            tokio::time::sleep(DEFER_INTERVAL).await;
        }
    }
}
