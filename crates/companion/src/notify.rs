//! The socket on which a companion says that it is ready (sd_notify(3)).

use hostler_sys::{proc, random};
use hostler_wire::CompanionSetup;
use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred,
    },
    unistd::{close, geteuid},
};
use std::{
    ffi::OsString,
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};
use tracing::warn;

/// How many messages are read before other things are looked at.
const IN_A_TURN: usize = 64;
/// The most descriptors that the kernel lets one message have (unix(7), SCM_MAX_FD).
const MOST_DESCRIPTORS: usize = 253;

pub(crate) struct Notify {
    socket: UnixDatagram,
    name: String,
    /// The user as whom the companion runs.
    user: u32,
    companion: String,
    /// A message of a stranger was told of.
    stranger_told: bool,
}

impl Notify {
    /// An abstract socket: it has no file that would stay, and companions of other users reach it. So do all users of the network
    /// namespace, which containers may share though their process ids are their own: its name is nobody else's, and who sends is looked at.
    pub(crate) fn listen(setup: &CompanionSetup) -> io::Result<Self> {
        let [one, two] = random::seed();
        let name = format!("hostler-companion-{}-{one:016x}{two:016x}", std::process::id());
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on @{name}, its NOTIFY_SOCKET: {error}"))
        };
        let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
        let socket = UnixDatagram::bind_addr(&address).map_err(failed)?;
        setsockopt(&socket, PassCred, &true)?;
        socket.set_nonblocking(true)?;
        let user = setup.spec.identity.user.as_ref().map_or(geteuid().as_raw(), |(id, _)| *id);
        let companion = setup.spec.companion.name.clone();
        Ok(Self { socket, name, user, companion, stranger_told: false })
    }

    /// The value of NOTIFY_SOCKET.
    pub(crate) fn variable(&self) -> OsString {
        format!("@{}", self.name).into()
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it has said that it is ready.
    pub(crate) fn says_ready(&mut self) -> bool {
        let mut is_ready = false;
        for _ in 0..IN_A_TURN {
            let Ok((says_ready, sender)) = self.receive() else { break };
            if says_ready && self.is_its(sender) {
                is_ready = true;
            } else if says_ready && !std::mem::replace(&mut self.stranger_told, true) {
                let (pid, user) = sender.map(|sender| (sender.pid(), sender.uid())).unzip();
                warn!(
                    companion = self.companion,
                    pid, user, "another process says that a companion is ready: it is not believed"
                );
            }
        }
        is_ready
    }

    /// The next message: whether it says so, and who has sent it. Descriptors that come with it are closed.
    fn receive(&self) -> nix::Result<(bool, Option<UnixCredentials>)> {
        let mut text = [0; 4096];
        let mut space = cmsg_space!(UnixCredentials, [RawFd; MOST_DESCRIPTORS]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let (length, sender) = {
            let mut parts = [IoSliceMut::new(&mut text)];
            let message = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
            let mut sender = None;
            for more in message.cmsgs().into_iter().flatten() {
                match more {
                    ControlMessageOwned::ScmCredentials(its) => sender = Some(its),
                    ControlMessageOwned::ScmRights(descriptors) => {
                        for descriptor in descriptors {
                            let _ = close(descriptor);
                        }
                    }
                    _ => {}
                }
            }
            (message.bytes, sender)
        };
        Ok((text[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1"), sender))
    }

    /// Whether the companion has sent it, or what it has started. Of a process that has ended since, as systemd-notify(1) does, the user is
    /// all that can be known.
    fn is_its(&self, sender: Option<UnixCredentials>) -> bool {
        // One of a namespace that is not within this one's has no process id here.
        let Some(sender) = sender.filter(|sender| sender.pid() != 0) else { return false };
        proc::is_descendant(sender.pid()).unwrap_or_else(|| {
            let own = geteuid().as_raw();
            [self.user, own, 0].contains(&sender.uid())
        })
    }
}
