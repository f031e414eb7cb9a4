//! HTTP on one thread: accepting, limits, timeouts and drain, generic over the application.
//!
//! Everything here runs on a tokio `LocalRuntime`, so tasks are local, nothing is `Send` and nothing is locked. A
//! connection is one task; hyper polls the application inside it, in place.
//!
//! ```text
//! accept      a socket, when it is this worker's turn      ─► connection
//! connection  one connection's life; hyper and the service  ─► app
//! h1          the rules of HTTP/1 that hyper does not check
//! h2          HTTP/2: streams, the lanes on which they are served, and the end of their connection
//! io          the socket as hyper sees it; coalesced writes
//! tls         handshakes, and the stream that they make of a socket
//! request     a request's body, record, and background tasks
//! files       files as responses
//! compress    compressed responses
//! log         the access log
//! limits      how long clients and applications may take
//! proxy       what trusted proxies say of a request's client, scheme and host
//! handover    idle connections on their way to another worker
//! app         what an application is: the trait, and tower services
//! ```
//!
//! Neighbours: `hostler_worker` decides when to start and to drain; an [`App`] responds to requests (`hostler_python`
//! for Python, [`TowerApp`] for native services).
//!
//! Not here: WebSocket, which an application speaks on a connection that it upgrades.

#![deny(unsafe_code)]

mod accept;
mod app;
mod compress;
mod connection;
mod connections;
mod files;
#[cfg(test)]
mod fuzzing;
mod h1;
mod h2;
mod handover;
mod io;
mod limits;
mod load;
mod log;
mod proxy;
mod request;
mod tls;

pub use accept::{Acceptor, Listener};
pub use app::{
    Aborted, App, Link, Streams,
    info::{ClientCertificate, ConnectionInfo, PeerAddress, Scheme, TlsInfo, TlsProtocol},
    tower::TowerApp,
    upgrade::worker_ends,
};
pub use compress::HeadOfFile;
pub use connection::Additions;
pub use connection::upgrade::{Protocol, Upgraded, Upgrades};
pub use connections::{Connections, IDLE_GRACE};
pub use files::body::{FileBody, FileCut};
pub use h1::interim::Interim;
pub use handover::HandoverChannel;
pub use io::batch::Overdue;
pub use limits::deadline::Deadline;
pub use load::{Features, Load};
pub use log::{
    facts::{Began, RequestFacts},
    queue::Waiting,
};
pub use proxy::Forwarded;
pub use request::{
    background::{BackgroundTask, BackgroundTasks},
    body::{BodyError, RequestBody},
    id::{RequestId, RequestIds},
};
pub use tls::Certificates;
