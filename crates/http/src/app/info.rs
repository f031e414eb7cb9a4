//! What an application knows of a connection.

use crate::Forwarded;
use hostler_wire::ProxiedEnds;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// The two ends of a connection, and how it is protected.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client.
    pub peer: PeerAddress,
    /// The socket that it reached.
    pub local: PeerAddress,
    /// The scheme of the URLs by which clients reach this connection.
    pub scheme: Scheme,
    /// What was agreed on in the handshake; `None` without TLS.
    pub tls: Option<Arc<TlsInfo>>,
}

impl ConnectionInfo {
    /// Those of a connection without TLS.
    #[must_use]
    pub fn plain(peer: PeerAddress, local: PeerAddress) -> Self {
        Self { peer, local, scheme: Scheme::Http, tls: None }
    }

    /// Those of the same connection after a handshake.
    #[must_use]
    pub fn over_tls(self, tls: TlsInfo) -> Self {
        Self { scheme: Scheme::Https, tls: Some(Arc::new(tls)), ..self }
    }

    /// Has what a PROXY header said of the connection take the place of what its socket says.
    pub(crate) fn proxied(&mut self, ends: Option<ProxiedEnds>) {
        if let Some(ProxiedEnds { peer, local }) = ends {
            (self.peer, self.local) = (PeerAddress::Tcp(peer), PeerAddress::Tcp(local));
        }
    }

    /// Has what a proxy said of a request take the place of what the connection says.
    pub(crate) fn forward(&mut self, forwarded: &Forwarded) {
        if let Some(client) = forwarded.client {
            self.peer = PeerAddress::Tcp(client);
        }
        self.scheme = forwarded.scheme.unwrap_or(self.scheme);
    }
}

/// What client and server agreed on in a TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version as it is on the wire: `0x0303` is TLS 1.2, `0x0304` TLS 1.3.
    pub version: u16,
    /// The cipher suite's number and name (IANA).
    pub cipher_suite: (u16, &'static str),
    /// The host that the client asked for (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// The protocol that was agreed on (ALPN, RFC 7301); `None` if the client offered none.
    pub protocol: Option<TlsProtocol>,
    /// The server's certificate, as PEM.
    pub server_certificate: Arc<str>,
    /// The client's certificate, if it has sent one. It was verified.
    pub client: Option<ClientCertificate>,
}

/// A protocol that can be agreed on in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProtocol {
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate, and those that the client sent to certify it, as PEM.
    pub chain: Vec<String>,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; clients have no path.
    Unix(Option<PathBuf>),
}

impl PeerAddress {
    /// The address and the port; `None` for a Unix socket.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// The scheme of a connection's URLs (RFC 9110 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// For requests: `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// For WebSocket: `ws` or `wss`.
    #[must_use]
    pub fn websocket(self) -> &'static str {
        match self {
            Self::Http => "ws",
            Self::Https => "wss",
        }
    }
}
