//! What a connection has to say and the kernel does not have yet.
//!
//! Small writes wait in the outbox until the end of the loop's turn ([`crate::batch`]), large ones go straight to the
//! socket.

use crate::{
    batch::{Batch, Entry, Flush},
    connection::{ConnectionState, Event},
    interim::Outlet,
};
use hyper::rt::Write;
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    os::fd::RawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// A write of more than this goes to the socket at once, without being copied.
const SMALL: usize = 8 * 1024;
/// An outbox with this much is emptied before more goes in.
const FULL: usize = 64 * 1024;

/// A socket, with an outbox before it.
pub(crate) struct Outbox<S> {
    pub(crate) stream: RefCell<S>,
    descriptor: RawFd,
    /// What waits here, behind what waits in the batch.
    bytes: RefCell<Vec<u8>>,
    batch: Batch,
    /// The place in the batch.
    listed: Cell<Option<usize>>,
    /// The socket failed outside the connection's own task.
    failure: RefCell<Option<io::Error>>,
    pub(crate) state: Rc<ConnectionState>,
}

impl<S: Write + Unpin> Outbox<S> {
    pub(crate) fn new(stream: S, descriptor: RawFd, batch: Batch, state: Rc<ConnectionState>) -> Self {
        Self {
            stream: RefCell::new(stream),
            descriptor,
            bytes: RefCell::default(),
            batch,
            listed: Cell::new(None),
            failure: RefCell::default(),
            state,
        }
    }

    /// The connection to which this belongs.
    pub(crate) fn state(&self) -> &Rc<ConnectionState> {
        &self.state
    }

    /// Keeps no memory that is not needed.
    pub(crate) fn shrink(&self) {
        self.bytes.borrow_mut().shrink_to_fit();
    }

    /// Writes everything to the socket.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if let Some(place) = self.listed.get() {
            self.take_back(self.batch.take_back(place));
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
        if bytes.capacity() > FULL {
            *bytes = Vec::new();
        } else {
            bytes.clear();
        }
        self.state.on(Event::OutboxEmpty);
        Poll::Ready(Ok(()))
    }

    /// Puts what was in the batch before what came since.
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
            Poll::Ready(_) => self.state.has_written(),
            Poll::Pending => self.state.stopped_taking(),
        }
        polled
    }

    /// Takes the bytes into the outbox if they are few and there is room.
    fn take(&self, parts: &[IoSlice<'_>]) -> Option<usize> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size > SMALL || self.state.is_blocked() {
            return None;
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + size > FULL {
            return None;
        }
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        drop(bytes);
        self.state.on(Event::OutboxFilled);
        Some(size)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(taken) = self.take(parts) {
            return Poll::Ready(Ok(taken));
        }
        // What is before it goes first.
        ready!(self.poll_empty(cx))?;
        self.poll_socket(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}

impl<S: Write + Unpin + 'static> Outbox<S> {
    /// Hands the bytes to the batch. Only a socket that takes no more makes the connection wait.
    pub(crate) fn poll_flush(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.on(Event::HyperFlushed);
        if self.state.is_blocked() || self.failure.borrow().is_some() {
            return self.poll_empty(cx);
        }
        if self.listed.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.bytes.borrow().is_empty() {
            self.state.on(Event::OutboxEmpty);
        } else {
            self.listed.set(Some(self.batch.len()));
            let entry = Entry { descriptor: self.descriptor, bytes: self.bytes.take() };
            self.batch.add(Rc::clone(self) as Rc<dyn Flush>, entry, cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Flush for Outbox<S> {
    fn flush(&self, bytes: Vec<u8>, cx: &mut Context<'_>) {
        self.listed.set(None);
        self.take_back(bytes);
        self.send(cx);
    }
}

impl<S: Write + Unpin> Outbox<S> {
    /// Sends what there is, or leaves it to the connection's task.
    fn send(&self, cx: &mut Context<'_>) {
        let polled = self.poll_empty(cx);
        if let Poll::Ready(Err(error)) = polled {
            self.failure.replace(Some(error));
            self.state.wake();
        } else if polled.is_pending() {
            // The connection's own task goes on from here.
            self.state.wake();
        }
    }
}

impl<S: Write + Unpin> Outlet for Outbox<S> {
    fn insert(&self, bytes: &[u8]) {
        if !self.state.is_blocked() {
            self.append(bytes);
        }
    }

    fn append(&self, bytes: &[u8]) -> bool {
        if !self.state.life().may_send_interim() {
            return false;
        }
        self.bytes.borrow_mut().extend_from_slice(bytes);
        self.state.on(Event::OutboxFilled);
        self.send(&mut Context::from_waker(Waker::noop()));
        true
    }
}
