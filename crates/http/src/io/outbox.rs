//! The write buffer of a connection.
//!
//! Small writes wait in the outbox until the end of the loop's turn ([`super::batch`]), large ones go straight to the
//! socket.

use super::batch::{Batch, Entry, Flush};
use crate::{
    connection::{ConnectionHandle, Event},
    h1::interim::Outlet,
};
use hyper::rt::Write;
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// A write of more bytes than this goes to the socket at once, without being copied.
const MAX_COALESCED: usize = 8 * 1024;
/// The capacity of an outbox in bytes: what does not fit is written after it was flushed.
const CAPACITY: usize = 64 * 1024;

/// A socket, with an outbox before it.
pub(crate) struct Outbox<S> {
    pub(super) stream: RefCell<S>,
    /// What waits here, after what waits in the batch.
    bytes: RefCell<Vec<u8>>,
    batch: Batch,
    /// The index in the batch.
    batched: Cell<Option<usize>>,
    /// The socket failed outside the connection's own task.
    failure: RefCell<Option<io::Error>>,
    pub(super) handle: Rc<ConnectionHandle>,
}

impl<S: Write + Unpin> Outbox<S> {
    pub(crate) fn new(stream: S, batch: Batch, handle: Rc<ConnectionHandle>) -> Self {
        Self {
            stream: RefCell::new(stream),
            bytes: RefCell::default(),
            batch,
            batched: Cell::new(None),
            failure: RefCell::default(),
            handle,
        }
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&self) {
        self.bytes.borrow_mut().shrink_to_fit();
    }

    /// Writes everything to the socket.
    pub(crate) fn poll_send_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if let Some(index) = self.batched.get() {
            self.take_back(self.batch.take_back(index));
        }
        let bytes = &mut *self.bytes.borrow_mut();
        let mut written = 0;
        while written < bytes.len() {
            match self.poll_socket(cx, |stream, cx| stream.poll_write(cx, &bytes[written..])) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    bytes.drain(..written);
                    return Poll::Pending;
                }
            }
        }
        if bytes.capacity() > CAPACITY {
            *bytes = Vec::new();
        } else {
            bytes.clear();
        }
        self.handle.on(Event::OutboxEmpty);
        Poll::Ready(Ok(()))
    }

    /// Puts what was in the batch before what was written since.
    fn take_back(&self, mut first: Vec<u8>) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            *bytes = first;
        } else if !first.is_empty() {
            first.append(&mut bytes);
            *bytes = first;
        }
    }

    /// One attempt to write to the socket itself.
    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let polled = write(Pin::new(&mut *self.stream.borrow_mut()), cx);
        match polled {
            Poll::Ready(_) => self.handle.has_written(),
            Poll::Pending => self.handle.write_blocked(),
        }
        polled
    }

    /// Takes the bytes into the outbox if they are few and there is room.
    fn take(&self, parts: &[IoSlice<'_>]) -> Option<usize> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size > MAX_COALESCED || self.handle.is_blocked() {
            return None;
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + size > CAPACITY {
            return None;
        }
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        drop(bytes);
        self.handle.on(Event::OutboxFilled);
        Some(size)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(taken) = self.take(parts) {
            return Poll::Ready(Ok(taken));
        }
        // Earlier bytes go first.
        ready!(self.poll_send_all(cx))?;
        self.poll_socket(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_all(cx))?;
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}

impl<S: Write + Unpin + 'static> Outbox<S> {
    /// Gives the bytes to the batch. Pending only while the send buffer of the socket is full.
    pub(crate) fn poll_flush(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.on(Event::HyperFlushed);
        if self.handle.is_blocked() || self.failure.borrow().is_some() {
            return self.poll_send_all(cx);
        }
        if self.batched.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.bytes.borrow().is_empty() {
            self.handle.on(Event::OutboxEmpty);
        } else {
            self.batched.set(Some(self.batch.len()));
            let entry = Entry { descriptor: self.handle.descriptor(), bytes: self.bytes.take() };
            self.batch.add(Rc::clone(self) as Rc<dyn Flush>, entry, cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Flush for Outbox<S> {
    fn flush(&self, bytes: Vec<u8>, cx: &mut Context<'_>) {
        self.batched.set(None);
        self.take_back(bytes);
        self.send(cx);
    }
}

impl<S: Write + Unpin> Outbox<S> {
    /// Sends what is buffered, or leaves it to the connection's task.
    fn send(&self, cx: &mut Context<'_>) {
        let polled = self.poll_send_all(cx);
        if let Poll::Ready(Err(error)) = polled {
            self.failure.replace(Some(error));
            self.handle.wake();
        } else if polled.is_pending() {
            // The connection's task continues.
            self.handle.wake();
        }
    }
}

impl<S: Write + Unpin> Outlet for Outbox<S> {
    fn insert(&self, bytes: &[u8]) {
        if !self.handle.is_blocked() {
            self.append(bytes);
        }
    }

    fn append(&self, bytes: &[u8]) -> bool {
        if !self.handle.state().may_send_interim() {
            return false;
        }
        self.bytes.borrow_mut().extend_from_slice(bytes);
        self.handle.on(Event::OutboxFilled);
        self.send(&mut Context::from_waker(Waker::noop()));
        true
    }

    fn ends_with_connection(&self) {
        self.handle.reset_on_close(true);
    }

    fn fail(&self) {
        self.handle.on(Event::ResponseFailed);
    }
}
