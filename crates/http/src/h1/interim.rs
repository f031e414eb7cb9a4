//! Interim responses (RFC 9110 §15.2), and raw bytes of final ones, beside hyper.
//!
//! hyper writes final responses only, so an interim one is put into the connection's outbox, at a moment when hyper has
//! nothing of an earlier response left to write.

use hyper::header::HeaderValue;
use std::rc::Weak;

/// Sends interim responses on a connection; cheap to clone, for one thread. It does not keep the socket open: applications
/// may hold it after the connection has ended.
#[derive(Clone)]
pub struct Interim(Weak<dyn Outlet>);

/// The outbox of a connection.
pub(crate) trait Outlet {
    /// Sends these bytes after all that was written, unless hyper has bytes of an earlier response or no request waits.
    fn insert(&self, bytes: &[u8]);
    /// Sends these bytes of a final response likewise; false if that is not possible now. What the socket does not take is
    /// buffered.
    fn append(&self, bytes: &[u8]) -> bool;
    /// The final response has no length: unless it is completed, closing resets the connection.
    fn ends_with_connection(&self);
    /// The final response will not be completed.
    fn fail(&self);
}

impl Interim {
    pub(crate) fn new(outlet: Weak<dyn Outlet>) -> Self {
        Self(outlet)
    }

    /// Sends a 103 (RFC 8297) with these `Link` headers. Hints may be lost: those of a request that length another
    /// one without waiting for its response are, and those for a client that does not read.
    ///
    /// The request must be of HTTP/1.1. Nothing is sent once its response has begun.
    pub fn early_hints(&self, links: &[HeaderValue]) {
        let Some(outlet) = self.0.upgrade() else { return };
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
        for link in links {
            bytes.extend_from_slice(b"link: ");
            bytes.extend_from_slice(link.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        outlet.insert(&bytes);
    }

    /// Sends bytes of a final response past hyper: the head first, then the body as it is framed. False, and nothing is
    /// sent, while hyper has bytes of an earlier response, or if no request waits for one.
    ///
    /// The connection must end with this response: its future fails with [`crate::Aborted`] when all of it was sent.
    #[must_use]
    pub fn send_response_part(&self, bytes: &[u8]) -> bool {
        self.0.upgrade().is_some_and(|outlet| outlet.append(bytes))
    }

    /// The response of which the head was sent has no length. If the server fails before its end, the connection is reset,
    /// so that the client does not take what it received for the whole response.
    pub fn ends_with_connection(&self) {
        if let Some(outlet) = self.0.upgrade() {
            outlet.ends_with_connection();
        }
    }

    /// The response that was begun will not be completed: nothing more of it is sent.
    pub fn response_failed(&self) {
        if let Some(outlet) = self.0.upgrade() {
            outlet.fail();
        }
    }
}
