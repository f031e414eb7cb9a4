//! Interim answers (RFC 9110 §15.2): what goes to the client before its final answer.
//!
//! hyper writes final answers only, so an interim one is put among what the connection sends, at a moment when
//! hyper has nothing of an earlier answer left to write.

use hyper::header::HeaderValue;
use std::rc::Weak;

/// Where interim answers of a connection go; cheap to clone, for one thread. Applications may keep it longer than the
/// connection lives, whose socket it does not hold open.
#[derive(Clone)]
pub struct Interim(Weak<dyn Outlet>);

/// A connection's way out.
pub(crate) trait Outlet {
    /// Sends these bytes after all that was written, unless hyper holds an answer back or no request waits.
    fn insert(&self, bytes: &[u8]);
    /// Sends these bytes of a final answer likewise; false if it may not be now. What the socket does not take is kept.
    fn append(&self, bytes: &[u8]) -> bool;
}

impl Interim {
    pub(crate) fn new(outlet: Weak<dyn Outlet>) -> Self {
        Self(outlet)
    }

    /// Sends a 103 (RFC 8297) with these `Link` headers. Hints may be lost: those of a request that follows another
    /// one without waiting for its answer are, and those for a client that does not read.
    ///
    /// The request must be of HTTP/1.1. Nothing is sent once it is answered.
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

    /// Sends bytes of a final answer that hyper does not know of: the head first, then the body as it is framed. False,
    /// and nothing is sent, while an earlier answer has not left hyper, or if nobody waits for one.
    ///
    /// The connection must end with this answer: it is given up ([`crate::Aborted`]) when all of it was sent.
    #[must_use]
    pub fn answer_in_part(&self, bytes: &[u8]) -> bool {
        self.0.upgrade().is_some_and(|outlet| outlet.append(bytes))
    }
}
