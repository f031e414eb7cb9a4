//! Writing what many connections have to say in one go, at the end of a turn of the loop.
//!
//! A write to a socket whose peer sleeps wakes that peer, and on loopback or a busy proxy the wake-up is what
//! costs most. When the answers of all connections that were ready are written one right after another, the
//! peer is awake from the second on. Redis writes its replies like that, before it sleeps.
//!
//! A connection's bytes wait in its [`Outbox`] until the flusher runs, which is after the connections that
//! were ready with it, or until the first of them has waited for [`LONGEST_WAIT`]. Large writes do not wait.

use crate::{
    handover::Descriptor,
    interim::{Interim, Outlet},
};
use bytes::{Buf, Bytes};
use hostler_sys::clock;
use hostler_wire::Page;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

/// The longest that an answer waits for others, beyond the turn of the connection that notices. It waits only
/// while its worker is busy with them. With a tenth of this, Starlette routes are a quarter slower.
const LONGEST_WAIT: u64 = Duration::from_millis(1).as_nanos() as u64;
/// A write of more than this goes to the socket at once, without being copied.
const SMALL: usize = 8 * 1024;
/// An outbox with this much is emptied before more goes in.
const FULL: usize = 64 * 1024;

/// The outboxes that have something to send; one for each worker, cheap to clone.
#[derive(Clone)]
pub(crate) struct Batch(Rc<Waiting>);

struct Waiting {
    outboxes: RefCell<Vec<Rc<dyn Flush>>>,
    /// When the first of them came, by the monotonic clock in nanoseconds; zero if there is none.
    since: Cell<u64>,
    flusher: RefCell<Option<Waker>>,
    /// Told of every flush: the loop turns.
    page: &'static Page,
}

trait Flush {
    fn flush(&self, cx: &mut Context<'_>);
}

impl Batch {
    pub(crate) fn new(page: &'static Page) -> Self {
        let (outboxes, since, flusher) = (RefCell::default(), Cell::new(0), RefCell::default());
        Self(Rc::new(Waiting { outboxes, since, flusher, page }))
    }

    /// Writes whenever there is something, for ever.
    pub(crate) async fn flush_for_ever(self) {
        poll_fn(|cx| {
            self.flush(cx);
            let mut flusher = self.0.flusher.borrow_mut();
            if !flusher.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                *flusher = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn add(&self, outbox: Rc<dyn Flush>, cx: &mut Context<'_>) {
        self.0.outboxes.borrow_mut().push(outbox);
        let now = clock::now();
        match self.0.since.get() {
            0 => {
                self.0.since.set(now);
                self.0.page.turn(now);
                if let Some(flusher) = &*self.0.flusher.borrow() {
                    flusher.wake_by_ref();
                }
            }
            since if now - since >= LONGEST_WAIT => {
                self.0.page.turn(now);
                self.flush(cx);
            }
            _ => {}
        }
    }

    fn flush(&self, cx: &mut Context<'_>) {
        self.0.since.set(0);
        let mut outboxes = self.0.outboxes.take();
        outboxes.drain(..).for_each(|outbox| outbox.flush(cx));
        // The allocation is used again, unless somebody came meanwhile.
        if self.0.outboxes.borrow().is_empty() {
            self.0.outboxes.replace(outboxes);
        }
    }
}

/// A connection's socket, with an outbox before it.
pub(crate) struct Batched<S> {
    socket: Rc<Outbox<S>>,
    batch: Batch,
    /// What another worker had read already.
    unread: Bytes,
}

struct Outbox<S> {
    stream: RefCell<S>,
    bytes: RefCell<Vec<u8>>,
    /// In the batch.
    listed: Cell<bool>,
    /// The socket took no more, or failed; the connection's own task goes on from there.
    stuck: Cell<bool>,
    failure: RefCell<Option<io::Error>>,
    connection: RefCell<Option<Waker>>,
    /// A request waits for its answer.
    asked: Cell<bool>,
    /// hyper has an answer that it did not flush yet.
    held_back: Cell<bool>,
}

impl<S: Read + Write + Unpin + 'static> Batched<S> {
    pub(crate) fn new(stream: S, batch: Batch, unread: Bytes) -> Self {
        let outbox = Outbox {
            stream: RefCell::new(stream),
            bytes: RefCell::default(),
            listed: Cell::new(false),
            stuck: Cell::new(false),
            failure: RefCell::default(),
            connection: RefCell::default(),
            asked: Cell::new(false),
            held_back: Cell::new(false),
        };
        Self { socket: Rc::new(outbox), batch, unread }
    }

    /// Puts bytes that were read already before those that are still to be read.
    pub(crate) fn unread_first(&mut self, read: Bytes) {
        self.unread = match self.unread.is_empty() {
            true => read,
            false => [read, std::mem::take(&mut self.unread)].concat().into(),
        };
    }

    /// Keeps no buffers that are empty.
    pub(crate) fn shrink(&self) {
        self.socket.bytes.borrow_mut().shrink_to_fit();
    }

    /// Where interim answers go.
    pub(crate) fn interim(&self) -> Interim {
        let outlet: Weak<Outbox<S>> = Rc::downgrade(&self.socket);
        Interim::new(outlet)
    }

    /// Writes what waits, and tells whether all of it went.
    pub(crate) fn is_emptied(&self, cx: &mut Context<'_>) -> bool {
        matches!(self.socket.poll_empty(cx), Poll::Ready(Ok(())))
    }
}

impl<S: Write + Unpin> Outbox<S> {
    /// Writes everything to the socket.
    fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut bytes = self.bytes.borrow_mut();
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, &bytes[written..]) {
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
        self.stuck.set(false);
        Poll::Ready(Ok(()))
    }

    /// Takes the bytes into the outbox if they are few and there is room.
    fn take(&self, parts: &[IoSlice<'_>]) -> Option<usize> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = self.bytes.borrow_mut();
        if size > SMALL || bytes.len() + size > FULL || self.stuck.get() {
            return None;
        }
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Some(size)
    }
}

impl<S: Write + Unpin> Flush for Outbox<S> {
    fn flush(&self, cx: &mut Context<'_>) {
        self.listed.set(false);
        let polled = self.poll_empty(cx);
        if let Poll::Ready(Ok(())) = polled {
            return;
        }
        self.stuck.set(true);
        if let Poll::Ready(Err(error)) = polled {
            self.failure.replace(Some(error));
        }
        if let Some(connection) = self.connection.take() {
            connection.wake();
        }
    }
}

impl<S: Write + Unpin> Outlet for Outbox<S> {
    fn insert(&self, bytes: &[u8]) {
        if self.asked.get() && !self.held_back.get() && !self.stuck.get() {
            self.bytes.borrow_mut().extend_from_slice(bytes);
            self.flush(&mut Context::from_waker(Waker::noop()));
        }
    }

    fn asked(&self) {
        self.asked.set(true);
    }

    fn answered(&self) {
        self.asked.set(false);
        self.held_back.set(true);
    }
}

impl<S: Read + Unpin> Read for Batched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            let count = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread[..count]);
            this.unread.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *this.socket.stream.borrow_mut()).poll_read(cx, buf)
    }
}

impl<S: Descriptor> Batched<S> {
    /// The number of the socket's descriptor, which is open as long as this.
    pub(crate) fn descriptor_number(&self) -> RawFd {
        self.socket.stream.borrow().descriptor().as_raw_fd()
    }

    /// What another worker had read and this one has not.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Shows somebody the socket's descriptor.
    pub(crate) fn with_descriptor<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        look(self.socket.stream.borrow().descriptor())
    }
}

impl<S: Read + Write + Unpin + 'static> Write for Batched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(taken) = self.socket.take(parts) {
            return Poll::Ready(Ok(taken));
        }
        // What is before it goes first.
        ready!(self.socket.poll_empty(cx))?;
        Pin::new(&mut *self.socket.stream.borrow_mut()).poll_write_vectored(cx, parts)
    }

    /// Hands the bytes to the batch. Only a socket that takes no more makes the connection wait.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &self.socket;
        socket.held_back.set(false);
        if socket.stuck.get() {
            return socket.poll_empty(cx);
        }
        if !socket.bytes.borrow().is_empty() && !socket.listed.replace(true) {
            let mut connection = socket.connection.borrow_mut();
            if !connection.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                *connection = Some(cx.waker().clone());
            }
            drop(connection);
            self.batch.add(Rc::clone(socket) as Rc<dyn Flush>, cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_empty(cx))?;
        Pin::new(&mut *self.socket.stream.borrow_mut()).poll_shutdown(cx)
    }
}
