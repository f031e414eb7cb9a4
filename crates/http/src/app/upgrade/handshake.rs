//! hyper's handshake over a pipe, which makes an [`OnUpgrade`] of it.
//!
//! hyper reads a request that asks for an upgrade, from a text, and makes the [`OnUpgrade`] that the service gets. When it
//! writes the 101, which is thrown away, it gives the pipe to the service.

use super::pipe::ServiceEnd;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1::{Builder, UpgradeableConnection},
    service::Service,
    upgrade::{self, OnUpgrade},
};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: pipe\r\nconnection: upgrade\r\nupgrade: pipe\r\n\r\n";
/// How a head ends.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A handshake that waits for its 101.
pub(super) struct Handshake {
    connection: Box<UpgradeableConnection<Script, Accepting>>,
    accepting: Accepting,
}

impl Handshake {
    /// Begins one; `None` if hyper does not do what is assumed above.
    pub(super) fn begin(pipe: ServiceEnd) -> Option<(Self, OnUpgrade)> {
        let accepting = Accepting::default();
        let connection = Builder::new()
            .header_read_timeout(None)
            .serve_connection(Script { request: REQUEST, answered: false, pipe }, accepting.clone())
            .with_upgrades();
        let mut handshake = Self { connection: Box::new(connection), accepting };
        handshake.poll();
        let upgrade = handshake.accepting.0.upgrade.take()?;
        Some((handshake, upgrade))
    }

    /// Gives the pipe to the service.
    pub(super) fn complete(mut self) {
        self.accepting.0.accepted.set(true);
        self.poll();
    }

    fn poll(&mut self) {
        // A script is always ready: nothing has to be woken. An error is told to the service.
        let _ = Pin::new(&mut *self.connection).poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// What hyper calls for the request.
#[derive(Clone, Default)]
struct Accepting(Rc<Acceptance>);

#[derive(Default)]
struct Acceptance {
    upgrade: RefCell<Option<OnUpgrade>>,
    /// The real connection has upgraded.
    accepted: Cell<bool>,
}

impl Service<Request<Incoming>> for Accepting {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Self;

    fn call(&self, request: Request<Incoming>) -> Self {
        self.0.upgrade.replace(Some(upgrade::on(request)));
        self.clone()
    }
}

impl Future for Accepting {
    type Output = Result<Response<Empty<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.0.accepted.get() {
            return Poll::Pending;
        }
        let mut response = Response::new(Empty::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Poll::Ready(Ok(response))
    }
}

/// The request, and after the response to it the pipe.
struct Script {
    /// What is left of it.
    request: &'static [u8],
    /// hyper has written its 101.
    answered: bool,
    pipe: ServiceEnd,
}

impl Read for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.request.is_empty() {
            let (now, later) = self.request.split_at(self.request.len().min(buf.remaining()));
            buf.put_slice(now);
            self.request = later;
            return Poll::Ready(Ok(()));
        }
        if self.answered { self.pipe.poll_read(cx, buf) } else { Poll::Pending }
    }
}

impl Write for Script {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.answered {
            return self.pipe.poll_write(cx, buf);
        }
        self.answered = buf.ends_with(HEAD_END);
        Poll::Ready(Ok(buf.len()))
    }

    /// The connection's task sends what is in the pipe without being told.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.end();
        Poll::Ready(Ok(()))
    }
}
