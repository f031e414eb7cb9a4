//! A connection's socket as hyper, or the protocol after it, reads and writes it.

use crate::{
    batch::Batch, connection::ConnectionState, framing::Malformed, handover::Descriptor, interim::Interim,
    outbox::Outbox,
};
use bytes::Bytes;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

/// A socket that writes through an outbox.
pub(crate) struct Batched<S> {
    outbox: Rc<Outbox<S>>,
    /// What another worker had read already.
    unread: Bytes,
}

impl<S: Read + Write + Descriptor + Unpin + 'static> Batched<S> {
    pub(crate) fn new(
        stream: S,
        batch: Batch,
        unread: Bytes,
        state: impl FnOnce(RawFd) -> Rc<ConnectionState>,
    ) -> Self {
        let descriptor = stream.descriptor().as_raw_fd();
        Self { outbox: Rc::new(Outbox::new(stream, descriptor, batch, state(descriptor))), unread }
    }

    /// Does something with the socket's descriptor.
    pub(crate) fn with_descriptor<R>(&self, visit: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        visit(self.outbox.stream.borrow().descriptor())
    }
}

impl<S: Read + Write + Unpin + 'static> Batched<S> {
    /// The connection to which this belongs.
    pub(crate) fn state(&self) -> &Rc<ConnectionState> {
        self.outbox.state()
    }

    /// Puts bytes that were read already before those that are still to be read.
    pub(crate) fn unread_first(&mut self, read: Bytes) {
        self.unread = match (read.is_empty(), self.unread.is_empty()) {
            // It may hold a large buffer all the same.
            (true, _) => return,
            (false, true) => read,
            (false, false) => [read, std::mem::take(&mut self.unread)].concat().into(),
        };
    }

    /// What was read already and is still to be read.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Keeps no buffers that are empty.
    pub(crate) fn shrink(&self) {
        self.outbox.shrink();
    }

    /// Where interim answers go.
    pub(crate) fn interim(&self) -> Interim {
        let outlet: Weak<Outbox<S>> = Rc::downgrade(&self.outbox);
        Interim::new(outlet)
    }

    /// Writes what waits to the socket.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_empty(cx)
    }
}

impl<S: Read + Write + Unpin> Read for Batched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            let read = this.unread.split_to(this.unread.len().min(buf.remaining()));
            buf.put_slice(&read);
            return Poll::Ready(this.seen(&read));
        }
        #[expect(unsafe_code, reason = "the bytes are looked at on their way into a buffer of hyper's")]
        // SAFETY: only the socket writes to the buffer, and it initializes what it fills.
        let mut read = ReadBuf::uninit(unsafe { buf.as_mut() });
        ready!(Pin::new(&mut *this.outbox.stream.borrow_mut()).poll_read(cx, read.unfilled()))?;
        let (count, seen) = (read.filled().len(), this.seen(read.filled()));
        #[expect(unsafe_code, reason = "the bytes are looked at on their way into a buffer of hyper's")]
        // SAFETY: so many bytes have been filled.
        unsafe {
            buf.advance(count);
        }
        Poll::Ready(seen)
    }
}

impl<S> Batched<S> {
    /// Tells the connection what was read.
    fn seen(&self, bytes: &[u8]) -> io::Result<()> {
        let seen = self.outbox.state.has_read(bytes);
        seen.map_err(|Malformed(rule)| io::Error::new(io::ErrorKind::InvalidData, rule))
    }
}

impl<S: Read + Write + Unpin + 'static> Write for Batched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(cx, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_shutdown(cx)
    }
}
