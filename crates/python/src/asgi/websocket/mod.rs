//! WebSocket (RFC 6455) for ASGI: the handshake, the session that the application talks to, and the driver that
//! moves messages between it and the connection. Framing, masking and UTF-8 are tungstenite's work.
//!
//! Not here: permessage-deflate; a client that offers it is answered without.

mod driver;
mod handshake;
mod session;

pub(super) use handshake::{Handshake, asks_for_websocket};
pub(super) use session::Session;
