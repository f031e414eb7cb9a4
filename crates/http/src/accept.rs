//! Accepting: a worker takes one connection a turn, and only while its loop turns.
//!
//! The queue is the kernel's and is shared by all workers, so a worker that is busy leaves new connections
//! to its siblings. Between two connections the loop serves what it already has.

use crate::{
    App, ConnectionInfo, PeerAddress,
    batch::{Batch, Batched},
    connection::serve_connection,
    drain::Connections,
};
use hostler_wire::{HttpSettings, ListenerInfo};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    io, net::SocketAddr, os::fd::OwnedFd, path::PathBuf, pin::pin, rc::Rc, task::Poll, time::Duration,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::warn;

/// How long to leave the queue alone when the process has no descriptor left for a connection.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket, registered with this thread's runtime.
pub struct Listener(Socket);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, PathBuf),
}

impl Listener {
    /// Takes over a socket that the master bound.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be watched.
    pub fn adopt(info: &ListenerInfo, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(match info {
            ListenerInfo::Tcp(_) => {
                let socket = std::net::TcpListener::from(socket);
                socket.set_nonblocking(true)?;
                Socket::Tcp(TcpListener::from_std(socket)?)
            }
            ListenerInfo::Unix(path) => {
                let socket = std::os::unix::net::UnixListener::from(socket);
                socket.set_nonblocking(true)?;
                Socket::Unix(UnixListener::from_std(socket)?, path.clone())
            }
        }))
    }

    async fn accept(&self) -> io::Result<Stream> {
        Ok(match &self.0 {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Stream::Tcp(stream, peer)
            }
            Socket::Unix(listener, path) => Stream::Unix(listener.accept().await?.0, path.clone()),
        })
    }
}

/// Accepts and serves connections until the drain begins; then empties the accept queue and returns.
pub async fn serve<A: App<Body: Unpin>>(
    listener: Listener,
    app: Rc<A>,
    settings: HttpSettings,
    connections: Connections,
) {
    let acceptor =
        Acceptor { app, builder: Rc::new(builder(&settings)), connections, batch: Batch::default() };
    tokio::task::spawn_local(acceptor.batch.clone().flush_for_ever());
    let mut drain_began = pin!(acceptor.connections.drain_began());
    loop {
        let mut accept = pin!(listener.accept());
        let accepted = std::future::poll_fn(|cx| match accept.as_mut().poll(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => drain_began.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match accepted {
            Some(accepted) => acceptor.take(accepted).await,
            None => return,
        }
    }
}

struct Acceptor<A: App> {
    app: Rc<A>,
    builder: Rc<http1::Builder>,
    connections: Connections,
    batch: Batch,
}

impl<A: App<Body: Unpin>> Acceptor<A> {
    async fn take(&self, accepted: io::Result<Stream>) {
        match accepted {
            Ok(Stream::Tcp(stream, peer)) => self.take_tcp(stream, peer),
            Ok(Stream::Unix(stream, path)) => {
                let info =
                    ConnectionInfo { peer: PeerAddress::Unix(None), local: PeerAddress::Unix(Some(path)) };
                self.spawn(TokioIo::new(stream), info);
            }
            Err(error) => return pause_after(&error).await,
        }
        // What is here already goes first: the next connection may suit a sibling better.
        tokio::task::yield_now().await;
    }

    fn take_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        // A client that has reset the connection meanwhile has no address any more: nothing to serve.
        let Ok(local) = stream.local_addr() else { return };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let info = ConnectionInfo { peer: PeerAddress::Tcp(peer), local: PeerAddress::Tcp(local) };
        self.spawn(TokioIo::new(stream), info);
    }

    fn spawn<I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static>(&self, io: I, info: ConnectionInfo) {
        let (app, builder) = (Rc::clone(&self.app), Rc::clone(&self.builder));
        tokio::task::spawn_local(serve_connection(
            app,
            builder,
            Batched::new(io, self.batch.clone()),
            info,
            self.connections.clone(),
        ));
    }
}

async fn pause_after(error: &io::Error) {
    // Errors of the connection itself (accept(2): ECONNABORTED and the like) are the client's affair.
    if matches!(error.raw_os_error(), Some(libc_errno::EMFILE | libc_errno::ENFILE)) {
        warn!(%error, hint = "raise the limit of open files (LimitNOFILE=, ulimit -n)", "cannot accept");
        tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
    }
}

/// errno(3), the two that say "no descriptor left" on Linux.
mod libc_errno {
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
}

fn builder(settings: &HttpSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Connections::sweep` does this for all connections at once.
        .header_read_timeout(None)
        .keep_alive(settings.keep_alive)
        .max_buf_size(settings.max_buffer)
        .pipeline_flush(settings.pipeline_flush);
    builder
}
