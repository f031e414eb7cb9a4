//! HTTP on one thread: accepting, limits, timeouts and drain, generic over the application.
//!
//! Everything here runs on a tokio `LocalRuntime`, so tasks are local, nothing is `Send` and nothing is
//! locked. A connection is one task; hyper polls the application inside it, in place.
//!
//! Neighbours: `hostler_worker` decides when to start and to drain; an [`App`] answers requests
//! (`hostler_python` for Python, [`TowerApp`] for native services).
//!
//! Not here: TLS and HTTP/2, which get modules of their own beside `connection`; WebSocket, which an application
//! speaks on a connection that it upgrades.

#![deny(unsafe_code)]

mod accept;
mod accept_errors;
mod app;
mod batch;
mod check;
mod connection;
mod connections;
mod deadline;
mod departures;
mod framing;
mod handover;
mod interim;
mod io;
mod load;
mod outbox;
mod request_body;
mod tower_app;
mod upgrade;
mod watch;
mod work;

pub use accept::{Acceptor, Listener};
pub use app::{Aborted, App, ConnectionInfo, Link, PeerAddress};
pub use batch::Overdue;
pub use connections::Connections;
pub use deadline::Deadline;
pub use handover::Line;
pub use interim::Interim;
pub use load::Load;
pub use request_body::RequestBody;
pub use tower_app::TowerApp;
pub use upgrade::{Protocol, Upgraded, Upgrades};
pub use work::{Work, Works};
