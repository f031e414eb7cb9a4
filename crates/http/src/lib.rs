//! HTTP on one thread: accepting, limits, timeouts and drain, generic over the application.
//!
//! Everything here runs on a tokio `LocalRuntime`, so tasks are local, nothing is `Send` and nothing is
//! locked. A connection is one task; hyper polls the application inside it, in place.
//!
//! Neighbours: `hostler_worker` decides when to start and to drain; an [`App`] answers requests
//! (`hostler_python` for Python, [`TowerApp`] for native services).
//!
//! Not here: TLS, HTTP/2 and WebSocket, which get modules of their own beside `connection`.

#![forbid(unsafe_code)]

mod accept;
mod app;
mod batch;
mod body;
mod check;
mod connection;
mod drain;
mod tower_app;

pub use accept::{Listener, serve};
pub use app::{Aborted, App, ConnectionInfo, PeerAddress};
pub use body::ReplyBody;
pub use drain::Connections;
pub use tower_app::TowerApp;
