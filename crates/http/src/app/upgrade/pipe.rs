//! Two directions of bytes in memory, between a connection's task and a service, which may be on another thread.

use bytes::{Buf, BytesMut};
use hyper::rt::ReadBufCursor;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// How many bytes a direction holds before its writer waits.
const ROOM: usize = 64 * 1024;

/// A pipe's two ends.
pub(super) fn pipe() -> (ServiceEnd, ConnectionEnd) {
    let shared = Arc::<Mutex<Shared>>::default();
    (ServiceEnd(Arc::clone(&shared)), ConnectionEnd(shared))
}

#[derive(Default)]
struct Shared {
    to_service: Direction,
    to_client: Direction,
    /// The service has dropped its end.
    service_gone: bool,
    /// The connection has.
    connection_gone: bool,
    /// The connection's task.
    carrier: Option<Waker>,
}

/// The bytes of one direction.
#[derive(Default)]
struct Direction {
    bytes: BytesMut,
    /// None follow.
    ended: bool,
    /// Why they end although their sender had not ended them.
    fault: Option<(io::ErrorKind, String)>,
    /// The service, if it waits for bytes or for room.
    waiting: Option<Waker>,
}

impl Direction {
    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.wake();
    }
}

impl Shared {
    fn wake_carrier(&self) {
        if let Some(carrier) = &self.carrier {
            carrier.wake_by_ref();
        }
    }

    fn fail(&mut self, kind: io::ErrorKind, cause: &str) {
        if !self.to_service.ended {
            self.to_service.fault = Some((kind, cause.into()));
            self.to_service.end();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Nothing here panics half-way.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the service has. Dropping it says that the protocol is over.
pub(super) struct ServiceEnd(Arc<Mutex<Shared>>);

impl ServiceEnd {
    pub(super) fn poll_read(&self, cx: &Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        let (direction, room) = (&mut shared.to_service, buf.remaining());
        if direction.bytes.is_empty() && room > 0 && !direction.ended {
            direction.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if direction.bytes.is_empty()
            && let Some((kind, cause)) = &direction.fault
        {
            return Poll::Ready(Err(io::Error::new(*kind, cause.as_str())));
        }
        let was_full = direction.bytes.len() >= ROOM;
        let taken = room.min(direction.bytes.len());
        buf.put_slice(&direction.bytes[..taken]);
        direction.bytes.advance(taken);
        if direction.bytes.is_empty() {
            // An idle connection keeps no buffer.
            direction.bytes = BytesMut::new();
        }
        if was_full && direction.bytes.len() < ROOM {
            shared.wake_carrier();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if shared.connection_gone || shared.to_client.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let direction = &mut shared.to_client;
        let taken = bytes.len().min(ROOM.saturating_sub(direction.bytes.len()));
        if taken == 0 && !bytes.is_empty() {
            direction.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        direction.bytes.extend_from_slice(&bytes[..taken]);
        shared.wake_carrier();
        Poll::Ready(Ok(taken))
    }

    /// The service writes no more; it may still read.
    pub(super) fn end(&self) {
        let mut shared = lock(&self.0);
        shared.to_client.ended = true;
        shared.wake_carrier();
    }
}

impl Drop for ServiceEnd {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.service_gone = true;
        (shared.to_client.ended, shared.to_service.bytes) = (true, BytesMut::new());
        shared.wake_carrier();
    }
}

/// What the connection's task has. Dropping it tells the service that the connection is gone.
pub(super) struct ConnectionEnd(Arc<Mutex<Shared>>);

/// What there is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Bytes,
    /// Nothing at the moment.
    Nothing,
    /// Nothing more.
    Ended,
}

impl ConnectionEnd {
    /// Has this task woken when the service writes, makes room, or is gone.
    pub(super) fn carried_by(&self, waker: &Waker) {
        let mut shared = lock(&self.0);
        match &shared.carrier {
            Some(kept) if kept.will_wake(waker) => {}
            _ => shared.carrier = Some(waker.clone()),
        }
    }

    /// Takes what the service has written, in exchange for an empty buffer.
    pub(super) fn take(&self, empty: &mut BytesMut) -> Outgoing {
        let mut shared = lock(&self.0);
        let direction = &mut shared.to_client;
        if direction.bytes.is_empty() {
            return if direction.ended { Outgoing::Ended } else { Outgoing::Nothing };
        }
        std::mem::swap(&mut direction.bytes, empty);
        direction.wake();
        Outgoing::Bytes
    }

    /// Whether the service may be given more.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.0).to_service.bytes.len() < ROOM
    }

    /// Gives the service what the client has sent, unless it is gone.
    pub(super) fn give(&self, bytes: &mut BytesMut) {
        let mut shared = lock(&self.0);
        if shared.service_gone {
            return bytes.clear();
        }
        let direction = &mut shared.to_service;
        if direction.bytes.is_empty() {
            std::mem::swap(&mut direction.bytes, bytes);
        } else {
            direction.bytes.extend_from_slice(bytes);
            bytes.clear();
        }
        direction.wake();
    }

    /// The client sends no more.
    pub(super) fn end(&self) {
        lock(&self.0).to_service.end();
    }

    /// The connection has failed: after what came before, the service reads this error, and not an end that its client never
    /// sent.
    pub(super) fn fail(&self, error: &io::Error) {
        lock(&self.0).fail(error.kind(), &error.to_string());
    }

    /// Ends both directions: what the service has written so far is sent.
    pub(super) fn end_both(&self) {
        let mut shared = lock(&self.0);
        shared.to_service.end();
        shared.to_client.end();
    }

    /// Whether the service has dropped its end, or is taken to have.
    pub(super) fn is_left(&self) -> bool {
        let shared = lock(&self.0);
        shared.service_gone || (shared.to_service.ended && shared.to_client.ended)
    }
}

impl Drop for ConnectionEnd {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.connection_gone = true;
        shared.fail(io::ErrorKind::ConnectionAborted, "the server has ended the connection");
        shared.to_client.end();
    }
}
