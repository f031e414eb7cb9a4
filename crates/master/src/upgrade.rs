//! SIGUSR2: another server, of the same command line and maybe another binary, takes over the sockets.
//!
//! The new one is a child of the old one. It gets the listening sockets and the handover line over a
//! channel, brings up its workers beside the old ones, and reports it; then the old ones hand it their idle
//! connections and exit. If it fails before that, nothing has changed; if it fails while the old one is still there,
//! that one serves again. The arbiter decides when to do which.

use crate::{
    Listening, Plan,
    children::Child,
    control::Notice,
    resources::Resources,
    run::{Duty, Master},
};
use hostler_arbiter::Event;
use hostler_sys::{
    channel::Channel,
    proc,
    process::{self, WaitStatus},
};
use hostler_wire::{
    Descriptor, FromSuccessor, GroupId, Inheritance, InheritedListener, ToSuccessor, UPGRADE_VERSION,
};
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
pub const VARIABLE: &str = "HOSTLER_UPGRADE";
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

/// The server that is to take over from this one, if there is one.
#[derive(Default)]
pub(crate) struct Upgrade(Option<Successor>);

/// The server that this one started to be replaced by.
struct Successor {
    pid: i32,
    link: Link,
}

/// How a successor is sent orders.
enum Link {
    /// Over the channel with which it was started.
    Channel(Channel),
    /// By signals: it closed its end, or was started by another server.
    Signals,
}

/// What became of a successor that ended.
pub(crate) enum Ended {
    /// Another server has taken over from it, which this process adopts.
    Replaced(i32),
    /// It is gone.
    Gone(Event),
}

impl Upgrade {
    /// The successor's process.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.0.as_ref().map(|successor| successor.pid)
    }

    /// What to wait on for its messages.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0.as_ref()?.link {
            Link::Channel(channel) => Some(channel.as_fd()),
            Link::Signals => None,
        }
    }

    /// Starts the successor and sends it what it inherits; its process id.
    pub(crate) fn begin(
        &mut self,
        plan: &Plan,
        resources: &Resources,
        tickets: Option<Vec<u8>>,
        control: Option<PathBuf>,
        workers: Vec<(GroupId, u16)>,
    ) -> io::Result<i32> {
        let unknown = || io::Error::other("the path of the program is not known");
        let line = plan.command_line.as_ref().ok_or_else(unknown)?;
        let (ours, theirs) = Channel::pair()?;
        // Before there is a process: what waits in the channel is not lost.
        let mut bundle = resources.inheritance();
        for socket in &plan.spec.companion_sockets {
            bundle.add(Descriptor::CompanionSocket, socket.socket.as_fd());
        }
        let left = Inheritance { tickets, control, workers, ..inheritance(plan, resources, bundle.names()) };
        ours.send(&left, &bundle.descriptors())?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&line.program);
        command.args(&line.args).env(VARIABLE, "1").env_remove(WATCHDOG_OWNER).stdin(Stdio::null());
        process::pass_descriptor(&mut command, theirs.into_fd(), DESCRIPTOR);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        self.0 = Some(Successor { pid, link: Link::Channel(ours) });
        Ok(pid)
    }

    /// The successor's messages, as events.
    pub(crate) fn receive(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(Successor { pid, link }) = &mut self.0 {
            let Link::Channel(channel) = link else { break };
            match channel.recv::<FromSuccessor>() {
                Ok(Some((FromSuccessor::Runs, _))) => events.push(Event::SuccessorRuns),
                Ok(Some((FromSuccessor::Serves, _))) => events.push(Event::HandOver),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(None) => *link = Link::Signals,
                Err(error) => {
                    error!(pid, %error, "invalid message from the new server: it is killed");
                    *link = Link::Signals;
                    self.kill();
                    break;
                }
            }
        }
        events
    }

    /// Sends the successor a message with a descriptor.
    pub(crate) fn tell(&self, message: &ToSuccessor, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        match &self.0 {
            Some(Successor { link: Link::Channel(channel), .. }) => channel.send(message, descriptors),
            Some(_) | None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Tells the successor to stop.
    pub(crate) fn stop(&self, quickly: bool) {
        let Some(Successor { pid, link }) = &self.0 else { return };
        info!(pid, quickly, "telling the new server to stop too");
        let told = match link {
            Link::Channel(channel) => channel.send(&ToSuccessor::Stop { quickly }, &[]),
            Link::Signals => process::signal(*pid, if quickly { SIGINT } else { SIGTERM }),
        };
        if let Err(error) = told {
            debug!(pid, %error, "cannot send to the new server");
        }
    }

    pub(crate) fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        warn!(pid, "killing the new server");
        if let Err(error) = process::signal(pid, SIGKILL) {
            error!(pid, %error, "cannot signal the new server");
        }
    }

    /// Passes a signal on to the successor; whether there is one.
    pub(crate) fn forward(&self, signal: i32) -> bool {
        let Some(pid) = self.pid() else { return false };
        if let Err(error) = process::signal(pid, signal) {
            error!(pid, signal, %error, "cannot signal the new server");
        }
        true
    }

    /// The successor's process ended. `took_over`: it was the service.
    pub(crate) fn ended(&mut self, status: WaitStatus, took_over: bool) -> Ended {
        let pid = self.0.take().map(|successor| successor.pid);
        if let Some(heir) = took_over.then(proc::other_master).flatten() {
            info!(pid, %status, heir, "the new server exited and was replaced by another one");
            self.0 = Some(Successor { pid: heir, link: Link::Signals });
            return Ended::Replaced(heir);
        }
        info!(pid, %status, "the new server exited");
        Ended::Gone(Event::SuccessorEnded { clean: status == WaitStatus::Exited(0) })
    }
}

fn inheritance(plan: &Plan, resources: &Resources, descriptors: Vec<Descriptor>) -> Inheritance {
    let inherited = |listener: &Listening| InheritedListener {
        spec: listener.spec.clone(),
        info: listener.info.clone(),
        sockets: listener.sockets.len(),
    };
    let files = plan.owned_files.iter();
    Inheritance {
        version: UPGRADE_VERSION,
        descriptors,
        listeners: resources.listeners.iter().map(inherited).collect(),
        admin: resources.admin.iter().map(inherited).collect(),
        companion_sockets: plan.spec.companion_sockets.iter().map(|it| it.inherited()).collect(),
        owned_files: files.map(|file| (file.path().to_owned(), file.inode().numbers())).collect(),
        tickets: None,
        control: None,
        workers: Vec::new(),
    }
}

impl Master {
    /// Starts the successor; its process, or why there is none.
    pub(crate) fn upgrade(&mut self, events: &mut VecDeque<Event>) -> Result<i32, String> {
        if !self.arbiter.can_upgrade() {
            warn!("not upgraded: an upgrade or a stop is already in progress");
            return Err("an upgrade or a stop is already in progress".into());
        }
        let (tickets, control) = (self.certificates.tickets(), self.control.path().map(Path::to_owned));
        let workers = self.scaling.numbers(&self.arbiter);
        match self.upgrade.begin(&self.plan, &self.resources, tickets, control, workers) {
            Ok(pid) => {
                info!(pid, "upgrading: new server started");
                self.children.add(pid, Child::Successor);
                events.push_back(Event::UpgradeBegan);
                Ok(pid)
            }
            Err(error) => {
                error!(%error, "not upgraded: cannot start the program; this server keeps serving");
                Err(format!("the program cannot be started: {error}"))
            }
        }
    }

    /// Tells the successor to stop. One that cannot hear it, because it is stopped itself (SIGSTOP), and that has no service to end
    /// is not waited for.
    pub(crate) fn stop_successor(&mut self, quickly: bool) {
        let cannot_hear = self.upgrade.pid().is_some_and(|pid| proc::state(pid) == "stopped");
        if cannot_hear && !self.arbiter.is_replaced() {
            self.upgrade.kill();
        } else {
            self.upgrade.stop(quickly);
        }
    }

    /// The successor has the service.
    pub(crate) fn handed_over(&mut self) {
        if let Some(pid) = self.upgrade.pid() {
            info!(pid, "upgraded: the new server serves, this one exits");
            self.announcer.main_process(pid);
        }
        self.companions_handed_on();
        self.control.leave();
        self.notice(Notice::HandedOver(self.upgrade.pid()));
    }

    /// The successor's process ended.
    pub(crate) fn successor_ended(&mut self, status: WaitStatus, events: &mut VecDeque<Event>) {
        // Its last messages first.
        events.extend(self.upgrade.receive());
        self.notice(Notice::SuccessorEnded(status));
        let took_over = self.arbiter.is_replaced() || events.contains(&Event::HandOver);
        match self.upgrade.ended(status, took_over) {
            Ended::Replaced(heir) => {
                self.announcer.main_process(heir);
                self.children.add(heir, Child::Successor);
            }
            Ended::Gone(event) => events.push_back(event),
        }
    }

    /// This server is the service again.
    pub(crate) fn took_back(&mut self, events: &mut VecDeque<Event>) {
        error!("the new server exited: this one serves again");
        self.announcer.take_back();
        self.control.open(None);
        // A reload that the upgrade overtook is over.
        let serving = self.arbiter.generation();
        self.retain_generations(events, |generation| generation == serving);
        self.molds.ensure(serving);
    }

    /// As PID 1 the process cannot exit before its successor. It keeps no mold meanwhile.
    pub(crate) fn forward_signals_as_pid1(&mut self) {
        let duty = if self.arbiter.is_forwarding_as_pid1() { Duty::ForwardSignals } else { Duty::Serve };
        if std::mem::replace(&mut self.duty, duty) == duty || duty == Duty::Serve {
            return;
        }
        info!(pid = self.upgrade.pid(), "staying as PID 1 to forward signals to the new server");
        for generation in self.molds.stop_all() {
            // It needs no worker until this server serves again.
            let status = self.dispatch(Event::CannotSpawn(generation));
            debug_assert!(status.is_none(), "the successor is awaited");
        }
    }

    /// Passes a signal on to the server that took over, as long as this process stands for it.
    pub(crate) fn forward_signal(&self, signal: i32) -> bool {
        self.arbiter.is_forwarding_as_pid1() && self.upgrade.forward(signal)
    }
}
