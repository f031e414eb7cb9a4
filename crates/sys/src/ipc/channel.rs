//! A channel between two processes: whole messages, and descriptors with them.
//!
//! A `SOCK_SEQPACKET` socket pair (unix(7)): a message is sent and received whole or not at all, and the
//! death of the other end reads as end-of-file.

use crate::message::{self, Received};
use hostler_wire::MAX_DESCRIPTORS;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, setsockopt, socketpair, sockopt};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// The longest message, in bytes; senders truncate tracebacks to fit.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// One end of the channel.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// A connected pair; both ends close on exec.
    ///
    /// # Errors
    /// The kernel's (socketpair(2)).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        for end in [&a, &b] {
            setsockopt(end, sockopt::SndBuf, &(2 * MAX_MESSAGE))?;
        }
        Ok((Self(a), Self(b)))
    }

    /// The descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Another descriptor of the same end.
    ///
    /// # Errors
    /// The kernel's (fcntl(2)).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sets whether receiving returns `WouldBlock` instead of waiting; for all clones of this end.
    ///
    /// # Errors
    /// The kernel's (fcntl(2)).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        socket2::SockRef::from(&self.0).set_nonblocking(nonblocking)
    }

    /// Sends one message, with descriptors that the receiver gets copies of.
    ///
    /// # Errors
    /// The kernel's (sendmsg(2)); `BrokenPipe` when the other end is closed, `InvalidInput` when the message
    /// is longer than [`MAX_MESSAGE`].
    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        message::send(self.0.as_fd(), &[IoSlice::new(&text)], descriptors)
    }

    /// The length of the next message in bytes: most are short, and no memory is reserved for the longest.
    fn next_length(&self) -> io::Result<usize> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        loop {
            match recv(self.0.as_raw_fd(), &mut [], flags) {
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::ECONNRESET) => return Ok(0),
                length => return Ok(length?.min(MAX_MESSAGE)),
            }
        }
    }

    /// Receives one message and its descriptors, which close on exec; `None` when the other end is closed. An end has
    /// one receiver: another one could take the message whose length was just seen.
    ///
    /// # Errors
    /// Those of [`message::receive`]; `InvalidData` for a message of another type.
    pub fn recv<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut text = vec![0; self.next_length()?];
        let Received { length, descriptors } =
            match message::receive(self.0.as_fd(), &mut text, MAX_DESCRIPTORS) {
                // The peer died with unread data of ours: closed as well.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                received => received?,
            };
        if length == 0 {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&text[..length])?, descriptors)))
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Channel;
    use std::{
        io::{self, Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let (mut kept, sent) = UnixStream::pair().unwrap();
        let long = "x".repeat(100_000);
        a.send(&long, &[sent.as_fd()]).unwrap();
        let (text, mut descriptors) = b.recv::<String>().unwrap().unwrap();
        assert_eq!(text, long);
        drop(sent);
        UnixStream::from(descriptors.remove(0)).write_all(b"hello").unwrap();
        let mut read = String::new();
        kept.read_to_string(&mut read).unwrap();
        assert_eq!(read, "hello");
    }

    #[test]
    fn the_end_of_the_other_side_reads_as_none_and_nothing_yet_as_would_block() {
        let (a, b) = Channel::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        assert_eq!(b.recv::<u8>().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert!(b.recv::<u8>().unwrap().is_none());
    }
}
