//! A listener: the sockets that a worker accepts from.

use crate::io::watch::watch;
use hostler_sys::socket;
use hostler_wire::ListenerInfo;
use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A listening socket, registered with this thread's runtime.
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    pub(super) info: ListenerInfo,
    /// Its connections begin with a TLS handshake.
    pub(super) tls: bool,
    /// The sockets of other slots, by their numbers; empty if all slots share one.
    pub(super) neighbours: Vec<(u32, OwnedFd)>,
}

impl Listener {
    /// Takes over a socket that the master bound.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be registered.
    pub fn adopt(info: &ListenerInfo, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: watch(socket, Interest::READABLE)?,
            info: info.clone(),
            tls: false,
            neighbours: Vec::new(),
        })
    }

    /// Takes over the sockets of all slots, of which this worker's is registered.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be registered; `InvalidInput` if there are no sockets.
    pub fn adopt_for_slot(info: &ListenerInfo, sockets: Vec<OwnedFd>, slot: u16) -> io::Result<Self> {
        let own = usize::from(slot.max(1) - 1) % sockets.len().max(1);
        let (mine, neighbours): (Vec<_>, Vec<_>) =
            (1u32..).zip(sockets).partition(|(number, _)| *number as usize == own + 1);
        let (_, socket) = mine.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { neighbours, ..Self::adopt(info, socket)? })
    }

    /// The same, with connections that begin with a TLS handshake, or without one.
    #[must_use]
    pub fn over_tls(self, tls: bool) -> Self {
        Self { tls, ..self }
    }

    pub(super) async fn ready(&self) {
        if let Ok(mut ready) = self.socket.readable().await {
            ready.retain_ready();
        }
    }

    /// As [`Listener::accept`], also when the runtime does not know yet that a connection waits.
    pub(super) fn accept_now(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        socket::accept(self.socket.get_ref().as_fd())
    }

    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.socket.try_io(Interest::READABLE, |socket| socket::accept(socket.as_fd()))
    }
}
