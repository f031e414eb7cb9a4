//! The old server, which started this one as its successor: what is inherited from it, and the messages to it.

use crate::{
    PASSED,
    run::{self, Master},
    upgrade,
};
use hostler_arbiter::{Bounds, Event};
use hostler_sys::{
    bundle::Bundle,
    channel::Channel,
    own_file::{Inode, OwnFile},
    process,
};
use hostler_wire::{
    Descriptor, FromSuccessor, GroupId, Inheritance, InheritedListener, ListenerInfo, ToSuccessor,
    UPGRADE_VERSION,
};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};
use tracing::{debug, info, warn};

/// An address as it was written, where that is, and its sockets.
type Inherited = (String, ListenerInfo, Vec<OwnedFd>);

/// The server that started this one to be replaced by it.
pub struct Predecessor {
    /// Until it is gone.
    channel: Option<Channel>,
    handover: Option<(OwnedFd, OwnedFd)>,
    listeners: Vec<Inherited>,
    /// Those of its observer.
    admin: Vec<Inherited>,
    /// Those of companions.
    companion_sockets: Vec<Inherited>,
    /// Files that it created and leaves to its successor.
    pub(crate) owned_files: Vec<OwnFile>,
    /// The keys with which TLS sessions are resumed.
    pub(crate) tickets: Option<Vec<u8>>,
    /// The path of its control socket.
    control: Option<PathBuf>,
    /// How many workers it has, of groups whose number follows the load.
    workers: Vec<(GroupId, u16)>,
    /// This server is the service.
    took_over: bool,
    /// The files that only it needed are removed.
    tidied: bool,
}

impl Predecessor {
    /// Gets in touch with it, if there is one.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` if it is of another version, `InvalidData` if its message is invalid.
    pub fn find() -> io::Result<Option<Self>> {
        if std::env::var(upgrade::VARIABLE).is_err() {
            return Ok(None);
        }
        let channel = Channel::from(process::take_descriptor(upgrade::DESCRIPTOR)?);
        let (left, descriptors) =
            channel.recv::<serde_json::Value>()?.ok_or_else(|| invalid("the old server sent nothing"))?;
        let left = understood(left)?;
        let Inheritance {
            descriptors: names, listeners, admin, owned_files, tickets, control, workers, ..
        } = left;
        let companion_sockets = left.companion_sockets;
        let mut bundle = Bundle::received(names, descriptors)?;
        let handover = (bundle.take(Descriptor::HandoverReceiver)?, bundle.take(Descriptor::HandoverSender)?);
        let listeners = inherited(listeners, bundle.take_all(Descriptor::Listener))?;
        let admin = inherited(admin, bundle.take_all(Descriptor::Admin))?;
        let companion_sockets = inherited(companion_sockets, bundle.take_all(Descriptor::CompanionSocket))?;
        let owned_files = owned_files.into_iter();
        let owned_files =
            owned_files.map(|(path, numbers)| OwnFile::new(path, Inode::from_numbers(numbers))).collect();
        let (channel, handover) = (Some(channel), Some(handover));
        let (took_over, tidied) = (false, false);
        Ok(Some(Self {
            channel,
            handover,
            listeners,
            admin,
            companion_sockets,
            owned_files,
            tickets,
            control,
            workers,
            took_over,
            tidied,
        }))
    }

    /// Its sockets for this address, as it was written in the configuration.
    pub fn take_listener(&mut self, spec: &str) -> Option<(ListenerInfo, Vec<OwnedFd>)> {
        let found = self.listeners.iter().position(|(theirs, ..)| theirs == spec)?;
        let (_, info, sockets) = self.listeners.swap_remove(found);
        Some((info, sockets))
    }

    /// The socket of its observer for this address.
    pub fn take_admin(&mut self, spec: &str) -> Option<(ListenerInfo, Vec<OwnedFd>)> {
        let found = self.admin.iter().position(|(theirs, ..)| theirs == spec)?;
        let (_, info, sockets) = self.admin.swap_remove(found);
        Some((info, sockets))
    }

    /// The socket of companions for this address.
    pub fn take_companion_socket(&mut self, spec: &str) -> Option<(ListenerInfo, Vec<OwnedFd>)> {
        let found = self.companion_sockets.iter().position(|(theirs, ..)| theirs == spec)?;
        let (_, info, sockets) = self.companion_sockets.swap_remove(found);
        Some((info, sockets))
    }

    /// Its sockets that a service manager had passed to it.
    pub fn take_activated(&mut self) -> Vec<(String, ListenerInfo, Vec<OwnedFd>)> {
        self.listeners.extract_if(.., |(spec, ..)| spec.starts_with(PASSED)).collect()
    }

    /// With how many workers to begin a group that has these bounds: less than it has would be too few for its load.
    pub(crate) fn workers(&self, group: GroupId, bounds: Bounds) -> Option<u16> {
        let (_, count) = self.workers.iter().find(|(theirs, _)| *theirs == group)?;
        (!bounds.is_fixed()).then(|| bounds.nearest(*count))
    }

    /// The path of its control socket, if it has one.
    pub(crate) fn control(&self) -> Option<&Path> {
        self.control.as_deref()
    }

    pub(crate) fn take_handover(&mut self) -> Option<(OwnedFd, OwnedFd)> {
        self.handover.take()
    }

    /// Reports that this server heeds orders from now on.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let Some(channel) = &self.channel else { return Ok(()) };
        channel.set_nonblocking(true)?;
        self.tell(FromSuccessor::Runs);
        Ok(())
    }

    /// Reports that this server serves. What was not taken of the old one's addresses is closed here: nothing would accept
    /// there. The old one has them open until it exits, so that it can take the service back.
    pub(crate) fn take_over(&mut self) {
        info!("this server serves; the old one exits");
        self.took_over = true;
        self.tell(FromSuccessor::Serves);
        let others = self.admin.drain(..).chain(self.companion_sockets.drain(..));
        for (_, address, _) in self.listeners.drain(..).chain(others) {
            info!(%address, "no longer listened on");
        }
    }

    /// Whether the files are to be removed now that only the old server needed, which is gone. True once.
    fn leaves_files(&mut self) -> bool {
        let gone = self.took_over && self.channel.is_none();
        gone && !std::mem::replace(&mut self.tidied, true)
    }

    /// Whether it is still the service, as far as is known.
    pub(crate) fn is_the_service(&self) -> bool {
        self.channel.is_some() && !self.took_over
    }

    /// Whether it is still the service, and goes on without this one.
    pub(crate) fn serves(&mut self) -> bool {
        while self.message().is_some() {}
        self.channel.is_some() && !self.took_over
    }

    fn tell(&self, message: FromSuccessor) {
        if let Some(channel) = &self.channel
            && let Err(error) = channel.send(&message, &[])
        {
            warn!(%error, "cannot send to the old server");
        }
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Its next message; `None` if there is none now.
    fn message(&mut self) -> Option<(ToSuccessor, Vec<OwnedFd>)> {
        match self.channel.as_ref()?.recv::<ToSuccessor>() {
            Ok(Some(received)) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            gone => {
                debug!(error = gone.err().map(|error| error.to_string()), "the old server is gone");
                self.channel = None;
                None
            }
        }
    }
}

/// The addresses with their sockets, which come in their order.
fn inherited(listeners: Vec<InheritedListener>, sockets: Vec<OwnedFd>) -> io::Result<Vec<Inherited>> {
    if sockets.len() != listeners.iter().map(|listener| listener.sockets).sum::<usize>() {
        return Err(invalid("not all sockets of the old server arrived"));
    }
    let mut sockets = sockets.into_iter();
    let with_sockets =
        |its: InheritedListener| (its.spec, its.info, sockets.by_ref().take(its.sockets).collect());
    Ok(listeners.into_iter().map(with_sockets).collect())
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

fn understood(left: serde_json::Value) -> io::Result<Inheritance> {
    // Those before the first version did not say so.
    let theirs = left.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if theirs != u64::from(UPGRADE_VERSION) {
        let text = format!(
            "it speaks version {theirs} of the upgrade and this program speaks {UPGRADE_VERSION}: stop it, then start this one"
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok(serde_json::from_value(left)?)
}

impl Master {
    /// Removes the files of the server before this one that this one does not have, once that one is gone: sockets of
    /// addresses and a pid file that the configuration no longer names.
    pub(crate) fn tidy_after_predecessor(&mut self) {
        if !self.plan.predecessor.as_mut().is_some_and(Predecessor::leaves_files) {
            return;
        }
        let Self { plan, resources, .. } = self;
        let sockets = plan.spec.companion_sockets.clone();
        let is_companions = |path: &Path| sockets.iter().any(|socket| socket.is_at(path));
        let used = |path: &Path| {
            plan.pid_file.as_deref() == Some(path) || resources.listens_on(path) || is_companions(path)
        };
        for file in plan.owned_files.extract_if(.., |file| !used(file.path())) {
            if run::remove(&file) {
                info!(path = %file.path().display(), "a file of the old server was removed");
            }
        }
    }

    /// The old server passes an order to stop on.
    pub(crate) fn receive_from_predecessor(&mut self, events: &mut VecDeque<Event>) {
        let Some(predecessor) = &mut self.plan.predecessor else { return };
        let mut received = Vec::new();
        while let Some(message) = predecessor.message() {
            received.push(message);
        }
        let gone = predecessor.channel.is_none();
        for (message, descriptors) in received {
            let quickly = match message {
                ToSuccessor::Stop { quickly } => quickly,
                ToSuccessor::Companion(left) => {
                    self.inherit_companion(*left, descriptors);
                    continue;
                }
                ToSuccessor::CompanionsLeft { all } => {
                    if all {
                        self.companions_inherited(events);
                    }
                    continue;
                }
            };
            info!(quickly, "the old server was told to stop: this one stops too");
            self.milestones.stop_begins(None);
            if quickly {
                events.push_back(Event::StopQuickly);
            } else if !self.arbiter.is_stopping() {
                // A signal to all processes of a group came here as well: that is one request and not two.
                events.push_back(Event::StopGracefully);
            }
        }
        if gone {
            self.companions_inherited(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UPGRADE_VERSION, understood};
    use serde_json::json;

    #[test]
    fn another_version_is_refused_in_words() {
        let left = json!({"version": UPGRADE_VERSION, "descriptors": [], "listeners": [], "companion_sockets": [], "owned_files": []});
        assert!(understood(left).unwrap().listeners.is_empty());
        for (left, version) in [
            (json!({"version": 99, "what": "ever"}), "version 99"),
            (json!({"listeners": [["127.0.0.1:80", {"Tcp": "127.0.0.1:80"}, 1]]}), "version 0"),
        ] {
            let error = understood(left).unwrap_err().to_string();
            assert!(error.contains(version) && error.contains("stop it"), "{error}");
        }
    }
}
