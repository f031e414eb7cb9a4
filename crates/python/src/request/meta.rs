//! Client, server, scheme and HTTP version of a request: interfaces take them from here only.
//!
//! On a connection without TLS and proxies they are the same for all requests, so each interface puts them into a
//! template that requests copy. What sets them for a request (a proxy's headers) or for a connection (PROXY protocol,
//! TLS) belongs here.

use hostler_http::{ConnectionInfo, PeerAddress, Scheme};
use hyper::Version;
use pyo3::{Py, Python, types::PyString};

/// Client, server and scheme of a request.
pub(crate) struct RequestMeta {
    pub(crate) scheme: Scheme,
    /// The client that applications see.
    pub(crate) client: PeerAddress,
    /// The address that the client connected to.
    pub(crate) server: PeerAddress,
}

impl RequestMeta {
    /// For every request of a connection.
    pub(crate) fn of(info: ConnectionInfo) -> Self {
        Self { scheme: info.scheme, client: info.peer, server: info.local }
    }
}

/// How an interface writes the version of HTTP.
pub(crate) struct Versions {
    http_10: &'static str,
    http_11: &'static str,
}

pub(crate) const ASGI_VERSIONS: Versions = Versions { http_10: "1.0", http_11: "1.1" };
pub(crate) const RSGI_VERSIONS: Versions = Versions { http_10: "1", http_11: "1.1" };
/// `SERVER_PROTOCOL`, as in a status line.
pub(crate) const WSGI_VERSIONS: Versions = Versions { http_10: "HTTP/1.0", http_11: "HTTP/1.1" };

impl Versions {
    pub(crate) fn text(&self, version: Version) -> &'static str {
        if version == Version::HTTP_10 { self.http_10 } else { self.http_11 }
    }

    /// As Python strings, made once.
    pub(crate) fn interned(&self, py: Python<'_>) -> VersionNames {
        let text = |text| PyString::intern(py, text).unbind();
        VersionNames { http_10: text(self.http_10), http_11: text(self.http_11) }
    }
}

/// Versions of HTTP as Python strings.
pub(crate) struct VersionNames {
    http_10: Py<PyString>,
    http_11: Py<PyString>,
}

impl VersionNames {
    pub(crate) fn of(&self, version: Version) -> &Py<PyString> {
        if version == Version::HTTP_10 { &self.http_10 } else { &self.http_11 }
    }
}
