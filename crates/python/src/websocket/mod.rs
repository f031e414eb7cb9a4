//! WebSocket (RFC 6455) for applications: the handshake, the session that an interface's adapter talks to, and the
//! driver that moves messages between it and the connection. Frames and compression are `hostler_websocket`'s work.
//!
//! Nothing here knows ASGI or RSGI: `asgi::websocket` and `rsgi::websocket` are the adapters.

mod driver;
mod handshake;
mod inbox;
mod session;
mod sockets;

pub(crate) use handshake::{Handshake, asks_for_websocket};
pub(crate) use inbox::Received;
pub(crate) use session::{NotSent, Session, Stage, status_alone};
pub(crate) use sockets::Sockets;

/// The connection ended without a close frame (RFC 6455 §7.1.5).
pub(crate) const ABNORMAL: u16 = 1006;
