//! A transport's descriptor: non-blocking reads and writes, and wake-ups when they can continue.
//!
//! The descriptor belongs to Python's socket object, which closes it. Nothing here calls Python.

#![expect(unsafe_code, reason = "the descriptor belongs to a Python object")]

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, Shutdown, recv, send, sendmsg, shutdown},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, RawFd},
    task::{Context, Poll, ready},
};
use tokio::io::unix::AsyncFd;

struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A connected stream socket that the runtime watches, edge-triggered, from the start to the end.
pub(super) struct Socket(AsyncFd<Borrowed>);

impl Socket {
    /// Has the present runtime watch the descriptor.
    pub(super) fn watch(fd: RawFd) -> io::Result<Self> {
        // SAFETY: the transport owns the Python socket and drops this value before it closes that.
        Ok(Self(unsafe { AsyncFd::register(Borrowed(fd)) }?))
    }

    fn fd(&self) -> RawFd {
        self.0.get_ref().0
    }

    /// Whether a read may find something; otherwise the task is woken when one does.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx).map_ok(drop)
    }

    /// Reads once, if there is something. 0 bytes are the end of the stream.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match recv(self.fd(), buffer, MsgFlags::empty()) {
                Ok(count) => {
                    // A read that did not fill the buffer drained the socket (epoll(7)). tokio keeps the
                    // mark of a peer that closed, so the end is still read.
                    if 0 < count && count < buffer.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Writes what the kernel takes at once, which may be nothing.
    pub(super) fn send_now(&self, data: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.fd(), data, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => return Ok(count),
                Err(Errno::EAGAIN) => return Ok(0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what the kernel takes of `parts` at once, which may be nothing.
    pub(super) fn send_parts_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match sendmsg::<()>(self.fd(), parts, &[], MsgFlags::MSG_NOSIGNAL, None) {
                Ok(count) => return Ok(count),
                Err(Errno::EAGAIN) => return Ok(0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes some of `parts`, or has the task woken when that is possible.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            let count = self.send_parts_now(parts)?;
            // The kernel took less than it was given: it is full until it says otherwise.
            if count < length {
                guard.clear_ready();
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
    }

    /// Tells the peer that nothing more is written.
    pub(super) fn shut_writing(&self) -> io::Result<()> {
        Ok(shutdown(self.fd(), Shutdown::Write)?)
    }
}
