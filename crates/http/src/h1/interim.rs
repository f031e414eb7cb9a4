//! Interim responses (RFC 9110 §15.2), and raw bytes of final ones, beside hyper.
//!
//! hyper writes final responses only, so an interim one is put into the connection's outbox, at a moment when hyper has
//! nothing of an earlier response left to write.

use hyper::{HeaderMap, StatusCode, header::HeaderValue};
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
    /// The head of the final response was sent so.
    fn begun(&self, status: StatusCode, headers: &HeaderMap, length: Option<u64>);
    /// So many bytes of its body were.
    fn sent(&self, bytes: u64);
    /// So was all of it.
    fn ended(&self);
    /// The final response has no length: unless it is completed, closing resets the connection.
    fn ends_with_connection(&self);
    /// The final response will not be completed.
    fn fail(&self);
}

/// No outbox.
struct Nowhere;

impl Outlet for Nowhere {
    fn insert(&self, _bytes: &[u8]) {}

    fn append(&self, _bytes: &[u8]) -> bool {
        false
    }

    fn begun(&self, _status: StatusCode, _headers: &HeaderMap, _length: Option<u64>) {}

    fn sent(&self, _bytes: u64) {}

    fn ended(&self) {}

    fn ends_with_connection(&self) {}

    fn fail(&self) {}
}

impl Interim {
    pub(crate) fn new(outlet: Weak<dyn Outlet>) -> Self {
        Self(outlet)
    }

    /// Sends nothing: HTTP/2 has frames for interim responses, which hyper does not send.
    pub(crate) fn nowhere() -> Self {
        let outlet: Weak<Nowhere> = Weak::new();
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

    /// Sends a 100 (RFC 9110 §15.2.1): the client is to send its request's content.
    pub(crate) fn proceed(&self) {
        if let Some(outlet) = self.0.upgrade() {
            let _ = outlet.append(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Sends the head of a final response past hyper, as `bytes`. False, and nothing is sent, while hyper has bytes of an
    /// earlier response, or if no request waits for one.
    ///
    /// The connection must end with this response: its future fails with [`crate::Aborted`] when all of it was sent.
    #[must_use]
    pub fn begin_response(
        &self,
        (status, headers): (StatusCode, &HeaderMap),
        length: Option<u64>,
        bytes: &[u8],
    ) -> bool {
        let Some(outlet) = self.0.upgrade() else { return false };
        let begun = outlet.append(bytes);
        if begun {
            outlet.begun(status, headers, length);
        }
        begun
    }

    /// Sends a part of its body, as `bytes`, which have so many bytes of the body itself; false if the client is gone.
    #[must_use]
    pub fn send_response_part(&self, bytes: &[u8], of_body: usize) -> bool {
        let Some(outlet) = self.0.upgrade() else { return false };
        let sent = outlet.append(bytes);
        if sent {
            outlet.sent(of_body as u64);
        }
        sent
    }

    /// All of it was sent.
    pub fn response_ended(&self) {
        if let Some(outlet) = self.0.upgrade() {
            outlet.ended();
        }
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
