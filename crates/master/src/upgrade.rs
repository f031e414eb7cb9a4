//! SIGUSR2: another server, of the same command line and maybe another binary, takes over the sockets.
//!
//! The new one is a child of the old one. It gets the listening sockets and the handover line over a
//! channel, brings up its workers beside the old ones, and says so; then the old ones hand it their idle
//! connections and leave. If it fails before that, nothing has changed; if it fails while the old one is still there,
//! that one serves again. When to do which is the arbiter's to say.

use crate::{children::Child, run::Master};
use hostler_arbiter::Event;
use hostler_sys::{
    channel::Channel,
    proc,
    process::{self, WaitStatus},
};
use hostler_wire::{FromSuccessor, Inheritance, InheritedListener, ToSuccessor, UPGRADE_VERSION};
use nix::libc::{SIGINT, SIGKILL, SIGTERM};
use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tracing::{debug, error, info, warn};

/// Tells the new server by which descriptor its predecessor can be reached.
pub(crate) const VARIABLE: &str = "HOSTLER_UPGRADE";
pub(crate) const DESCRIPTOR: i32 = 3;
/// sd_watchdog_enabled(3): whose watchdog it is. The new process is to have it, too.
const WATCHDOG_OWNER: &str = "WATCHDOG_PID";

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
        let running = std::env::current_exe().ok()?;
        let program = named(&std::env::args_os().next()?, &running).unwrap_or(running);
        Some(Self { program, args: std::env::args_os().skip(1).collect() })
    }
}

/// The path by which the user named the running program, if it is one: a link on it may lead to another release by the
/// time of an upgrade.
fn named(name: &OsStr, running: &Path) -> Option<PathBuf> {
    let leads_there = |path: &PathBuf| path.canonicalize().is_ok_and(|target| target == running);
    if name.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(name).ok().filter(leads_there);
    }
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .filter_map(|directory| std::path::absolute(directory.join(name)).ok())
        .find(leads_there)
}

/// The server that this one started to be replaced by.
pub(crate) struct Successor {
    pid: i32,
    /// Unless it closed its end.
    channel: Option<Channel>,
}

impl Successor {
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }
}

impl Master {
    /// Starts the successor.
    pub(crate) fn upgrade(&mut self, events: &mut VecDeque<Event>) {
        if !self.arbiter.can_upgrade() {
            return warn!("an upgrade or a stop is under way already");
        }
        match self.start_successor() {
            Ok(successor) => {
                info!(pid = successor.pid, "upgrading: another server is started");
                self.children.add(successor.pid, Child::Successor);
                self.successor = Some(successor);
                events.push_back(Event::UpgradeBegan);
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
        // Before there is a process: what waits in the channel is not lost.
        let sockets = self.plan.listeners.iter().flat_map(|listener| &listener.sockets);
        let handover = [self.handover.0.as_fd(), self.handover.1.as_fd()];
        let descriptors: Vec<BorrowedFd<'_>> = handover.into_iter().chain(sockets.map(AsFd::as_fd)).collect();
        ours.send(&self.inheritance(), &descriptors)?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&line.program);
        command.args(&line.args).env(VARIABLE, "1").env_remove(WATCHDOG_OWNER).stdin(Stdio::null());
        process::pass_descriptor(&mut command, theirs.into_fd(), DESCRIPTOR);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Successor { pid, channel: Some(ours) })
    }

    fn inheritance(&self) -> Inheritance {
        let listeners = self.plan.listeners.iter().map(|listener| InheritedListener {
            spec: listener.spec.clone(),
            info: listener.info.clone(),
            sockets: listener.sockets.len(),
        });
        let files = self.plan.owned_files.iter();
        Inheritance {
            version: UPGRADE_VERSION,
            listeners: listeners.collect(),
            owned_files: files.map(|file| (file.path().to_owned(), file.inode().numbers())).collect(),
        }
    }

    pub(crate) fn receive_from_successor(&mut self, events: &mut VecDeque<Event>) {
        while let Some(successor) = &mut self.successor {
            let Some(channel) = &successor.channel else { return };
            match channel.recv::<FromSuccessor>() {
                Ok(Some((FromSuccessor::Runs, _))) => events.push_back(Event::SuccessorRuns),
                Ok(Some((FromSuccessor::Serves, _))) => events.push_back(Event::HandOver),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) => successor.channel = None,
                Err(error) => {
                    error!(pid = successor.pid, %error, "the other server says what cannot be understood, and is killed");
                    successor.channel = None;
                    return self.kill_successor();
                }
            }
        }
    }

    /// The arbiter has left everything to the successor.
    pub(crate) fn handed_over(&mut self) {
        if let Some(successor) = &self.successor {
            info!(pid = successor.pid, "upgraded: the other server serves, this one leaves");
            self.notifier.main_process(successor.pid);
        }
    }

    pub(crate) fn stop_successor(&self, quickly: bool) {
        let Some(successor) = &self.successor else { return };
        info!(pid = successor.pid, quickly, "the other server is told to stop, too");
        let told = match &successor.channel {
            Some(channel) => channel.send(&ToSuccessor::Stop { quickly }, &[]),
            // It was started by another one, and is no less a server.
            None => process::signal(successor.pid, if quickly { SIGINT } else { SIGTERM }),
        };
        if let Err(error) = told {
            debug!(pid = successor.pid, %error, "the other server does not listen");
        }
    }

    pub(crate) fn kill_successor(&self) {
        let Some(successor) = &self.successor else { return };
        warn!(pid = successor.pid, "the other server is killed");
        if let Err(error) = process::signal(successor.pid, SIGKILL) {
            error!(pid = successor.pid, %error, "cannot signal the other server");
        }
    }

    /// The successor's process ended.
    pub(crate) fn successor_ended(&mut self, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        // Its last words first, and what they lead to.
        self.receive_from_successor(events);
        self.successor = None;
        let took_over = self.arbiter.is_replaced() || events.contains(&Event::HandOver);
        if let Some(heir) = took_over.then(proc::other_master).flatten() {
            info!(pid, %status, heir, "the other server ended and left its place to another one");
            self.notifier.main_process(heir);
            self.children.add(heir, Child::Successor);
            self.successor = Some(Successor { pid: heir, channel: None });
            return;
        }
        info!(pid, %status, "the other server ended");
        events.push_back(Event::SuccessorEnded { clean: status == WaitStatus::Exited(0) });
    }

    /// This server is the service again.
    pub(crate) fn took_back(&mut self, events: &mut VecDeque<Event>) {
        error!("the server that had taken over ended; this one serves again");
        self.notifier.take_back();
        self.announced = false;
        // A reload that the upgrade overtook is over.
        let serving = self.arbiter.generation();
        self.retain_generations(events, |generation| generation == serving);
        self.molds.ensure(serving);
    }

    /// As PID 1 the process cannot leave before its successor. It keeps no application meanwhile.
    pub(crate) fn forward_signals_as_pid1(&mut self) {
        if std::mem::replace(&mut self.forwards_as_pid1, self.arbiter.is_forwarding_as_pid1())
            || !self.forwards_as_pid1
        {
            return;
        }
        let pid = self.successor.as_ref().map(|successor| successor.pid);
        info!(pid, "as PID 1 this process stays to pass signals on");
        for generation in self.molds.stop_all() {
            // It needs no worker until this server serves again.
            let status = self.dispatch(Event::CannotSpawn(generation));
            debug_assert!(status.is_none(), "the successor is awaited");
        }
    }

    /// Passes a signal on to the server that took over, as long as this process stands for it.
    pub(crate) fn forward_signal(&self, signal: i32) -> bool {
        let Some(successor) = self.successor.as_ref().filter(|_| self.arbiter.is_forwarding_as_pid1()) else {
            return false;
        };
        if let Err(error) = process::signal(successor.pid, signal) {
            error!(pid = successor.pid, signal, %error, "cannot signal the other server");
        }
        true
    }
}
