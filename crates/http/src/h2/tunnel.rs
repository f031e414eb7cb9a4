//! A stream that goes on with another protocol after its response: WebSocket by extended CONNECT (RFC 8441).

use super::{stream::Stream, streams::Streams};
use crate::{App, Upgraded, Upgrades, limits::client::LINGER, log::entry::Entry};
use hyper::{Method, Request, ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

/// Whether a request asks for a WebSocket.
pub(super) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// How many bytes hyper is given at a time. It takes three such pieces before h2 has any of them.
const PIECE: usize = 16 * 1024;
/// How many pieces hyper has that h2 was not given yet, while hyper takes no more.
const BEFORE_H2: usize = 3;
/// How many bytes that nothing waits for are read at a time.
const DISCARDED: usize = 4096;

/// The other protocol, until it ends.
struct Session {
    stream: Rc<Stream>,
    /// Once the response was sent.
    wire: Option<Rc<Wire>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(wire) = &self.wire {
            wire.end();
        }
        self.stream.end_session();
    }
}

/// The bytes of the protocol, of which the stream is told what moves.
struct Wire {
    bytes: RefCell<Upgraded>,
    stream: Rc<Stream>,
    /// The line in the access log, if there is to be one.
    line: Option<Rc<Entry>>,
    /// The last pieces.
    last: Cell<[usize; BEFORE_H2]>,
    /// The protocol has sent all that it had to say, and ended its side.
    all_said: Cell<bool>,
}

impl Wire {
    /// Tells the stream whether its client makes room.
    fn tells<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.stream.protocol_waits(polled.is_pending());
        polled
    }

    /// The client has reset the stream, or its connection is broken.
    fn lost(&self, error: io::Error) -> io::Error {
        if let Some(line) = &self.line
            && !self.all_said.get()
        {
            line.broken();
        }
        error
    }

    fn has_taken(&self, bytes: usize) {
        let [_, second, third] = self.last.get();
        self.last.set([second, third, bytes]);
        self.stream.piece_moves(bytes);
        if let Some(line) = &self.line {
            line.sent(bytes as u64);
        }
    }

    /// The protocol is over: tells the line what the client was not given.
    fn end(&self) {
        let Some(line) = &self.line else { return };
        if self.all_said.get() {
            return;
        }
        if self.stream.is_overdue() {
            line.failed();
        }
        if self.stream.does_protocol_wait() {
            line.lacks(self.last.get().iter().sum::<usize>() as u64);
        }
    }

    /// Reads until the client has ended its side as well, for a while: the reset of a stream that has not ended may cost its
    /// client what it has not read yet.
    async fn linger(&self) {
        let discard = poll_fn(|cx| {
            loop {
                let mut storage = [0; DISCARDED];
                let mut discarded = ReadBuf::new(&mut storage);
                let read = Pin::new(&mut *self.bytes.borrow_mut()).poll_read(cx, &mut discarded);
                if ready!(read).is_err() || discarded.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        });
        // A client that does not end its side has had its time.
        let _ = timeout(LINGER, discard).await;
    }
}

/// The bytes as the protocol has them.
struct Told(Rc<Wire>);

impl AsyncRead for Told {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut *self.0.bytes.borrow_mut()).poll_read(cx, buf);
        read.map_err(|error| self.0.lost(error))
    }
}

impl AsyncWrite for Told {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let piece = &buf[..buf.len().min(PIECE)];
        let polled = Pin::new(&mut *self.0.bytes.borrow_mut()).poll_write(cx, piece);
        let written = ready!(self.0.tells(polled)).map_err(|error| self.0.lost(error))?;
        self.0.has_taken(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut *self.0.bytes.borrow_mut()).poll_flush(cx);
        self.0.tells(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut *self.0.bytes.borrow_mut()).poll_shutdown(cx);
        ready!(self.0.tells(polled)).map_err(|error| self.0.lost(error))?;
        self.0.all_said.set(true);
        Poll::Ready(Ok(()))
    }
}

/// Where the protocol that follows a response is, and the bytes that it speaks by.
pub(super) struct Tunnel<A: App> {
    bytes: OnUpgrade,
    upgrades: Upgrades,
    streams: Rc<Streams<A>>,
}

impl<A: App> Tunnel<A> {
    /// For a request that asks for one.
    pub(super) fn of<B>(
        request: &Request<B>,
        upgrades: &Upgrades,
        streams: &Rc<Streams<A>>,
    ) -> Option<Box<Self>> {
        let bytes = request.extensions().get::<OnUpgrade>()?.clone();
        Some(Box::new(Self { bytes, upgrades: upgrades.clone(), streams: Rc::clone(streams) }))
    }

    /// Lets the protocol have the stream once its response was sent.
    pub(super) fn open(self, stream: &Rc<Stream>) {
        let Some(protocol) = self.upgrades.take() else { return };
        let bytes = self.bytes;
        let session = Session { stream: Rc::clone(stream), wire: None };
        let (line, stream_told) = (stream.begin_session(), Rc::clone(stream));
        let work = async move {
            let mut session = session;
            let bytes = match bytes.await {
                Ok(bytes) => Upgraded::new(TokioIo::new(bytes)),
                // The client is gone, which is for the protocol to tell.
                Err(_) => Upgraded::new(tokio::io::join(tokio::io::empty(), tokio::io::sink())),
            };
            let wire = Rc::new(Wire {
                bytes: RefCell::new(bytes),
                stream: stream_told,
                line,
                last: Cell::default(),
                all_said: Cell::default(),
            });
            session.wire = Some(Rc::clone(&wire));
            protocol(Upgraded::new(Told(Rc::clone(&wire)))).await;
            if wire.all_said.get() {
                wire.linger().await;
            }
        };
        self.streams.follow(stream, Box::pin(work));
    }

    /// The response was another one.
    pub(super) fn refuse(self) {
        drop(self.upgrades.take());
    }
}
