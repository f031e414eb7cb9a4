//! WebSocket (RFC 6455) for applications. Frames and compression are `hostler_websocket`'s work.
//!
//! Nothing here knows ASGI or RSGI: `asgi::websocket` and `rsgi::websocket` are the adapters, each with a [`Interface`].
//!
//! | file | duty |
//! |---|---|
//! | `handshake` | the opening handshake: what the client asks for, and why it is refused |
//! | `session` | the state of one WebSocket, and its end |
//! | `accept` | accepting the handshake; starts the driver |
//! | `messages` | what the application sends and receives |
//! | `inbox` | messages of the client that wait for the application |
//! | `driver` | moving frames between session and connection |
//! | `keepalive` | pings, and how long a client may be silent |
//! | `pending` | the handshake that a connection waits for the response to |
//! | `sockets` | the open WebSockets of a worker |
//! | `interface` | the trait by which a session knows its interface |

mod accept;
mod driver;
mod handshake;
mod inbox;
mod interface;
mod keepalive;
mod messages;
mod pending;
mod session;
mod sockets;

pub(crate) use handshake::{Handshake, asks_for_websocket};
pub(crate) use inbox::Received;
pub(crate) use interface::{Interface, NotSent};
pub(crate) use pending::Pending;
pub(crate) use session::Session;
pub(crate) use sockets::Sockets;

/// The connection ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;
