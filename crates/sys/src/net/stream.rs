//! Open connections: their peers, what the kernel has still to send, and how they are closed.

use nix::sys::socket::{AddressFamily, MsgFlags, SockaddrLike, SockaddrStorage, getsockname, recv};
use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

/// How many bytes the kernel has that the peer has not acknowledged (`SIOCOUTQ`, tcp(7), unix(7)); 0 if that is unknown.
#[must_use]
pub fn unsent(connection: RawFd) -> usize {
    bytes_queued(connection, libc::TIOCOUTQ)
}

/// Whether closing could cost the peer bytes that it has not acknowledged. Not so over a Unix socket, whose peer keeps what was
/// sent until it reads.
#[must_use]
pub fn loses_on_close(connection: RawFd) -> bool {
    let is_unix = || {
        getsockname::<SockaddrStorage>(connection).is_ok_and(|own| own.family() == Some(AddressFamily::Unix))
    };
    unsent(connection) > 0 && !is_unix()
}

/// How many bytes of the peer the kernel has that were not read yet (`FIONREAD`, tcp(7), unix(7)); 0 if that is unknown.
#[must_use]
pub fn unread(connection: RawFd) -> usize {
    bytes_queued(connection, libc::FIONREAD)
}

/// Asks by one of the requests that write a number of bytes (ioctl(2)).
fn bytes_queued(connection: RawFd, request: libc::Ioctl) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one int, and the pointer is to a live one; a descriptor that is not open is an error.
    let asked = unsafe { libc::ioctl(connection, request, &raw mut bytes) };
    if asked == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Sets whether closing the connection resets it (`SO_LINGER` of zero seconds, socket(7)), so that its peer sees that
/// what it received is not complete.
///
/// # Errors
/// The kernel's (setsockopt(2)).
pub fn reset_on_close(connection: RawFd, reset: bool) -> io::Result<()> {
    let linger = libc::linger { l_onoff: reset.into(), l_linger: 0 };
    let (value, length) = ((&raw const linger).cast(), size_of::<libc::linger>() as libc::socklen_t);
    // SAFETY: pointer and length are those of a live value; a descriptor that is not open is an error.
    let set = unsafe { libc::setsockopt(connection, libc::SOL_SOCKET, libc::SO_LINGER, value, length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends what the socket takes without blocking (send(2) with `MSG_DONTWAIT`), from any thread; how many bytes it took.
///
/// # Errors
/// The kernel's; `WouldBlock` if it takes nothing.
pub fn send_now(connection: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send(connection, bytes, 0)
}

/// As [`send_now`], for bytes that are followed by others at once: they may leave together (`MSG_MORE`, send(2)).
///
/// # Errors
/// The kernel's; `WouldBlock` if it takes nothing.
pub fn send_more(connection: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send(connection, bytes, libc::MSG_MORE)
}

fn send(connection: BorrowedFd<'_>, bytes: &[u8], flags: libc::c_int) -> io::Result<usize> {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a live slice.
    let sent = unsafe { libc::send(connection.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sends a part of a file from the page cache (sendfile(2)) to a connection that does not block; how many bytes it took, 0
/// if the file ends there.
///
/// # Errors
/// The kernel's; `WouldBlock` if the connection takes nothing, `InvalidInput` if the file has to be read instead.
pub fn send_file(connection: BorrowedFd<'_>, file: &File, at: u64, count: usize) -> io::Result<usize> {
    let mut offset = i64::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(nix::sys::sendfile::sendfile64(connection, file, Some(&mut offset), count)?)
}

/// Looks at what was received without taking it (recv(2) with `MSG_PEEK`); 0 bytes are the peer's end-of-file.
///
/// # Errors
/// The kernel's; `WouldBlock` if nothing was received.
pub fn peek(connection: BorrowedFd<'_>, block: &mut [u8]) -> io::Result<usize> {
    Ok(recv(connection.as_raw_fd(), block, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

/// Takes what was received (recv(2)); 0 bytes are the peer's end-of-file.
///
/// # Errors
/// As [`peek`].
pub fn receive(connection: BorrowedFd<'_>, block: &mut [u8]) -> io::Result<usize> {
    Ok(recv(connection.as_raw_fd(), block, MsgFlags::MSG_DONTWAIT)?)
}

/// How a peer has disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// It has shut down its sending side; it may still read.
    HalfClosed,
    /// The connection is broken.
    Broken,
}

/// Which of these connections their peers have disconnected, whether or not there is unread data (poll(2), POLLRDHUP).
#[must_use]
pub fn disconnects(connections: &[RawFd]) -> Vec<Option<Disconnect>> {
    let mut all: Vec<libc::pollfd> = connections
        .iter()
        .map(|connection| libc::pollfd { fd: *connection, events: libc::POLLRDHUP, revents: 0 })
        .collect();
    // SAFETY: the pointer and the length are those of a live vector; descriptors that are not open are reported.
    let polled = unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, 0) };
    let ended = |events: libc::c_short| match events {
        _ if polled <= 0 => None,
        events if events & (libc::POLLERR | libc::POLLHUP) != 0 => Some(Disconnect::Broken),
        events if events & libc::POLLRDHUP != 0 => Some(Disconnect::HalfClosed),
        _ => None,
    };
    all.into_iter().map(|entry| ended(entry.revents)).collect()
}

/// The client's address of a TCP connection; `None` for other sockets, and after a reset.
#[must_use]
pub fn peer(connection: BorrowedFd<'_>) -> Option<SocketAddr> {
    socket2::SockRef::from(&connection).peer_addr().ok()?.as_socket()
}

/// The same by number; `None` also for a descriptor that is not open.
#[must_use]
pub fn peer_of(connection: RawFd) -> Option<SocketAddr> {
    // SAFETY: it is used for getpeername(2) alone, for which a descriptor that is not open is an error.
    peer(unsafe { BorrowedFd::borrow_raw(connection) })
}

/// How long ago the peer's last data arrived on a TCP connection, to the millisecond or the kernel's tick (`TCP_INFO`).
#[must_use]
pub fn last_received(connection: RawFd) -> Option<std::time::Duration> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the place is live and as long as is said; the kernel fills at most that.
    let got = unsafe {
        libc::getsockopt(
            connection,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if got < 0 {
        return None;
    }
    // SAFETY: zeroes are a `tcp_info`, and so is what the kernel has filled of it.
    let info = unsafe { info.assume_init() };
    Some(std::time::Duration::from_millis(u64::from(info.tcpi_last_data_recv)))
}

#[cfg(test)]
mod tests {
    use super::{loses_on_close, send_now, unread, unsent};
    use std::{
        io::Read,
        os::{
            fd::{AsFd, AsRawFd},
            unix::net::UnixStream,
        },
    };

    #[test]
    fn what_the_peer_has_not_read_is_unsent() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(unsent(ours.as_raw_fd()), 0);
        assert_eq!(send_now(ours.as_fd(), b"hello").unwrap(), 5);
        assert!(unsent(ours.as_raw_fd()) > 0);
        assert_eq!((unread(ours.as_raw_fd()), unread(theirs.as_raw_fd())), (0, 5));
        theirs.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(unsent(ours.as_raw_fd()), 0);
        while send_now(ours.as_fd(), &[0; 4096]).is_ok() {}
        assert_eq!(send_now(ours.as_fd(), b"more").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn closing_a_unix_socket_costs_its_peer_nothing() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        send_now(ours.as_fd(), b"hello").unwrap();
        assert!(!loses_on_close(ours.as_raw_fd()));
        drop(ours);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn disconnects_are_seen_behind_unread_data() {
        use super::{Disconnect, disconnects};
        use std::{io::Write, os::fd::AsRawFd, os::unix::net::UnixStream};
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (other, kept) = UnixStream::pair().unwrap();
        theirs.write_all(b"unread").unwrap();
        let look = || disconnects(&[ours.as_raw_fd(), other.as_raw_fd()]);
        assert_eq!(look(), [None, None]);
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(look(), [Some(Disconnect::HalfClosed), None]);
        drop(theirs);
        drop(kept);
        assert_eq!(look(), [Some(Disconnect::Broken), Some(Disconnect::Broken)]);
    }
}
