//! What a connection has to say and the kernel does not have yet.
//!
//! Small writes wait in the outbox until the end of the loop's turn ([`crate::batch`]), large ones go straight to the
//! socket. The bytes are behind a lock because the worker's attendant thread may send them while an application blocks
//! the loop; it touches nothing else of a connection.

use crate::{
    batch::{Batch, Flush},
    connection::{ConnectionState, Event},
    interim::Outlet,
};
use hostler_sys::stream::send_now;
use hyper::rt::Write;
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    os::fd::{BorrowedFd, RawFd},
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// A write of more than this goes to the socket at once, without being copied.
const SMALL: usize = 8 * 1024;
/// An outbox with this much is emptied before more goes in.
const FULL: usize = 64 * 1024;

/// A socket, with an outbox before it.
pub(crate) struct Outbox<S> {
    pub(crate) stream: RefCell<S>,
    buffer: Arc<Buffer>,
    batch: Batch,
    /// Bytes came in since it was last emptied.
    filled: Cell<bool>,
    /// In the batch.
    listed: Cell<bool>,
    /// The socket failed outside the connection's own task.
    failure: RefCell<Option<io::Error>>,
    pub(crate) state: Rc<ConnectionState>,
}

/// The bytes of an outbox, which two threads may send.
pub(crate) struct Buffer(Mutex<Waiting>);

struct Waiting {
    bytes: Vec<u8>,
    /// The socket, until it is closed.
    descriptor: Option<RawFd>,
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what can be sent at once, for an event loop that does not turn.
    pub(crate) fn send_overdue(&self) {
        let Ok(mut waiting) = self.0.try_lock() else { return };
        let Some(descriptor) = waiting.descriptor else { return };
        // SAFETY: the descriptor is open: its owner takes it from here, under this lock, before it closes it.
        #[expect(unsafe_code, reason = "the socket's owner is another thread")]
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        // An error is met again by the loop.
        if let Ok(sent) = send_now(socket, &waiting.bytes) {
            waiting.bytes.drain(..sent);
        }
    }
}

impl<S: Write + Unpin> Outbox<S> {
    pub(crate) fn new(stream: S, descriptor: RawFd, batch: Batch, state: Rc<ConnectionState>) -> Self {
        let waiting = Waiting { bytes: Vec::new(), descriptor: Some(descriptor) };
        Self {
            stream: RefCell::new(stream),
            buffer: Arc::new(Buffer(Mutex::new(waiting))),
            batch,
            filled: Cell::new(false),
            listed: Cell::new(false),
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
        self.buffer.lock().bytes.shrink_to_fit();
    }

    /// Writes everything to the socket.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut waiting = self.buffer.lock();
        let (mut written, bytes) = (0, &mut waiting.bytes);
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
        drop(waiting);
        self.filled.set(false);
        self.state.on(Event::OutboxEmpty);
        Poll::Ready(Ok(()))
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
        let mut waiting = self.buffer.lock();
        if waiting.bytes.len() + size > FULL {
            return None;
        }
        parts.iter().for_each(|part| waiting.bytes.extend_from_slice(part));
        drop(waiting);
        self.filled.set(true);
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
        if self.listed.get() {
            return Poll::Ready(Ok(()));
        }
        if !self.filled.get() {
            self.state.on(Event::OutboxEmpty);
        } else {
            self.listed.set(true);
            self.batch.add(Rc::clone(self) as Rc<dyn Flush>, Arc::clone(&self.buffer), cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Flush for Outbox<S> {
    fn flush(&self, cx: &mut Context<'_>) {
        self.listed.set(false);
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
        self.buffer.lock().bytes.extend_from_slice(bytes);
        self.filled.set(true);
        self.state.on(Event::OutboxFilled);
        self.flush(&mut Context::from_waker(Waker::noop()));
        true
    }
}

impl<S> Drop for Outbox<S> {
    fn drop(&mut self) {
        // Before the socket is closed, and its number somebody else's.
        self.buffer.lock().descriptor = None;
    }
}
