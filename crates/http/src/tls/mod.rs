//! TLS: handshakes, and the stream that they make of a socket.
//!
//! [`handshake`] runs inside a connection's task before anything else, under a time limit of its own. [`stream`] is what
//! HTTP reads and writes then, [`facts`] what applications learn of it. Certificates come from the master
//! ([`Certificates::renew`]); connections keep those with which they began.

mod facts;
pub(crate) mod handshake;
pub(crate) mod redirect;
mod refused;
pub(crate) mod stream;

use hostler_settings::HttpVersion;
use hostler_tls::{Delivery, Sites};
use std::{cell::RefCell, io, rc::Rc, time::Duration};

/// The names by which clients ask for HTTP/1 and HTTP/2 (ALPN, RFC 7301).
pub(crate) const HTTP_1: &[u8] = b"http/1.1";
pub(crate) const HTTP_2: &[u8] = b"h2";

/// The certificates of a worker; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Certificates(Rc<Shared>);

struct Shared {
    sites: RefCell<Option<Rc<Sites>>>,
    protocols: &'static [&'static [u8]],
    handshake_timeout: Duration,
}

impl Certificates {
    /// None yet. Clients may speak this version of HTTP, and have so long for a handshake.
    #[must_use]
    pub fn new(version: HttpVersion, handshake_timeout: Duration) -> Self {
        Self(Rc::new(Shared { sites: RefCell::default(), protocols: protocols(version), handshake_timeout }))
    }

    /// Connections that are accepted from now on get what the master has delivered.
    ///
    /// # Errors
    /// `InvalidData` for what cannot be used; the certificates stay as they were.
    pub fn renew(&self, delivery: &Delivery) -> io::Result<()> {
        let invalid = |cause: String| io::Error::new(io::ErrorKind::InvalidData, cause);
        let sites = Sites::new(delivery, self.0.protocols).map_err(invalid)?;
        self.0.sites.replace(Some(Rc::new(sites)));
        Ok(())
    }

    pub(crate) fn sites(&self) -> Option<Rc<Sites>> {
        self.0.sites.borrow().clone()
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.0.handshake_timeout
    }
}

/// What is offered to clients, the preferred protocol first.
fn protocols(version: HttpVersion) -> &'static [&'static [u8]] {
    match version {
        HttpVersion::Auto => &[HTTP_2, HTTP_1],
        HttpVersion::One => &[HTTP_1],
        HttpVersion::Two => &[HTTP_2],
    }
}
