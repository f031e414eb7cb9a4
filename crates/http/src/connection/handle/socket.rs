//! The socket of a connection: what was read and written, and whether the client is still there.

use super::ConnectionHandle;
use crate::{connection::state::Event, request::refusal::Refusal};
use hostler_sys::{board, stream::Disconnect};
use std::{io, net::SocketAddr, os::fd::RawFd};

impl ConnectionHandle {
    /// The connection is that of this client, which is behind a proxy.
    pub(crate) fn is_of(&self, client: SocketAddr) {
        // A connection has one PROXY header.
        let _ = self.proxied.set(client);
    }

    /// Reading or writing fails: the client is gone, or cannot be reached.
    #[cold]
    pub(crate) fn socket_failed(&self, error: &io::Error) {
        if is_lost(error) {
            self.lost.set(true);
        }
    }

    /// Whether the client is gone, as reading or writing has shown.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// These bytes were received; none is the client's end-of-file.
    pub(crate) fn has_read(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.reads.set(self.reads.get().wrapping_add(1));
        if let Some(page) = board::own() {
            page.bytes_read(bytes.len());
        }
        if !self.id().is_http() {
            return self.http2().map_or(Ok(()), |http2| http2.read(bytes));
        }
        self.on(Event::BytesRead);
        let framed = self.framing.borrow_mut().read(bytes, self.connections.limits());
        framed.inspect_err(|refusal| self.refuse(*refusal))
    }

    /// The client's address for the log, as its PROXY header or the socket says.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        self.proxied.get().copied().or_else(|| hostler_sys::stream::peer_of(self.descriptor))
    }

    /// The socket has taken so many bytes.
    pub(crate) fn has_written(&self, count: usize) {
        self.blocked.set(false);
        self.sent.set(self.sent.get().wrapping_add(count as u64));
        if let Some(page) = board::own() {
            page.bytes_written(count);
        }
    }

    /// The send buffer of the socket is full.
    pub(crate) fn write_blocked(&self) {
        self.blocked.set(true);
    }

    /// Whether the last write found the send buffer of the socket full.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Has closing the socket reset the connection, so that the client sees that its response is not complete.
    pub(crate) fn reset_on_close(&self, reset: bool) {
        if self.resets.replace(reset) != reset {
            // It fails only on a connection that is broken already.
            let _ = hostler_sys::stream::reset_on_close(self.descriptor, reset);
        }
    }

    /// Whether closing the socket resets the connection.
    pub(crate) fn resets_on_close(&self) -> bool {
        self.resets.get()
    }

    /// The socket's descriptor, for system calls that only inspect it.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The client has disconnected; whether that was unknown.
    pub(crate) fn disconnected(&self, disconnect: Disconnect) -> bool {
        self.disconnect.replace(Some(disconnect)) != Some(disconnect)
    }

    /// How the client has disconnected, if it has.
    pub(crate) fn disconnect(&self) -> Option<Disconnect> {
        self.disconnect.get()
    }

    /// Whether the kernel holds bytes of the client that were not read yet.
    pub(crate) fn has_unread(&self) -> bool {
        hostler_sys::stream::unread(self.descriptor) > 0
    }

    /// Whether closing could cost the client bytes that it has not acknowledged.
    pub(crate) fn has_unsent(&self) -> bool {
        hostler_sys::stream::loses_on_close(self.descriptor)
    }
}

/// Whether an error is that of a connection whose client is gone, rather than one of a file that is sent.
fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::BrokenPipe
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}
