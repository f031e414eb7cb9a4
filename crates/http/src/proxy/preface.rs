//! Receives the header of the PROXY protocol at the beginning of a connection, and not a byte more: what follows is for the
//! TLS handshake, or for HTTP.

use super::{
    Proxies,
    protocol::{Malformed, parse},
};
use crate::{
    ConnectionInfo,
    connection::{ConnectionHandle, Origin},
};
use hostler_settings::ProxyProtocol;
use hostler_sys::stream;
use hostler_wire::ProxiedEnds;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
    time::sleep,
};

/// How much is looked at in one call.
const BLOCK: usize = 512;

/// A socket on which the runtime waits.
pub(crate) trait Socket: AsFd {
    /// Calls `receive` when there is something to read, until it would not block.
    async fn when_readable<T>(&self, receive: impl FnMut() -> io::Result<T>) -> io::Result<T>;
}

impl Socket for TcpStream {
    async fn when_readable<T>(&self, receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.async_io(Interest::READABLE, receive).await
    }
}

impl Socket for UnixStream {
    async fn when_readable<T>(&self, receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.async_io(Interest::READABLE, receive).await
    }
}

/// Why a connection is closed before it is served.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("the header is malformed, missing, or of another version")]
    Malformed,
    #[error("the header did not arrive within --http1-header-read-timeout")]
    TimedOut,
    #[error("the worker ends")]
    WorkerEnds,
}

impl From<Malformed> for Failed {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Proxies {
    /// Whether a connection of this peer begins with a header.
    pub(crate) fn expects_header(&self, info: &ConnectionInfo) -> bool {
        if self.settings.protocol == ProxyProtocol::Off {
            return false;
        }
        let address = info.peer.tcp().map(|address| address.ip());
        let expected = self.settings.senders.0.iter().any(|peer| peer.includes(address));
        if !expected {
            self.once.no_sender(address);
        }
        expected
    }

    /// Receives the header, and has its addresses take the place of the socket's; `None` if the connection is to be closed.
    pub(crate) async fn receive_header(
        &self,
        socket: &impl Socket,
        handle: &Rc<ConnectionHandle>,
        mut info: ConnectionInfo,
        mut origin: Origin,
    ) -> Option<(ConnectionInfo, Origin)> {
        let received = tokio::select! {
            biased;
            received = receive(socket, self.settings.protocol) => received,
            () = handle.worker_ends(origin) => Err(Failed::WorkerEnds),
            () = sleep(self.header_timeout) => Err(Failed::TimedOut),
        };
        match received {
            Ok(ends) => {
                origin.proxied = ends;
                info.proxied(ends);
                Some((info, origin))
            }
            Err(error) => {
                self.once.no_header(
                    &info.peer,
                    &error,
                    matches!(error, Failed::Malformed | Failed::TimedOut),
                );
                None
            }
        }
    }
}

/// The header's addresses.
async fn receive(socket: &impl Socket, version: ProxyProtocol) -> Result<Option<ProxiedEnds>, Failed> {
    let mut header = Vec::new();
    loop {
        let received = socket.when_readable(|| receive_some(socket.as_fd(), version, &mut header)).await?;
        if let Some(ends) = received? {
            return Ok(ends);
        }
    }
}

/// Receives what is there of a header: its addresses when it is whole.
fn receive_some(
    socket: BorrowedFd<'_>,
    version: ProxyProtocol,
    header: &mut Vec<u8>,
) -> io::Result<Result<Option<Option<ProxiedEnds>>, Malformed>> {
    let mut block = [0; BLOCK];
    let seen = stream::peek(socket, &mut block)?;
    if seen == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let before = header.len();
    header.extend_from_slice(&block[..seen]);
    let (parsed, taken) = match parse(version, header) {
        Ok(Some(found)) => (Ok(Some(found.ends)), found.length - before),
        Ok(None) => (Ok(None), seen),
        Err(malformed) => return Ok(Err(malformed)),
    };
    // They are there, as just seen.
    stream::receive(socket, &mut block[..taken])?;
    Ok(parsed)
}
