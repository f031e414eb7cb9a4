//! One connection, from its socket to its end.
//!
//! [`task`] is its future: it gives the socket to hyper ([`http_conn`]), parks it, hands it over ([`idle`]), lets another
//! protocol have it ([`upgrade`]), and closes it ([`closing`]). The state is kept by [`state`], a pure state machine
//! ([`table`] is its form in one byte); what the socket, hyper and the request's body report goes through
//! [`handle::ConnectionHandle`]. [`service`] is what hyper calls for each request, and [`response`] what it is given.
//! [`disconnect`] finds out that clients disconnect. [`turn`] has the loop turn between pipelined requests that are slow.

mod closing;
mod disconnect;
mod handle;
mod http_conn;
mod idle;
mod response;
mod service;
mod state;
mod table;
mod task;
mod turn;
pub(crate) mod upgrade;

pub(crate) use disconnect::DisconnectWatcher;
pub(crate) use handle::ConnectionHandle;
pub(crate) use http_conn::HttpBuilder;
pub(crate) use state::{Event, WaitsFor};

use crate::{
    App, BackgroundTasks, ConnectionInfo, HandoverChannel, Link, Load, PeerAddress, Upgrades,
    connections::{Connections, Registration},
    io::{CoalescingIo, transport::Transport},
};
use hyper::rt::{Read, Write};
use service::AppService;
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use task::ConnectionTask;

/// What all connections of a worker share.
pub(crate) struct Server<A> {
    pub(crate) app: A,
    pub(crate) http: HttpBuilder,
    pub(crate) connections: Connections,
    pub(crate) load: Load,
    pub(crate) handover: HandoverChannel,
    pub(crate) disconnects: DisconnectWatcher,
    pub(crate) request_timeout: Option<Duration>,
}

/// Where a connection came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// The index of the listener among the worker's.
    pub(crate) listener: usize,
    /// Accepted during a drain: until then its client may send a request.
    pub(crate) grace_until: Option<Instant>,
}

impl Origin {
    /// Whether the connection was accepted so late in a drain that its client may still send a request.
    pub(crate) fn is_new(&self) -> bool {
        self.grace_until.is_some_and(|until| Instant::now() < until)
    }
}

impl<A: App<Body: Unpin>> Server<A> {
    /// Serves one connection until either side ends it or another worker takes it over. `info` is complete: any
    /// handshake is done.
    pub(crate) async fn serve<S>(
        self: Rc<Self>,
        io: CoalescingIo<S>,
        info: ConnectionInfo,
        origin: Origin,
        registration: Registration,
    ) where
        S: Read + Write + Transport + Unpin + 'static,
    {
        let peer = match info.peer {
            PeerAddress::Tcp(peer) => Some(peer),
            PeerAddress::Unix(_) => None,
        };
        let upgrades = Upgrades::default();
        let background = BackgroundTasks::new(self.connections.clone(), self.load.clone());
        let link = Link { upgrades: upgrades.clone(), interim: io.interim(), background };
        let application = Rc::new(self.app.connect(info, link));
        let handle = Rc::clone(io.handle());
        let _open = self.load.connection();
        let service = AppService { connection: application, server: self, handle, peer };
        ConnectionTask::new(io, service, upgrades, origin, registration).await;
    }
}
