//! HTTP on one thread: accepting, limits, timeouts and drain, generic over the application.
//!
//! Everything here runs on a tokio `LocalRuntime`, so tasks are local, nothing is `Send` and nothing is locked. A
//! connection is one task; hyper polls the application inside it, in place.
//!
//! ```text
//! accept      a socket, when it is this worker's turn      ─► connection
//! connection  one connection's life; hyper and the service  ─► app
//! h1          the rules of HTTP/1 that hyper does not check
//! io          the socket as hyper sees it; coalesced writes
//! request     a request's body, record, and background tasks
//! limits      how long clients and applications may take
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
mod connection;
mod connections;
mod h1;
mod handover;
mod io;
mod limits;
mod load;
mod request;

pub use accept::{Acceptor, Listener};
pub use app::{
    Aborted, App, Link, Streams,
    info::{ConnectionInfo, PeerAddress, Scheme},
    tower::TowerApp,
};
pub use connection::upgrade::{Protocol, Upgraded, Upgrades};
pub use connections::{Connections, IDLE_GRACE};
pub use h1::interim::Interim;
pub use handover::HandoverChannel;
pub use io::batch::Overdue;
pub use limits::deadline::Deadline;
pub use load::Load;
pub use request::{
    background::{BackgroundTask, BackgroundTasks},
    body::RequestBody,
};
