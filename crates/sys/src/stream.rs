//! What the kernel knows of an open connection, and how it is to end it.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

/// How many bytes the kernel holds that the peer has not taken yet (`SIOCOUTQ`, tcp(7), unix(7)); none if it cannot say.
#[must_use]
pub fn unsent(connection: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, and the pointer is to a live one; a descriptor that is not open is an error.
    let asked = unsafe { libc::ioctl(connection, libc::TIOCOUTQ, &raw mut bytes) };
    if asked == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Has the connection be reset when it is closed, so that its peer does not take what it got for all there is; or
/// end in the usual way (`SO_LINGER` of zero seconds, socket(7)).
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

/// Sends what the socket takes without waiting (send(2) with `MSG_DONTWAIT`), from any thread; how many bytes it took.
///
/// # Errors
/// The kernel's; `WouldBlock` if it takes nothing.
pub fn send_now(connection: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a live slice.
    let sent = unsafe { libc::send(connection.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::{send_now, unsent};
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
        theirs.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(unsent(ours.as_raw_fd()), 0);
        while send_now(ours.as_fd(), &[0; 4096]).is_ok() {}
        assert_eq!(send_now(ours.as_fd(), b"more").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
