//! SIGUSR2: another server, of the same command line and maybe another binary, takes over the sockets.
//!
//! The new one is a child of the old one. It gets the listening sockets and the handover line over a
//! channel, brings up its workers beside the old ones, and says so; then the old ones hand it their idle
//! connections and leave. If it fails before that, nothing has changed.

use crate::run::Master;
use hostler_arbiter::Event;
use hostler_sys::{
    channel::Channel,
    own_file::{Inode, OwnFile},
    process::{self, WaitStatus},
};
use hostler_wire::{ExitStatus, Inheritance, ListenerInfo, TakeOver};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

/// Tells the new server by which descriptor its predecessor can be reached.
const VARIABLE: &str = "HOSTLER_UPGRADE";
const DESCRIPTOR: i32 = 3;

/// The command line of this server, as it was started.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments, without the program's name.
    pub args: Vec<std::ffi::OsString>,
}

impl CommandLine {
    /// That of this process.
    #[must_use]
    pub fn own() -> Option<Self> {
        // The path now: after an upgrade of the package the running file may have no name any more.
        let program = std::env::current_exe().ok()?;
        Some(Self { program, args: std::env::args_os().skip(1).collect() })
    }
}

/// The server that started this one to be replaced by it.
pub struct Predecessor {
    channel: Channel,
    handover: Option<(OwnedFd, OwnedFd)>,
    listeners: Vec<(String, ListenerInfo, Vec<OwnedFd>)>,
    /// Unix sockets that it made and leaves to its successor.
    pub owned_files: Vec<OwnFile>,
}

impl Predecessor {
    /// Gets in touch with it, if there is one.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it says what no predecessor would.
    pub fn find() -> io::Result<Option<Self>> {
        if std::env::var(VARIABLE).is_err() {
            return Ok(None);
        }
        let channel = Channel::from(process::take_descriptor(DESCRIPTOR)?);
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the server to be replaced sent nothing");
        let (inheritance, descriptors) = channel.recv::<Inheritance>()?.ok_or_else(invalid)?;
        let mut descriptors = descriptors.into_iter();
        let handover = descriptors.next().zip(descriptors.next());
        let listeners = inheritance.listeners.into_iter();
        let listeners = listeners
            .map(|(spec, info, count)| (spec, info, descriptors.by_ref().take(count).collect()))
            .collect();
        let owned = inheritance.owned_files.into_iter();
        let owned_files =
            owned.map(|(path, numbers)| OwnFile::new(path, Inode::from_numbers(numbers))).collect();
        Ok(Some(Self { channel, handover, listeners, owned_files }))
    }

    /// Its sockets for this address, as it was written in the configuration.
    pub fn take_listener(&mut self, spec: &str) -> Option<(ListenerInfo, Vec<OwnedFd>)> {
        let found = self.listeners.iter().position(|(theirs, ..)| theirs == spec)?;
        let (_, info, sockets) = self.listeners.swap_remove(found);
        Some((info, sockets))
    }

    /// Its sockets that a service manager had passed to it.
    pub fn take_activated(&mut self) -> Vec<(String, ListenerInfo, Vec<OwnedFd>)> {
        self.listeners.extract_if(.., |(spec, ..)| spec.starts_with("fd://")).collect()
    }

    pub(crate) fn take_handover(&mut self) -> Option<(OwnedFd, OwnedFd)> {
        self.handover.take()
    }

    /// Says that this server serves.
    pub(crate) fn take_over(&self) {
        info!("this server serves; the one before it leaves");
        if let Err(error) = self.channel.send(&TakeOver::Serving, &[]) {
            warn!(%error, "the server before this one does not listen");
        }
    }
}

/// The server that this one started to be replaced by.
pub(crate) struct Successor {
    pid: i32,
    pub(crate) channel: Channel,
    serves: bool,
}

impl Master {
    /// Starts the successor.
    pub(crate) fn upgrade(&mut self) {
        if self.arbiter.is_stopping() || self.successor.is_some() {
            return warn!("an upgrade or a stop is under way already");
        }
        match self.start_successor() {
            Ok(successor) => {
                info!(pid = successor.pid, "upgrading: another server is started");
                self.successor = Some(successor);
            }
            Err(error) => {
                error!(%error, "not upgraded: the program could not be started; this server goes on")
            }
        }
    }

    fn start_successor(&self) -> io::Result<Successor> {
        let unknown = || io::Error::other("the path of the program is not known");
        let line = self.plan.command_line.as_ref().ok_or_else(unknown)?;
        let (ours, theirs) = Channel::pair()?;
        let mut command = Command::new(&line.program);
        command.args(&line.args).env(VARIABLE, "1").stdin(Stdio::null());
        process::pass_descriptor(&mut command, theirs.into_fd(), DESCRIPTOR);
        let child = command.spawn()?;
        drop(command);
        let listeners = self.plan.listeners.iter();
        let inheritance = Inheritance {
            listeners: listeners
                .map(|listener| (listener.spec.clone(), listener.info.clone(), listener.sockets.len()))
                .collect(),
            owned_files: self
                .plan
                .owned_files
                .iter()
                .map(|file| (file.path().to_owned(), file.inode().numbers()))
                .collect(),
        };
        let sockets =
            self.plan.listeners.iter().flat_map(|listener| listener.sockets.iter().map(AsFd::as_fd));
        let handover = [self.handover.0.as_fd(), self.handover.1.as_fd()];
        let descriptors: Vec<BorrowedFd<'_>> = handover.into_iter().chain(sockets).collect();
        ours.send(&inheritance, &descriptors)?;
        ours.set_nonblocking(true)?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Successor { pid, channel: ours, serves: false })
    }

    pub(crate) fn hear_successor(&mut self, events: &mut VecDeque<Event>) {
        let Some(successor) = &mut self.successor else { return };
        if let Ok(Some((TakeOver::Serving, _))) = successor.channel.recv::<TakeOver>() {
            successor.serves = true;
            info!(pid = successor.pid, "upgraded: the other server serves, this one leaves");
            self.notifier.main_process(successor.pid);
            events.push_back(Event::HandOver);
        }
    }

    /// Whether the process that ended was the successor.
    pub(crate) fn successor_ended(&mut self, pid: i32, status: WaitStatus) -> bool {
        if self.successor.as_ref().is_none_or(|successor| successor.pid != pid) {
            return false;
        }
        error!(pid, %status, "not upgraded: the other server ended; this one goes on");
        self.successor = None;
        true
    }

    pub(crate) fn has_taken_over(&self) -> bool {
        self.successor.as_ref().is_some_and(|successor| successor.serves)
    }

    /// As PID 1 the process cannot leave before its successor: it passes signals on until that ends.
    pub(crate) fn outlive(&mut self, status: ExitStatus) -> ExitStatus {
        let Some(successor) = self.successor.take().filter(|successor| successor.serves) else {
            return status;
        };
        if std::process::id() != 1 {
            return status;
        }
        info!(pid = successor.pid, "as PID 1 this process stays to pass signals on");
        let limit = Duration::from_secs(3600);
        loop {
            self.signals.wait(Instant::now() + limit);
            for signal in self.signals.drain() {
                if signal != nix::libc::SIGCHLD {
                    let _ = process::signal(successor.pid, signal);
                }
            }
            while let Ok(Some((pid, ended))) = process::wait_any() {
                if pid == successor.pid {
                    return if ended == WaitStatus::Exited(0) {
                        ExitStatus::Clean
                    } else {
                        ExitStatus::Failed
                    };
                }
            }
        }
    }
}
