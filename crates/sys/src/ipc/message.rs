//! One message with descriptors, on a socket that preserves message boundaries (`SOCK_SEQPACKET`, unix(7)).
//!
//! A message arrives whole, with all its descriptors, or it is an error: nothing is truncated silently.

use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
};
use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
};

/// What was received besides the bytes in the caller's buffer.
#[derive(Debug)]
pub struct Received {
    /// Its length in bytes; zero when the other end is closed.
    pub length: usize,
    /// They close on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Sends the parts as one message, with descriptors that the receiver gets copies of.
///
/// # Errors
/// The kernel's (sendmsg(2)); `BrokenPipe`, without a signal, when the other end is closed.
pub fn send(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    loop {
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), parts, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(nix::Error::EINTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Receives one message into the buffer, with up to `max_descriptors`.
///
/// # Errors
/// The kernel's (recvmsg(2)). `InvalidData` for a message that is longer than the buffer; `Other` when the process
/// has no room for the descriptors: then they are lost, so make room first.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], max_descriptors: usize) -> io::Result<Received> {
    let mut control = vec![0u64; control_words(max_descriptors)];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid msghdr (recvmsg(2)): no name, no buffers.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&*control) as _;
    let length = loop {
        // SAFETY: the header's pointers are to live buffers of the lengths beside them.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(length) {
            Ok(length) => break length,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    // Owned before any error is returned, so that none is leaked.
    let descriptors = rights(&control, header.msg_controllen as usize).map(own).collect();
    if header.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is longer than it may be"));
    }
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("the process has no room for the descriptors of the message"));
    }
    Ok(Received { length, descriptors })
}

fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just created this descriptor for this call, and it has no other owner.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Sets O_NONBLOCK on this end, in all processes that share it.
///
/// # Errors
/// The kernel's (fcntl(2)).
pub fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    socket2::SockRef::from(&socket).set_nonblocking(true)
}

/// Clears O_NONBLOCK on this end, in all processes that share it.
///
/// # Errors
/// The kernel's (fcntl(2)).
pub fn set_blocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    socket2::SockRef::from(&socket).set_nonblocking(false)
}

/// A file in memory with these bytes, for what is too long for a message: its descriptor goes instead.
///
/// # Errors
/// The kernel's (memfd_create(2), write(2)).
pub fn file_with(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"hostler-message", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// All bytes of such a file, from its beginning: it is shared with other processes, and so is its position.
///
/// # Errors
/// The kernel's (pread(2)).
pub fn bytes_of(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

const HEADER: usize = size_of::<libc::cmsghdr>().next_multiple_of(size_of::<usize>());

/// Room for a control message with so many descriptors (cmsg(3), CMSG_SPACE), in words of eight bytes.
const fn control_words(descriptors: usize) -> usize {
    (HEADER + descriptors * size_of::<RawFd>()).div_ceil(size_of::<u64>())
}

/// The descriptors in control messages: each a length, a level, a type, and data that begins at a word (cmsg(3)).
fn rights(control: &[u64], length: usize) -> impl Iterator<Item = RawFd> + use<> {
    let bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).take(length).collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(message) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        let size = usize_at(message);
        let kinds = message[size_of::<usize>()..HEADER].chunks_exact(size_of::<RawFd>()).map(number);
        let Some(data) = message.get(HEADER..size) else { break };
        if kinds.eq([libc::SOL_SOCKET, libc::SCM_RIGHTS]) {
            found.extend(data.chunks_exact(size_of::<RawFd>()).map(number));
        }
        at += size.next_multiple_of(size_of::<usize>());
    }
    found.into_iter()
}

fn usize_at(bytes: &[u8]) -> usize {
    bytes.first_chunk().copied().map_or(0, usize::from_ne_bytes)
}

fn number(bytes: &[u8]) -> i32 {
    bytes.first_chunk().copied().map_or(0, i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::{receive, send};
    use crate::channel::Channel;
    use std::{
        fs::File,
        io::{ErrorKind, IoSlice},
        os::fd::{AsFd, AsRawFd},
    };

    #[test]
    fn a_message_that_is_too_long_is_an_error_and_its_descriptors_are_closed() {
        let (a, b) = Channel::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        send(a.as_fd(), &[IoSlice::new(b"four")], &[file.as_fd()]).unwrap();
        let before = open();
        assert_eq!(receive(b.as_fd(), &mut [0; 3], 1).unwrap_err().kind(), ErrorKind::InvalidData);
        // Other tests open and close descriptors meanwhile; one that leaks here leaks every time.
        for _ in 0..50 {
            send(a.as_fd(), &[IoSlice::new(b"four")], &[file.as_fd()]).unwrap();
            receive(b.as_fd(), &mut [0; 3], 1).unwrap_err();
        }
        assert!(open() < before + 50);
    }

    #[test]
    fn descriptors_beyond_the_room_are_an_error() {
        let (a, b) = Channel::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        send(a.as_fd(), &[IoSlice::new(b"x")], &[file.as_fd(); 4]).unwrap();
        assert_eq!(receive(b.as_fd(), &mut [0; 8], 2).unwrap_err().kind(), ErrorKind::Other);
    }

    #[test]
    fn parts_arrive_as_one_message_with_all_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        send(a.as_fd(), &[IoSlice::new(b"one "), IoSlice::new(b"two")], &[file.as_fd(); 3]).unwrap();
        let mut buffer = [0; 16];
        let received = receive(b.as_fd(), &mut buffer, 3).unwrap();
        assert_eq!(&buffer[..received.length], b"one two");
        assert_eq!(received.descriptors.len(), 3);
        assert!(received.descriptors.iter().all(|descriptor| descriptor.as_raw_fd() > 2));
    }
}
