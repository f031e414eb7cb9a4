//! What an application knows of a connection.

use std::{net::SocketAddr, path::PathBuf};

/// The two ends of a connection, and how it is protected.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client.
    pub peer: PeerAddress,
    /// The socket that it reached.
    pub local: PeerAddress,
    /// The scheme of the URLs by which clients reach this connection.
    pub scheme: Scheme,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; clients have no path.
    Unix(Option<PathBuf>),
}

/// The scheme of a connection's URLs (RFC 9110 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// Without TLS.
    Http,
}

impl Scheme {
    /// For requests: `http`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
        }
    }

    /// For WebSocket: `ws`.
    #[must_use]
    pub fn websocket(self) -> &'static str {
        match self {
            Self::Http => "ws",
        }
    }
}
