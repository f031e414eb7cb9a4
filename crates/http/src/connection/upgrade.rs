//! Connections that go on with another protocol after a 101 (RFC 9110 §7.8).

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Speaks the protocol that follows a 101, until the connection ends.
pub type Protocol = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

/// Where an application leaves the protocol that follows its 101; one for each connection.
#[derive(Clone, Default)]
pub struct Upgrades(Rc<RefCell<Option<Protocol>>>);

impl Upgrades {
    /// Sets the protocol that follows the response, which must be a 101.
    pub fn set(&self, protocol: Protocol) {
        self.0.replace(Some(protocol));
    }

    pub(crate) fn take(&self) -> Option<Protocol> {
        self.0.take()
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// The byte stream of a connection after its 101.
pub struct Upgraded(Box<dyn Stream>);

impl Upgraded {
    pub(crate) fn new(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
