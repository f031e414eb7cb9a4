//! From an accepted or received socket to a connection's task.

use super::Acceptor;
use crate::{
    App, ConnectionInfo, IDLE_GRACE, PeerAddress,
    connection::{ConnectionHandle, Origin, turn_away},
    connections::Registration,
    io::{CoalescingIo, transport::Transport},
    proxy::preface::Socket,
    tls::handshake::{Outcome, PLAIN_HTTP, shake_hands},
};
use bytes::Bytes;
use hostler_wire::{ListenerInfo, ProxiedEnds};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    rc::Rc,
    time::Instant,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// How a socket came to this worker.
pub(super) enum Arrival {
    /// From its listener.
    Accepted,
    /// From another worker, which has read these bytes, and its PROXY header. It is a plain one, whatever its listener
    /// serves now.
    HandedOver(Bytes, Option<ProxiedEnds>),
}

impl<A: App<Body: Unpin>> Acceptor<A> {
    /// Serves a socket of this listener.
    pub(super) fn open(
        self: &Rc<Self>,
        listener: usize,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        arrival: Arrival,
    ) {
        let origin = Origin { listener, grace_until: self.grace(), proxied: None };
        match &self.listeners[listener].info {
            ListenerInfo::Tcp(_) => {
                // A client that has reset the connection meanwhile has no address any more: nothing to serve.
                let Ok(stream) = TcpStream::from_std(socket.into()) else { return };
                let (Some(peer), Ok(local)) = (peer, stream.local_addr()) else { return };
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                let (peer, local) = (PeerAddress::Tcp(peer), PeerAddress::Tcp(local));
                self.start_serving(stream, ConnectionInfo::plain(peer, local), origin, arrival);
            }
            ListenerInfo::Unix(path) => {
                let Ok(stream) = UnixStream::from_std(socket.into()) else { return };
                let (peer, local) = (PeerAddress::Unix(None), PeerAddress::Unix(Some(path.clone())));
                self.start_serving(stream, ConnectionInfo::plain(peer, local), origin, arrival);
            }
        }
    }

    /// During a drain, until when the client of a connection that begins now may send a request.
    fn grace(&self) -> Option<Instant> {
        self.server.connections.phase().is_drain().then(|| Instant::now() + IDLE_GRACE)
    }

    fn start_serving<S>(
        self: &Rc<Self>,
        stream: S,
        mut info: ConnectionInfo,
        mut origin: Origin,
        arrival: Arrival,
    ) where
        S: Socket + AsyncRead + AsyncWrite + Unpin + 'static,
        TokioIo<S>: Transport,
    {
        match arrival {
            Arrival::Accepted if self.server.proxies.expects_header(&info) => {
                self.spawn_behind_header(stream, info, origin);
            }
            Arrival::Accepted => self.begin(stream, info, origin),
            Arrival::HandedOver(unread, proxied) => {
                info.proxied(proxied);
                origin.proxied = proxied;
                self.spawn(stream, info, origin, unread);
            }
        }
    }

    /// Spawns the task that receives a PROXY header, and then what serves the connection.
    fn spawn_behind_header<S>(self: &Rc<Self>, stream: S, info: ConnectionInfo, origin: Origin)
    where
        S: Socket + AsyncRead + AsyncWrite + Unpin + 'static,
        TokioIo<S>: Transport,
    {
        let (handle, registration) = self.register(&stream, origin);
        let acceptor = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let counted = acceptor.server.load.connection();
            let received = acceptor.server.proxies.receive_header(&stream, &handle, info, origin);
            let Some((info, origin)) = received.await else { return };
            // What was granted for the first request was for the header, too.
            let origin = Origin { grace_until: acceptor.grace(), ..origin };
            acceptor.begin(stream, info, origin);
            drop((counted, registration));
        });
    }

    /// Serves a connection from its first byte behind a PROXY header on.
    fn begin<S>(self: &Rc<Self>, stream: S, info: ConnectionInfo, origin: Origin)
    where
        S: Socket + AsyncRead + AsyncWrite + Unpin + 'static,
        TokioIo<S>: Transport,
    {
        match self.listeners[origin.listener].tls {
            true => self.spawn_tls(stream, info, origin),
            false => self.spawn(stream, info, origin, Bytes::new()),
        }
    }

    /// Spawns the task of a plain connection.
    fn spawn<S>(&self, stream: S, info: ConnectionInfo, origin: Origin, unread: Bytes)
    where
        S: AsFd + AsyncRead + AsyncWrite + Unpin + 'static,
        TokioIo<S>: Transport,
    {
        let (handle, registration) = self.register(&stream, origin);
        let io = CoalescingIo::new(TokioIo::new(stream), self.batch.clone(), unread, handle);
        tokio::task::spawn_local(Rc::clone(&self.server).serve(io, info, origin, registration));
    }

    /// Spawns the task of a connection that begins with a handshake. The application is told of it after that.
    fn spawn_tls<S>(self: &Rc<Self>, stream: S, info: ConnectionInfo, origin: Origin)
    where
        S: Socket + AsyncRead + AsyncWrite + Unpin + 'static,
        TokioIo<S>: Transport,
    {
        let (handle, registration) = self.register(&stream, origin);
        let acceptor = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let counted = acceptor.server.load.connection();
            // Boxed, so that a connection does not keep the room for it.
            let shaken = Box::pin(shake_hands(stream, &acceptor.certificates, &handle, origin)).await;
            let (stream, facts) = match shaken {
                Some(Outcome::Tls(stream, facts)) => (*stream, facts),
                Some(Outcome::Http(stream)) => {
                    let io =
                        CoalescingIo::new(TokioIo::new(stream), acceptor.batch.clone(), Bytes::new(), handle);
                    let facts = acceptor.server.proxies.facts(&info);
                    return turn_away(io, PLAIN_HTTP, &acceptor.server.load, &facts).await;
                }
                None => return,
            };
            drop(counted);
            // What was granted for the first request was for the handshake, too.
            let origin = Origin { grace_until: acceptor.grace(), ..origin };
            if let Some(until) = origin.grace_until {
                handle.wake_at(until);
            }
            let io = CoalescingIo::new(stream, acceptor.batch.clone(), Bytes::new(), handle);
            Rc::clone(&acceptor.server).serve(io, info.over_tls(facts), origin, registration).await;
        });
    }

    /// Counts a connection as open from now on, before its task runs: a drain that begins meanwhile waits for it.
    fn register(&self, stream: &impl AsFd, origin: Origin) -> (Rc<ConnectionHandle>, Registration) {
        let handle = ConnectionHandle::new(self.server.connections.clone(), stream.as_fd().as_raw_fd());
        let registration = self.server.connections.register(Rc::clone(&handle));
        if let Some(ends) = origin.proxied {
            handle.is_of(ends.peer);
        }
        if let Some(until) = origin.grace_until {
            handle.wake_at(until);
        }
        (handle, registration)
    }
}
