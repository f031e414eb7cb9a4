//! What processes of this server share: scoreboard, handover channel, listening sockets; and which role is given which.

use crate::{Listening, Predecessor};
use hostler_settings::Listen;
use hostler_sys::{board::Board, bundle::Bundle, channel::Channel, own_file::OwnFile, socket};
use hostler_wire::{Descriptor, ListenerInfo, Role};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};
use tracing::{debug, warn};

/// What is shared. It is open here until the end, so that no accept queue and no connection on its way dies with a worker.
pub(crate) struct Resources {
    pub(crate) board: Board,
    /// The channel on which workers hand connections over: receiving end, sending end; `None` once closed.
    handover: Option<(OwnedFd, OwnedFd)>,
    pub(crate) listeners: Vec<Listening>,
    /// The observer's.
    pub(crate) admin: Vec<Listening>,
}

impl Resources {
    /// New ones, but for what a predecessor leaves.
    pub(crate) fn new(
        listeners: Vec<Listening>,
        admin: Vec<Listening>,
        predecessor: Option<&mut Predecessor>,
    ) -> io::Result<Self> {
        let handover = match predecessor.and_then(Predecessor::take_handover) {
            Some(handover) => handover,
            None => {
                let (receiver, sender) = Channel::pair()?;
                (receiver.into_fd(), sender.into_fd())
            }
        };
        Ok(Self { board: Board::create()?, handover: Some(handover), listeners, admin })
    }

    /// Has the kernel take no new connections; those that wait can be accepted.
    pub(crate) fn refuse_connections(&self) {
        self.each_socket("cannot refuse new connections", socket::refuse_connections);
    }

    /// Ends listening, although workers and molds may have the sockets open: clients are refused from now on.
    pub(crate) fn end_listening(&self) {
        self.each_socket("cannot end a listening socket", socket::end_listening);
    }

    /// For each listening socket but a service manager's: what waits there is for the server that it starts next.
    fn each_socket(&self, failure: &str, act: impl Fn(&OwnedFd) -> io::Result<()>) {
        let own = self.listeners.iter().filter(|listener| !listener.is_passed());
        for error in own.flat_map(|listener| &listener.sockets).filter_map(|socket| act(socket).err()) {
            debug!(%error, "{failure}");
        }
    }

    /// Closes them in a process that was forked from the master: it has copies of what its role is given.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
        self.admin.clear();
        self.handover = None;
    }

    /// Whether a Unix socket of this path is listened on.
    pub(crate) fn listens_on(&self, path: &Path) -> bool {
        self.listeners
            .iter()
            .chain(&self.admin)
            .any(|listener| matches!(&listener.info, ListenerInfo::Unix(ours) if ours == path))
    }

    /// Applies to sockets that a predecessor left what may differ in this server's configuration: the length of their queues,
    /// and the mode of those that are files.
    pub(crate) fn configure_inherited(&self, listen: &Listen, files: &[OwnFile]) {
        for listener in &self.listeners {
            for socket in &listener.sockets {
                if let Err(error) = socket::set_backlog(socket, i32::from(listen.backlog)) {
                    warn!(address = %listener.info, %error, "cannot apply --backlog");
                }
            }
        }
        let Some(mode) = listen.uds_permissions else { return };
        for file in files.iter().filter(|file| self.listens_on(file.path())) {
            if let Err(error) = file.set_mode(mode.0) {
                warn!(path = %file.path().display(), %error, "cannot apply --uds-permissions");
            }
        }
    }

    /// What processes of a role are given.
    pub(crate) fn of_role(&self, role: Role) -> Bundle<BorrowedFd<'_>> {
        self.named(role.shared_descriptors())
    }

    /// What a successor is left.
    pub(crate) fn inheritance(&self) -> Bundle<BorrowedFd<'_>> {
        self.named(&[
            Descriptor::HandoverReceiver,
            Descriptor::HandoverSender,
            Descriptor::Listener,
            Descriptor::Admin,
        ])
    }

    fn named(&self, names: &[Descriptor]) -> Bundle<BorrowedFd<'_>> {
        let mut bundle = Bundle::default();
        for name in names {
            match name {
                Descriptor::Scoreboard => bundle.add(*name, self.board.for_reading()),
                Descriptor::OwnPage => bundle.add(*name, self.board.for_writing()),
                Descriptor::HandoverReceiver => {
                    self.handover.iter().for_each(|ends| bundle.add(*name, ends.0.as_fd()));
                }
                Descriptor::HandoverSender => {
                    self.handover.iter().for_each(|ends| bundle.add(*name, ends.1.as_fd()));
                }
                Descriptor::Listener => {
                    let sockets = self.listeners.iter().flat_map(|listener| &listener.sockets);
                    sockets.for_each(|socket| bundle.add(*name, socket.as_fd()));
                }
                Descriptor::Admin => {
                    let sockets = self.admin.iter().flat_map(|listener| &listener.sockets);
                    sockets.for_each(|socket| bundle.add(*name, socket.as_fd()));
                }
                // Each process has its own, or its mold's.
                Descriptor::Log
                | Descriptor::AccessLog
                | Descriptor::CompanionSocket
                | Descriptor::Channel
                | Descriptor::Stacks
                | Descriptor::Certificates => {}
            }
        }
        bundle
    }
}
