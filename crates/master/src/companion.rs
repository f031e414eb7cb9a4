//! Programs that run beside the workers: what they are, and their processes.

use crate::mold::SERVICE_MANAGER_VARIABLES;
use hostler_arbiter::{Group, Policy};
use hostler_sys::{channel::Channel, disposition, identity, process};
use hostler_wire::{GroupId, Identity, WorkerId};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// A program that runs beside the workers: started with the server, started again when it ends, kept across reloads, and
/// stopped by SIGTERM after the workers have exited. It inherits no descriptor but standard output and error.
#[derive(Clone, Debug)]
pub struct Companion {
    /// Its group; the same program has the same one in each generation.
    pub id: GroupId,
    /// Its name in the log.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to the environment.
    pub env: Vec<(OsString, OsString)>,
    /// How long it may take to exit after SIGTERM.
    pub graceful_timeout: Duration,
}

impl Companion {
    pub(crate) fn group(&self) -> Group {
        Group::program(self.id, Policy::unlimited(1, self.graceful_timeout))
    }

    /// Starts it; its process id.
    pub(crate) fn start(&self, identity: &Identity) -> io::Result<i32> {
        let mut command = Command::new(&self.program);
        identity::run_as(&mut command, identity)?;
        command.args(&self.args).envs(self.env.iter().cloned()).stdin(Stdio::null());
        for name in SERVICE_MANAGER_VARIABLES {
            command.env_remove(name);
        }
        disposition::not_ignored(&mut command);
        process::die_with_parent(&mut command);
        let child = command.spawn()?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }
}

/// The process of a program.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// The observer's: it ends when this is closed.
    pub(crate) channel: Option<Channel>,
    /// The keeper's: what it says is received.
    pub(crate) speaks: bool,
}

impl Running {
    /// Where it says something, if it does.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().filter(|_| self.speaks).map(AsFd::as_fd)
    }
}

/// The processes of all programs.
pub(crate) type Companions = BTreeMap<WorkerId, Running>;
