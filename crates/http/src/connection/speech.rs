//! The socket as the protocol that follows a 101 reads and writes it.

use super::{handle::ConnectionHandle, upgrade::Protocol};
use crate::{
    Upgraded,
    h1::framing::Content,
    io::{CoalescingIo, transport::Transport},
};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

/// What a protocol has said so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    bytes: Cell<u64>,
    all: Cell<bool>,
}

impl Said {
    /// How many bytes, whatever became of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether it has sent all that it had to say and shut its side down.
    pub(crate) fn is_all(&self) -> bool {
        self.all.get()
    }
}

/// Another protocol that speaks.
pub(crate) struct Speaking<S> {
    protocol: Pin<Box<dyn Future<Output = ()>>>,
    said: Rc<Said>,
    /// The socket, once the protocol is done with it.
    io: CoalescingIo<S>,
}

impl<S: Read + Write + Transport + Unpin + 'static> Speaking<S> {
    /// Lets the protocol have the socket, of which this much of the request's content is still to be read.
    pub(super) fn begin(protocol: Protocol, io: CoalescingIo<S>, content: Option<Content>) -> Self {
        let (twin, buffered) = (io.twin(), io.buffered());
        let speech = Speech::new(io, content);
        let said = Rc::clone(&speech.said);
        twin.handle().session_follows(buffered, &said);
        Self { protocol: protocol(Upgraded::new(speech)), said, io: twin }
    }

    /// The socket, of a protocol that is over.
    pub(super) fn into_io(self) -> CoalescingIo<S> {
        self.io
    }

    /// Ready when the protocol is over; whether it has ended its side, so that the client is to have all of it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.io.handle().expired().is_some() {
            debug!("the client does not read what the protocol says: --write-timeout");
            self.io.handle().reset_on_close(true);
            return Poll::Ready(false);
        }
        ready!(self.protocol.as_mut().poll(cx));
        Poll::Ready(self.said.is_all())
    }
}

/// The socket, from the end of the request on.
struct Speech<S> {
    io: TokioIo<CoalescingIo<S>>,
    handle: Rc<ConnectionHandle>,
    /// What is to come of the request's content, which nobody wants: the protocol begins behind it (RFC 9110 §7.8).
    content: Option<Content>,
    said: Rc<Said>,
}

impl<S: Read + Write + Transport + Unpin + 'static> Speech<S> {
    fn new(io: CoalescingIo<S>, content: Option<Content>) -> Self {
        let handle = Rc::clone(io.handle());
        Self { io: TokioIo::new(io), handle, content, said: Rc::default() }
    }

    /// Removes the request's content from the bytes that follow the first `before`. Whether any are left, or none came.
    fn skip_content(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<bool> {
        let Some(content) = &mut self.content else { return Ok(true) };
        let received = &mut buf.filled_mut()[before..];
        if received.is_empty() {
            return Ok(true);
        }
        let skipped = content
            .take(received, self.handle.limits())
            .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal.reason))?;
        received.copy_within(skipped.., 0);
        let left = received.len() - skipped;
        if content.has_ended() {
            self.content = None;
        }
        buf.set_filled(before + left);
        Ok(left > 0)
    }
}

impl<S: Read + Write + Transport + Unpin + 'static> AsyncRead for Speech<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            if self.skip_content(buf, before)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: Read + Write + Transport + Unpin + 'static> AsyncWrite for Speech<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.said.bytes.set(self.said.bytes() + written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        self.said.all.set(true);
        Poll::Ready(Ok(()))
    }
}
