//! From an accepted or received socket to a connection's task.

use super::Acceptor;
use crate::{
    App, ConnectionInfo, IDLE_GRACE, PeerAddress, Scheme,
    connection::{ConnectionHandle, Origin},
    io::{CoalescingIo, transport::Transport},
};
use bytes::Bytes;
use hostler_wire::ListenerInfo;
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    rc::Rc,
    time::Instant,
};
use tokio::net::{TcpStream, UnixStream};

impl<A: App<Body: Unpin>> Acceptor<A> {
    /// Serves a socket of this listener, of whose bytes `unread` were already read.
    pub(super) fn open(&self, listener: usize, socket: OwnedFd, peer: Option<SocketAddr>, unread: Bytes) {
        let draining = self.server.connections.phase().is_drain();
        let origin = Origin { listener, grace_until: draining.then(|| Instant::now() + IDLE_GRACE) };
        match &self.listeners[listener].info {
            ListenerInfo::Tcp(_) => {
                // A client that has reset the connection meanwhile has no address any more: nothing to serve.
                let Ok(stream) = TcpStream::from_std(socket.into()) else { return };
                let (Some(peer), Ok(local)) = (peer, stream.local_addr()) else { return };
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                let (peer, local) = (PeerAddress::Tcp(peer), PeerAddress::Tcp(local));
                self.spawn(stream, ConnectionInfo { peer, local, scheme: Scheme::Http }, origin, unread);
            }
            ListenerInfo::Unix(path) => {
                let Ok(stream) = UnixStream::from_std(socket.into()) else { return };
                let (peer, local) = (PeerAddress::Unix(None), PeerAddress::Unix(Some(path.clone())));
                self.spawn(stream, ConnectionInfo { peer, local, scheme: Scheme::Http }, origin, unread);
            }
        }
    }

    /// Spawns the task of a plain connection. One with a handshake does that inside its task, before
    /// [`Server::serve`](crate::connection::Server::serve), which tells the application of the connection.
    fn spawn<S>(&self, stream: S, info: ConnectionInfo, origin: Origin, unread: Bytes)
    where
        S: AsFd + 'static,
        TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Transport + Unpin,
    {
        let stream = TokioIo::new(stream);
        let descriptor = stream.socket().as_raw_fd();
        let handle = ConnectionHandle::new(self.server.connections.clone(), descriptor);
        // Open from now on, before its task runs: a drain that begins meanwhile waits for it.
        let registration = self.server.connections.register(Rc::clone(&handle));
        if let Some(until) = origin.grace_until {
            handle.wake_at(until);
        }
        let io = CoalescingIo::new(stream, self.batch.clone(), unread, handle);
        tokio::task::spawn_local(Rc::clone(&self.server).serve(io, info, origin, registration));
    }
}
