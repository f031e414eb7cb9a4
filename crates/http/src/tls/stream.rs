//! A TLS stream over a socket: rustls between the two.
//!
//! It reads plain bytes. What is written to it goes to the socket as it is, because an outbox has sealed it before.

use crate::io::transport::Transport;
use hyper::rt::{Read, ReadBufCursor, Write};
use rustls::ServerConnection;
use std::{
    io::{self, BufRead, IoSlice, Write as _},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream, after the handshake.
pub(crate) struct TlsStream<S> {
    socket: S,
    session: ServerConnection,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(socket: S, session: ServerConnection) -> Self {
        Self { socket, session }
    }

    /// Reads from the socket, and decrypts.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.session.read_tls(&mut Socket(&mut self.socket, cx)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            received => received?,
        };
        let processed = self.session.process_new_packets();
        Poll::Ready(processed.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Moves what rustls has ready for the socket.
    fn take_sealed(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(wire)?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.session.reader().into_first_chunk() {
                Ok(plain) => {
                    let count = plain.len().min(buf.remaining());
                    buf.put_slice(&plain[..count]);
                    this.session.reader().consume(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(this.poll_receive(cx))?,
                // Closed without saying so. What a request's end is, is known by HTTP's own framing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, wire: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, wire)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> Transport for TlsStream<S> {
    const CAN_HAND_OVER: bool = false;
    const SEALS: bool = true;

    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn seal(&mut self, parts: &[IoSlice<'_>], wire: &mut Vec<u8>) -> io::Result<()> {
        // In one record, unless there are too many bytes.
        let mut sealed = self.session.writer().write_vectored(parts)?;
        self.take_sealed(wire)?;
        for part in parts {
            let done = sealed.min(part.len());
            sealed -= done;
            let mut rest = &part[done..];
            while !rest.is_empty() {
                let count = self.session.writer().write(rest)?;
                rest = &rest[count..];
                self.take_sealed(wire)?;
            }
        }
        Ok(())
    }

    fn seal_and_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        wire: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let sealed = self.session.writer().write_vectored(parts)?;
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket(&mut self.socket, cx)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                written => written?,
            };
        }
        self.take_sealed(wire)?;
        Ok(sealed)
    }

    fn has_answer(&self) -> bool {
        self.session.wants_write()
    }

    fn seal_end(&mut self, wire: &mut Vec<u8>) {
        self.session.send_close_notify();
        // Writing to memory does not fail.
        let _ = self.take_sealed(wire);
    }
}

/// A socket as rustls reads and writes it: what is not possible now is an error.
struct Socket<'a, 'b, S>(&'a mut S, &'a mut Context<'b>);

impl<S: AsyncRead + Unpin> io::Read for Socket<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.0).poll_read(self.1, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Socket<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.0).poll_write_vectored(self.1, parts) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
