//! A connection's socket as hyper, or the protocol after it, reads and writes it.
//!
//! Writes go through an [`outbox`]; those of all connections are sent together at the end of a turn of the loop
//! ([`batch`]). Bytes that are read are inspected on their way ([`crate::h1::framing`]).

pub(crate) mod batch;
pub(crate) mod file_pieces;
mod outbox;
mod overdue;
pub(crate) mod transport;
pub(crate) mod watch;

use crate::{connection::ConnectionHandle, h1::interim::Interim};
use batch::Batch;
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use outbox::Outbox;
use std::{
    io::{self, IoSlice},
    os::fd::BorrowedFd,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};
use transport::Transport;

/// A socket whose small writes are coalesced with those of other connections.
pub(crate) struct CoalescingIo<S> {
    outbox: Rc<Outbox<S>>,
    /// What was read already: by another worker, or before hyper had the socket.
    unread: Bytes,
}

impl<S: Read + Write + Transport + Unpin + 'static> CoalescingIo<S> {
    pub(crate) fn new(stream: S, batch: Batch, unread: Bytes, handle: Rc<ConnectionHandle>) -> Self {
        if !S::CAN_HAND_OVER {
            handle.stays_here();
        }
        Self { outbox: Rc::new(Outbox::new(stream, batch, handle)), unread }
    }

    /// Another one for the same socket, which is to be used when this one is not any more.
    pub(crate) fn twin(&self) -> Self {
        Self { outbox: Rc::clone(&self.outbox), unread: Bytes::new() }
    }

    /// Calls `visit` with the socket.
    pub(crate) fn with_socket<R>(&self, visit: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        visit(self.outbox.stream.borrow().socket())
    }
}

impl<S: Read + Write + Transport + Unpin + 'static> CoalescingIo<S> {
    /// The connection of this socket.
    pub(crate) fn handle(&self) -> &Rc<ConnectionHandle> {
        &self.outbox.handle
    }

    /// Has bytes that were read already read again, before any others.
    pub(crate) fn unread_first(&mut self, read: Bytes) {
        self.unread = match (read.is_empty(), self.unread.is_empty()) {
            // Though empty, it may keep a large buffer alive.
            (true, _) => return,
            (false, true) => read,
            (false, false) => [read, std::mem::take(&mut self.unread)].concat().into(),
        };
    }

    /// Takes what was read already and would be read again.
    pub(crate) fn take_unread(&mut self) -> Bytes {
        std::mem::take(&mut self.unread)
    }

    /// Sends these few bytes, when the socket is written to next.
    pub(crate) fn put(&self, bytes: &[u8]) {
        self.outbox.add(bytes);
    }

    /// What was read already and is to be read again.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Forgets what was read already but for so many of the last bytes.
    pub(crate) fn keep_unread(&mut self, count: usize) {
        self.unread.advance(self.unread.len().saturating_sub(count));
    }

    /// How many bytes the socket has not taken yet.
    pub(crate) fn buffered(&self) -> usize {
        self.outbox.buffered()
    }

    /// Frees empty buffers.
    pub(crate) fn shrink(&self) {
        self.outbox.shrink();
    }

    /// Sends interim responses on this connection.
    pub(crate) fn interim(&self) -> Interim {
        let outlet: Weak<Outbox<S>> = Rc::downgrade(&self.outbox);
        Interim::new(outlet)
    }

    /// Puts the last bytes of the connection into the outbox.
    pub(crate) fn append(&self, bytes: &[u8]) {
        self.outbox.append_last(bytes);
    }

    /// Writes the outbox to the socket.
    pub(crate) fn poll_send_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_send_all(cx)
    }
}

impl<S: Read + Write + Transport + Unpin + 'static> Read for CoalescingIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            let read = this.unread.split_to(this.unread.len().min(buf.remaining()));
            buf.put_slice(&read);
            return Poll::Ready(this.report(&read));
        }
        #[expect(unsafe_code, reason = "the bytes are inspected on their way into hyper's buffer")]
        // SAFETY: only the socket writes to the buffer, and it initializes what it fills.
        let mut read = ReadBuf::uninit(unsafe { buf.as_mut() });
        let polled = Pin::new(&mut *this.outbox.stream.borrow_mut()).poll_read(cx, read.unfilled());
        if S::SEALS {
            this.outbox.answer();
        }
        ready!(polled).inspect_err(|error| this.outbox.handle.socket_failed(error))?;
        let (count, framed) = (read.filled().len(), this.report(read.filled()));
        #[expect(unsafe_code, reason = "the bytes are inspected on their way into hyper's buffer")]
        // SAFETY: as many bytes have been filled.
        unsafe {
            buf.advance(count);
        }
        Poll::Ready(framed)
    }
}

impl<S> CoalescingIo<S> {
    /// Reports to the connection what was read.
    fn report(&self, bytes: &[u8]) -> io::Result<()> {
        let framed = self.outbox.handle.has_read(bytes);
        framed.map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal.reason))
    }
}

impl<S: Read + Write + Transport + Unpin + 'static> Write for CoalescingIo<S> {
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
        if self.outbox.handle.owes_refusal() {
            // hyper takes a head of which it got nothing for the end of the connection; the response comes past it.
            return Poll::Ready(Ok(()));
        }
        if let Some(http2) = self.outbox.handle.http2() {
            http2.will_close();
        }
        self.outbox.poll_shutdown(cx)
    }
}
