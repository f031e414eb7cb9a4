//! Writing to a log without blocking, by the kind of its descriptor.
//!
//! O_NONBLOCK on an inherited descriptor would change it for all processes that share it. So pipes and terminals are
//! opened once more through `/proc/self/fd` ([`super::target`]), sockets are sent to with MSG_DONTWAIT, and where opening
//! is refused (a pipe of another user) each write polls for room first. A regular file is written to as it is: it can
//! fail, but does not wait for a reader.

use super::target::kind;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal},
        socket::{MsgFlags, send},
        stat::SFlag,
    },
};
use std::{
    io::{self, IoSlice, IsTerminal},
    os::fd::{AsRawFd, BorrowedFd},
};

/// What a pipe takes as one piece or not at all (pipe(7)), and what is sure to fit where there is room, in bytes.
pub(super) const PIPE_BUF: usize = 4096;
/// A terminal reports that it has room without saying how much, in bytes.
const TERMINAL_PIECE: usize = 64;

/// How a descriptor is written to without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Way {
    /// With write(2): a regular file, or an open file description of our own with O_NONBLOCK.
    Plain,
    /// As `Plain`, on a terminal, which may stop background processes that write to it (TOSTOP).
    Terminal,
    /// A socket.
    Socket,
    /// A pipe whose open file description other processes share.
    SharedPipe,
    /// A terminal whose open file description other processes share.
    SharedTerminal,
}

pub(super) const WAYS: [Way; 5] =
    [Way::Plain, Way::Terminal, Way::Socket, Way::SharedPipe, Way::SharedTerminal];

/// How to write to this descriptor.
pub(super) fn way(descriptor: BorrowedFd<'_>) -> io::Result<Way> {
    let flags = OFlag::from_bits_truncate(fcntl(descriptor, FcntlArg::F_GETFL)?);
    Ok(match kind(descriptor)? {
        SFlag::S_IFSOCK => Way::Socket,
        SFlag::S_IFIFO | SFlag::S_IFCHR if !flags.contains(OFlag::O_NONBLOCK) => shared_way(descriptor),
        _ if descriptor.is_terminal() => Way::Terminal,
        _ => Way::Plain,
    })
}

pub(super) fn shared_way(descriptor: BorrowedFd<'_>) -> Way {
    match kind(descriptor) {
        Ok(SFlag::S_IFIFO) => Way::SharedPipe,
        Ok(SFlag::S_IFSOCK) => Way::Socket,
        _ if descriptor.is_terminal() => Way::SharedTerminal,
        _ => Way::Plain,
    }
}

/// Writes the beginning of a text, as much as one call takes.
pub(super) fn piece(descriptor: BorrowedFd<'_>, way: Way, text: &[u8]) -> Result<usize, Errno> {
    let first = |length: usize| &text[..text.len().min(length)];
    match way {
        Way::Plain | Way::Terminal => nix::unistd::write(descriptor, text),
        Way::Socket => send(descriptor.as_raw_fd(), text, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
        Way::SharedPipe => match write_now(descriptor, first(PIPE_BUF)) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                write_if_room(descriptor, first(PIPE_BUF))
            }
            written => written,
        },
        Way::SharedTerminal => write_if_room(descriptor, first(TERMINAL_PIECE)),
    }
}

/// Writes without blocking whatever the file status flags are (pwritev2(2), RWF_NOWAIT: pipes since Linux 6.4).
fn write_now(descriptor: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    let part = [IoSlice::new(text)];
    // SAFETY: one part, which is a live slice; an `IoSlice` is an iovec. −1 stands for "no offset".
    let written =
        unsafe { libc::pwritev2(descriptor.as_raw_fd(), part.as_ptr().cast(), 1, -1, libc::RWF_NOWAIT) };
    Errno::result(written).map(isize::unsigned_abs)
}

/// Writes if there is room. Another process may take the room in between; then this blocks until a reader makes room.
pub(super) fn write_if_room(descriptor: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    let mut asked = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    match poll(&mut asked, PollTimeout::ZERO)? {
        0 => Err(Errno::EAGAIN),
        _ => nix::unistd::write(descriptor, text),
    }
}

/// How many bytes a pipe holds, and how many more it is likely to take now (pipe(7)); `None` if it is none.
pub(super) fn room_in_pipe(descriptor: BorrowedFd<'_>) -> Option<(usize, usize)> {
    let size = fcntl(descriptor, FcntlArg::F_GETPIPE_SZ).ok()?.try_into().ok()?;
    let mut unread: libc::c_int = 0;
    // SAFETY: it writes an int, which lives; it fails for other kinds of descriptors.
    Errno::result(unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::FIONREAD, &raw mut unread) }).ok()?;
    // Pages are not quite full: a line that does not fit into the last one begins another.
    let unread = usize::try_from(unread).ok()?;
    Some((size, size.saturating_sub(unread + unread / 4)))
}

/// While it lives, writing to a terminal from the background does not stop the process (termios(3), TOSTOP).
pub(super) struct Background(Option<SigSet>);

impl Background {
    pub(super) fn allow() -> Self {
        let mut before = SigSet::empty();
        let stop = SigSet::from(Signal::SIGTTOU);
        let changed =
            nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before));
        Self(changed.ok().map(|()| before))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(before), None);
        }
    }
}
