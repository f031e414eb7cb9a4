//! Client, server, scheme and HTTP version of a request: interfaces take them from here only.
//!
//! They are the same for all requests of a connection, so each interface puts them into a template that requests copy,
//! unless a trusted proxy said something else of a request ([`forwarded`]).

use hostler_http::{ConnectionInfo, Forwarded, PeerAddress, Scheme, TlsInfo};
use hyper::{Request, Version};
use pyo3::{Py, Python, types::PyString};
use std::sync::Arc;

/// Client, server and scheme of a request.
pub(crate) struct RequestMeta {
    pub(crate) scheme: Scheme,
    /// The client that applications see.
    pub(crate) client: PeerAddress,
    /// The address that the client connected to.
    pub(crate) server: PeerAddress,
    /// The handshake of the connection, if it was one over TLS.
    pub(crate) tls: Option<Arc<TlsInfo>>,
}

impl RequestMeta {
    /// For every request of a connection.
    pub(crate) fn of(info: ConnectionInfo) -> Self {
        Self { scheme: info.scheme, client: info.peer, server: info.local, tls: info.tls }
    }
}

/// What a trusted proxy said of a request; most are not of a proxy.
#[inline]
pub(crate) fn forwarded<B>(request: &Request<B>) -> Option<&Forwarded> {
    request.extensions().get()
}

/// How an interface writes the version of HTTP.
pub(crate) struct Versions {
    http_10: &'static str,
    http_11: &'static str,
    http_2: &'static str,
}

pub(crate) const ASGI_VERSIONS: Versions = Versions { http_10: "1.0", http_11: "1.1", http_2: "2" };
pub(crate) const RSGI_VERSIONS: Versions = Versions { http_10: "1", http_11: "1.1", http_2: "2" };
/// `SERVER_PROTOCOL`, as in a status line.
pub(crate) const WSGI_VERSIONS: Versions =
    Versions { http_10: "HTTP/1.0", http_11: "HTTP/1.1", http_2: "HTTP/2" };

impl Versions {
    pub(crate) fn text(&self, version: Version) -> &'static str {
        match version {
            Version::HTTP_10 => self.http_10,
            Version::HTTP_2 => self.http_2,
            _ => self.http_11,
        }
    }

    /// As Python strings, made once.
    pub(crate) fn interned(&self, py: Python<'_>) -> VersionNames {
        let text = |text| PyString::intern(py, text).unbind();
        VersionNames { http_10: text(self.http_10), http_11: text(self.http_11), http_2: text(self.http_2) }
    }
}

/// Versions of HTTP as Python strings.
pub(crate) struct VersionNames {
    http_10: Py<PyString>,
    http_11: Py<PyString>,
    http_2: Py<PyString>,
}

impl VersionNames {
    pub(crate) fn of(&self, version: Version) -> &Py<PyString> {
        match version {
            Version::HTTP_10 => &self.http_10,
            Version::HTTP_2 => &self.http_2,
            _ => &self.http_11,
        }
    }
}
