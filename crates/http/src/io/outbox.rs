//! The write buffer of a connection.
//!
//! Small writes wait in the outbox until the end of the loop's turn ([`super::batch`]), large ones go straight to the
//! socket. What waits is in the form in which it goes to the socket: over TLS it is encrypted when it is put here, so that
//! the order of records is that of the bytes, and any thread can send them.

use super::batch::{self, Batch, Flush};
use crate::{
    RequestFacts,
    connection::{ConnectionHandle, Event},
    files::FILE_SHRANK,
    h1::interim::Outlet,
    io::{
        file_pieces::{FilePart, is_placeholder},
        transport::Transport,
    },
    log::entry::Entry,
};
use hyper::{HeaderMap, StatusCode, rt::Write};
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tracing::error;

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
    /// The index in the batch, and how many bytes are there.
    batched: Cell<Option<(usize, usize)>>,
    /// The socket failed outside the connection's own task.
    failure: RefCell<Option<io::Error>>,
    pub(super) handle: Rc<ConnectionHandle>,
}

impl<S: Write + Transport + Unpin> Outbox<S> {
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

    /// How many bytes the socket has not taken yet.
    pub(crate) fn buffered(&self) -> usize {
        let batched = self.batched.get().map_or(0, |(index, _)| self.batch.waiting(index));
        batched + self.bytes.borrow().len()
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
        if let Some((index, count)) = self.batched.get() {
            self.batched.set(Some((index, 0)));
            self.take_back(self.batch.take_back(index), count);
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

    /// Puts what was in the batch before what was written since. There were so many bytes: the attendant has sent what is
    /// missing of them.
    fn take_back(&self, mut first: Vec<u8>, count: usize) {
        if first.len() < count {
            self.handle.has_written(count - first.len());
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            *bytes = first;
        } else if !first.is_empty() {
            first.append(&mut bytes);
            *bytes = first;
        }
    }

    /// Adds bytes after all others; nothing if the connection cannot seal them any more.
    pub(super) fn append_last(&self, bytes: &[u8]) {
        // A stream that fails to seal them is broken, and the connection ends in any case.
        let _ = self.put(&[IoSlice::new(bytes)], &mut self.bytes.borrow_mut());
    }

    /// Sends what the stream has to say to what was read from it, such as an alert of TLS.
    pub(super) fn answer(&self) {
        let answers = self.stream.borrow().has_answer();
        if answers && self.put(&[], &mut self.bytes.borrow_mut()).is_ok() {
            self.handle.on(Event::OutboxFilled);
            self.send(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// One attempt to write to the socket itself.
    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let polled = write(Pin::new(&mut *self.stream.borrow_mut()), cx);
        match &polled {
            Poll::Ready(Ok(count)) => self.handle.has_written(*count),
            Poll::Ready(Err(error)) => {
                self.handle.has_written(0);
                self.handle.socket_failed(error);
            }
            Poll::Pending => self.handle.write_blocked(),
        }
        polled
    }

    /// Takes the bytes into the outbox if they are few and there is room.
    fn take(&self, parts: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size > MAX_COALESCED || self.handle.is_blocked() {
            return None;
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + size > CAPACITY {
            return None;
        }
        if let Err(error) = self.put(parts, &mut bytes) {
            return Some(Err(error));
        }
        drop(bytes);
        self.handle.on(Event::OutboxFilled);
        Some(Ok(size))
    }

    /// Appends to `bytes` what goes to the socket for these parts.
    fn put(&self, parts: &[IoSlice<'_>], bytes: &mut Vec<u8>) -> io::Result<()> {
        if S::SEALS {
            return self.stream.borrow_mut().seal(parts, bytes);
        }
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Ok(())
    }

    /// Writes what is too large to wait; what the socket does not take of it waits all the same, because it is sealed.
    fn seal_and_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = self.bytes.borrow_mut();
        let taken = self.stream.borrow_mut().seal_and_write(cx, parts, &mut bytes);
        let taken = taken.inspect_err(|error| self.handle.socket_failed(error))?;
        let left = bytes.len();
        let blocked = left > 0;
        drop(bytes);
        // In any case the client has read some.
        self.handle.has_written(taken.saturating_sub(left).max(1));
        if blocked {
            self.handle.write_blocked();
            self.handle.on(Event::OutboxFilled);
        }
        Ok(taken)
    }

    /// Adds these bytes.
    pub(crate) fn add(&self, bytes: &[u8]) {
        if self.put(&[IoSlice::new(bytes)], &mut self.bytes.borrow_mut()).is_ok() {
            self.handle.on(Event::OutboxFilled);
        }
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_all(cx))?;
        if S::SEALS {
            self.stream.borrow_mut().seal_end(&mut self.bytes.borrow_mut());
            ready!(self.poll_send_all(cx))?;
        }
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}

impl<S: Write + Transport + Unpin> Outbox<S> {
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.handle.id().may_refuse() {
            // There is no request: hyper says that it could not parse one.
            self.handle.replace_response();
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        if !self.handle.files.is_empty() {
            return self.poll_write_with_files(cx, parts);
        }
        if let Some(taken) = self.take(parts) {
            return Poll::Ready(taken);
        }
        // Earlier bytes go first.
        ready!(self.poll_send_all(cx))?;
        if S::SEALS {
            return Poll::Ready(self.seal_and_write(cx, parts));
        }
        self.poll_socket(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    /// Writes up to the first part of a file, or sends of that what the socket takes.
    #[cold]
    fn poll_write_with_files(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // Earlier bytes go first.
        ready!(self.poll_send_all(cx))?;
        let Some(next) = parts.iter().find(|part| !part.is_empty()) else { return Poll::Ready(Ok(0)) };
        if !is_placeholder(next) {
            return self.poll_socket(cx, |stream, cx| stream.poll_send_before_file(cx, next));
        }
        let files = &self.handle.files;
        let Some(part) = files.first() else { return Poll::Ready(Err(io::ErrorKind::InvalidData.into())) };
        let count = part.length.min(next.len());
        let mut sent =
            self.poll_socket(cx, |stream, cx| stream.poll_send_file(cx, &part.file, part.at, count));
        if matches!(&sent, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput) {
            sent = self.poll_copy(cx, &part);
        }
        if let Poll::Ready(sent) = &sent {
            match sent {
                Ok(count) if *count > 0 => files.sent(*count),
                _ => {
                    files.clear();
                    self.handle.response_failed();
                }
            }
        }
        match ready!(sent) {
            Ok(0) => {
                let (request, facts) = self.handle.describe_request();
                let RequestFacts { method, path, client, request_id, worker, pid } = facts;
                let missing = part.length;
                error!(missing, request, method, path, client, request_id, worker, pid, "{FILE_SHRANK}");
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            sent => Poll::Ready(sent),
        }
    }

    /// Sends a part of a file whose file system has no sendfile(2); 0 if the file ends there.
    fn poll_copy(&self, cx: &mut Context<'_>, part: &FilePart) -> Poll<io::Result<usize>> {
        let mut bytes = vec![0; part.length.min(CAPACITY)];
        let count = part.file.read_at(&mut bytes, part.at)?;
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        self.poll_socket(cx, |stream, cx| stream.poll_write(cx, &bytes[..count]))
    }
}

impl<S: Write + Transport + Unpin + 'static> Outbox<S> {
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
            self.batched.set(Some((self.batch.len(), self.bytes.borrow().len())));
            let entry = batch::Entry { descriptor: self.handle.descriptor(), bytes: self.bytes.take() };
            self.batch.add(Rc::clone(self) as Rc<dyn Flush>, entry, cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Transport + Unpin> Flush for Outbox<S> {
    fn flush(&self, bytes: Vec<u8>, cx: &mut Context<'_>) {
        let count = self.batched.take().map_or(0, |(_, count)| count);
        self.take_back(bytes, count);
        self.send(cx);
    }
}

impl<S: Write + Transport + Unpin> Outbox<S> {
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

impl<S: Write + Transport + Unpin> Outlet for Outbox<S> {
    fn insert(&self, bytes: &[u8]) {
        if !self.handle.is_blocked() {
            self.append(bytes);
        }
    }

    fn append(&self, bytes: &[u8]) -> bool {
        if !self.handle.state().may_send_interim() {
            return false;
        }
        if self.put(&[IoSlice::new(bytes)], &mut self.bytes.borrow_mut()).is_err() {
            return false;
        }
        self.handle.on(Event::OutboxFilled);
        self.send(&mut Context::from_waker(Waker::noop()));
        true
    }

    fn begun(&self, status: StatusCode, headers: &HeaderMap, length: Option<u64>) {
        self.handle.direct_begins(status.as_u16(), headers, length);
    }

    fn sent(&self, bytes: u64) {
        self.handle.with_entry(|entry| entry.sent(bytes));
    }

    fn ended(&self) {
        if !self.handle.is_lost() {
            self.handle.with_entry(Entry::sent_past_hyper);
        }
    }

    fn ends_with_connection(&self) {
        self.handle.reset_on_close(true);
    }

    fn fail(&self) {
        self.handle.on(Event::ResponseFailed);
    }
}
