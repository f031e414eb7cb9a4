//! One connection, from its socket to its end.
//!
//! [`task`] is its future: it gives the socket to hyper ([`http_conn`]), parks it, hands it over ([`idle`]), lets another
//! protocol have it ([`upgrade`]), and closes it ([`closing`]). The state is kept by [`state`], a pure state machine
//! ([`table`] is its form in one byte); what the socket, hyper and the request's body report goes through
//! [`handle::ConnectionHandle`]. [`service`] is what hyper calls for each request, [`stages`] are what it waits for, and
//! [`response`] is what hyper is given. [`unread`] has what is refused before it is a request. [`disconnect`] finds out that
//! clients disconnect. [`turn`] has the loop turn between pipelined requests that are slow.

mod closing;
mod disconnect;
mod due;
mod exchange;
mod handle;
mod http_conn;
mod idle;
mod response;
mod service;
pub(crate) mod speech;
mod stages;
mod state;
mod table;
mod task;
mod turn;
pub(crate) mod unread;
pub(crate) mod upgrade;

pub(crate) use closing::{Closing, turn_away};
pub(crate) use disconnect::DisconnectWatcher;
pub use due::Additions;
pub(crate) use exchange::Exchange;
pub(crate) use handle::ConnectionHandle;
pub(crate) use http_conn::HttpBuilder;
pub(crate) use response::ResponseBody;
pub(crate) use service::{Arriving, call};
pub(crate) use stages::ResponseFuture;
pub(crate) use state::{Event, WaitsFor};
pub(crate) use task::{ConnectionTask, SocketOwner};

use crate::{
    App, BackgroundTasks, ConnectionInfo, HandoverChannel, Link, Load, Upgrades,
    connections::{Connections, Registration},
    files::{Files, x_sendfile::Allowed},
    io::{CoalescingIo, transport::Transport},
    limits::concurrency::Concurrency,
    proxy::Proxies,
    tls::redirect::Redirect,
};
use hostler_settings::HttpVersion;
use hostler_wire::ProxiedEnds;
use hyper::rt::{Read, Write};
use service::AppService;
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// What all connections of a worker share.
pub(crate) struct Server<A> {
    pub(crate) app: A,
    pub(crate) http: HttpBuilder,
    pub(crate) files: Option<Files>,
    pub(crate) x_sendfile: Option<Rc<Allowed>>,
    /// What new connections may speak.
    pub(crate) versions: HttpVersion,
    pub(crate) connections: Connections,
    pub(crate) load: Load,
    pub(crate) handover: HandoverChannel,
    pub(crate) disconnects: DisconnectWatcher,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) proxies: Proxies,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) concurrency: Option<Rc<Concurrency>>,
}

/// Where a connection came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// The index of the listener among the worker's.
    pub(crate) listener: usize,
    /// Accepted during a drain: until then its client may send a request.
    pub(crate) grace_until: Option<Instant>,
    /// What its PROXY header said.
    pub(crate) proxied: Option<ProxiedEnds>,
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
        let facts = self.proxies.facts(&info);
        let upgrades = Upgrades::default();
        let background = BackgroundTasks::new(self.connections.clone(), self.load.clone(), facts.peer);
        let link = Link { upgrades: upgrades.clone(), interim: io.interim(), background };
        let application = Rc::new(self.app.connect(info.clone(), link));
        let handle = Rc::clone(io.handle());
        let _open = self.load.connection();
        let service = AppService { connection: application, server: self, handle, facts };
        ConnectionTask::new(io, service, (info, upgrades), origin, registration).await;
    }
}
