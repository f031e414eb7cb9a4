//! A connection as its client sees it: bytes, with TLS or without.

use super::{Addresses, PATIENCE};
use crate::{
    edge,
    plan::{Client, Reader, Way},
};
use nix::poll::PollFlags;
use rustls::ClientConnection;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// A connection that does not block once it is made.
pub(super) struct Link {
    socket: Socket,
    tls: Option<Tls>,
    /// The client's own TCP port.
    pub(super) port: Option<u16>,
}

struct Tls {
    connection: Box<ClientConnection>,
    /// Bytes that were decrypted and not read.
    decrypted: usize,
}

impl Link {
    /// Connects.
    pub(super) fn connect(client: &Client, addresses: &Addresses, reader: Reader) -> io::Result<Self> {
        let (socket, port) = connect(client, addresses, reader)?;
        let tls = (client.way == Way::Tls).then(|| ClientConnection::new(edge::trust(false), edge::host()));
        let tls = tls.transpose().map_err(io::Error::other)?;
        let tls = tls.map(|connection| Tls { connection: Box::new(connection), decrypted: 0 });
        Ok(Self { socket, tls, port })
    }

    /// Shakes hands, if it is over TLS.
    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            self.socket.set_read_timeout(Some(PATIENCE))?;
            while tls.connection.is_handshaking() {
                tls.connection.complete_io(&mut self.socket)?;
            }
        }
        self.socket.set_nonblocking(true)
    }

    /// What was written is not in the kernel yet.
    pub(super) fn owes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.wants_write())
    }

    /// Something can be read without asking the kernel.
    pub(super) fn has_read(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.decrypted > 0)
    }

    /// Gives the kernel what is owed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.connection.wants_write() {
            tls.connection.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Sends no more.
    pub(super) fn half_close(&mut self) -> io::Result<()> {
        self.say_goodbye();
        self.socket.shutdown(Shutdown::Write)
    }

    /// Ends it as clients do.
    pub(super) fn close(mut self) {
        self.say_goodbye();
    }

    /// Ends it with a reset.
    pub(super) fn reset(self) {
        // A server that is gone already does not mind.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.connection.send_close_notify();
        }
        // A server that is gone already does not mind.
        let _ = self.flush();
    }
}

impl Read for Link {
    /// 0 is the end, which over TLS is a close_notify.
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(block) };
        loop {
            match tls.connection.reader().read(block) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => {
                    tls.decrypted -= done.as_ref().copied().unwrap_or(tls.decrypted);
                    return done;
                }
            }
            tls.connection.read_tls(&mut self.socket)?;
            let state = tls.connection.process_new_packets().map_err(io::Error::other)?;
            tls.decrypted = state.plaintext_bytes_to_read();
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        let taken = tls.connection.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a poll waits for.
pub(super) fn interest(reads: bool, writes: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, reads);
    flags.set(PollFlags::POLLOUT, writes);
    flags
}

/// Connects; clients that read slowly have small buffers, so that the server notices.
pub(super) fn connect(
    client: &Client,
    addresses: &Addresses,
    reader: Reader,
) -> io::Result<(Socket, Option<u16>)> {
    let (domain, address) = match client.way {
        Way::Unix => (Domain::UNIX, SockAddr::unix(&addresses.unix)?),
        Way::Tcp => (Domain::IPV4, addresses.tcp.into()),
        Way::Tls => (Domain::IPV4, addresses.tls.into()),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if !matches!(reader, Reader::Fast) {
        socket.set_recv_buffer_size(32 << 10)?;
    }
    if client.way == Way::Unix {
        socket.connect(&address)?;
        return Ok((socket, None));
    }
    socket.connect_timeout(&address, PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    let port = socket.local_addr()?.as_socket().map(|own| own.port());
    Ok((socket, port))
}
