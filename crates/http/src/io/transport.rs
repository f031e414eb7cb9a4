//! What a connection needs of its byte stream besides reading and writing.

use hostler_sys::stream;
use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// A byte stream over a socket. What is written to it goes to the socket as it is: where the stream has a form of its own
/// for the bytes of the connection, they are sealed before.
pub(crate) trait Transport {
    /// Whether an idle connection can be continued by another worker that is given the socket and the unread bytes.
    /// Not so for a stream with state of its own in this process, such as the keys of TLS.
    const CAN_HAND_OVER: bool;

    /// Whether files can be sent without being read ([`Transport::poll_send_file`]).
    const SENDS_FILES: bool = false;

    /// Whether the socket takes other bytes than those of the connection, such as the records of TLS.
    const SEALS: bool = false;

    /// The socket.
    fn socket(&self) -> BorrowedFd<'_>;

    /// Appends to `wire` what is to be written to the socket for these bytes.
    fn seal(&mut self, parts: &[IoSlice<'_>], wire: &mut Vec<u8>) -> io::Result<()> {
        parts.iter().for_each(|part| wire.extend_from_slice(part));
        Ok(())
    }

    /// Seals some of these bytes, one at least, and writes them at once; what the socket does not take is appended to
    /// `wire`. How many were sealed. Nothing that was sealed before may be unwritten.
    fn seal_and_write(
        &mut self,
        _cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        wire: &mut Vec<u8>,
    ) -> io::Result<usize> {
        self.seal(parts, wire)?;
        Ok(parts.iter().map(|part| part.len()).sum())
    }

    /// Whether the stream itself has something to say to what was read from it: sealing, if only of nothing, appends it.
    fn has_answer(&self) -> bool {
        false
    }

    /// Appends to `wire` what tells the peer that nothing follows.
    fn seal_end(&mut self, _wire: &mut Vec<u8>) {}

    /// Sends a part of a file; 0 if the file ends there. `InvalidInput` if it has to be read instead.
    fn poll_send_file(
        &self,
        _cx: &mut Context<'_>,
        _file: &File,
        _at: u64,
        _count: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }

    /// Sends bytes that a part of a file follows.
    fn poll_send_before_file(&self, _cx: &mut Context<'_>, _bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }
}

/// A plain socket.
impl<S: Socket> Transport for hyper_util::rt::TokioIo<S> {
    const CAN_HAND_OVER: bool = true;
    const SENDS_FILES: bool = true;

    fn socket(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }

    fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        at: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_try(cx, |socket| stream::send_file(socket, file, at, count))
    }

    fn poll_send_before_file(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_try(cx, |socket| stream::send_more(socket, bytes))
    }
}

/// A socket of tokio's.
pub(crate) trait Socket: AsFd {
    /// Waits until it is writable, and tries.
    fn poll_try<R>(
        &self,
        cx: &mut Context<'_>,
        attempt: impl Fn(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>>;
}

macro_rules! sockets {
    ($($socket:ty),+) => {$(
        impl Socket for $socket {
            fn poll_try<R>(
                &self,
                cx: &mut Context<'_>,
                attempt: impl Fn(BorrowedFd<'_>) -> io::Result<R>,
            ) -> Poll<io::Result<R>> {
                loop {
                    ready!(self.poll_write_ready(cx))?;
                    match self.try_io(Interest::WRITABLE, || attempt(self.as_fd())) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        done => return Poll::Ready(done),
                    }
                }
            }
        }
    )+};
}

sockets!(TcpStream, UnixStream);
