//! The mold's process, as the master sees it.

use crate::upgrade;
use hostler_settings::{Log, WorkerCount};
use hostler_sys::{bundle::Bundle, channel::Channel, identity, logging};
use hostler_wire::{Descriptor, ToMold, WorkerSettings};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    process::{Command, Stdio},
};

/// How a mold is started. It finds its end of the control channel as this descriptor.
const CONTROL_DESCRIPTOR: i32 = 3;

/// sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3); and the variable that tells a successor of its role.
pub(crate) const SERVICE_MANAGER_VARIABLES: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    upgrade::VARIABLE,
];

/// The program of the mold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoldCommand {
    /// The Python interpreter.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to the environment.
    pub env: Vec<(OsString, OsString)>,
}

/// A running mold.
pub(crate) struct Mold {
    pub(crate) pid: i32,
    pub(crate) channel: Channel,
    /// It can fork.
    pub(crate) ready: bool,
}

/// Whether the worker has the server's standard input: a debugger asks there. Several workers would take it from one another.
pub(crate) fn keeps_input(settings: &WorkerSettings) -> bool {
    let alone = settings.options.supervision.workers == WorkerCount::Fixed(1);
    alone && (settings.options.auto_reload.enabled || io::stdin().is_terminal())
}

impl Mold {
    /// Starts a mold and sends it the settings, and how lines look now.
    pub(crate) fn start(
        command: &MoldCommand,
        settings: &WorkerSettings,
        now: &Log,
        shared: Bundle<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let mut process = Command::new(&command.program);
        // Python's start-up files are the user's, too. What the configuration sets takes precedence.
        identity::run_as(&mut process, &settings.identity)?;
        process.args(&command.args).envs(command.env.iter().cloned());
        if !keeps_input(settings) {
            process.stdin(Stdio::null());
        }
        // Meant for the master alone: a program that inherited them would act on them.
        for name in SERVICE_MANAGER_VARIABLES {
            process.env_remove(name);
        }
        hostler_sys::disposition::block_until_ready(&mut process);
        // Until it sees to that itself.
        hostler_sys::process::die_with_parent(&mut process);
        hostler_sys::process::pass_descriptor(&mut process, theirs.into_fd(), CONTROL_DESCRIPTOR);
        let child = process.spawn()?;
        // What was passed is closed here with the command; else the mold's death would go unnoticed.
        drop(process);
        let log = logging::descriptor().map_or_else(|| io::stderr().as_fd().try_clone_to_owned(), Ok)?;
        let access_log = logging::access::descriptor();
        let mut bundle = shared.with(Descriptor::Log, log.as_fd());
        access_log.iter().for_each(|lines| bundle.add(Descriptor::AccessLog, lines.as_fd()));
        let setup = ToMold::Setup {
            settings: Box::new(settings.clone()),
            log: Box::new(now.clone()),
            descriptors: bundle.names(),
        };
        ours.send(&setup, &bundle.descriptors())?;
        ours.set_nonblocking(true)?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self { pid, channel: ours, ready: false })
    }
}
