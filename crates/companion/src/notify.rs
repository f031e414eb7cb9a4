//! The socket on which a companion says that it is ready (sd_notify(3)).

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

pub(crate) struct Notify {
    socket: UnixDatagram,
    name: String,
}

impl Notify {
    /// An abstract socket: it has no file that would stay, and companions of other users reach it.
    pub(crate) fn listen() -> io::Result<Self> {
        let name = format!("hostler-companion-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, name })
    }

    /// The value of NOTIFY_SOCKET.
    pub(crate) fn variable(&self) -> OsString {
        format!("@{}", self.name).into()
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it has said that it is ready.
    pub(crate) fn says_ready(&self) -> bool {
        let (mut text, mut ready) = ([0; 4096], false);
        while let Ok(length) = self.socket.recv(&mut text) {
            ready |= text[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1");
        }
        ready
    }
}
