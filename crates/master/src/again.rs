//! Processes of the server that are this program again, executed for another duty.

use crate::{mold::SERVICE_MANAGER_VARIABLES, run::Master};
use hostler_sys::{channel::Channel, disposition, identity, process};
use hostler_wire::Identity;
use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

/// The program that runs, whatever has become of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

impl Master {
    /// Executes this program with an argument that names its duty, and its channel as this descriptor; its process id.
    pub(crate) fn execute_again(
        &self,
        identity: &Identity,
        (argument, descriptor): (&str, i32),
        channel: Channel,
    ) -> io::Result<i32> {
        let mut command = self.again(identity, argument)?;
        process::die_with_parent(&mut command);
        spawn(&mut command, channel, descriptor)
    }

    /// The same for a process that may outlive the master: it sees to its end when its channel is closed.
    pub(crate) fn execute_outliving(
        &self,
        identity: &Identity,
        (argument, descriptor): (&str, i32),
        channel: Channel,
    ) -> io::Result<i32> {
        let mut command = self.again(identity, argument)?;
        // What its companion prints as it is goes where what the server prints goes.
        command.stdout(Stdio::inherit());
        spawn(&mut command, channel, descriptor)
    }

    fn again(&self, identity: &Identity, argument: &str) -> io::Result<Command> {
        let running = Path::new(OWN_PROGRAM);
        let named = self.plan.command_line.as_ref().map(|line| line.program.as_path());
        let own = if running.exists() { running } else { named.unwrap_or(running) };
        let mut command = Command::new(own);
        identity::run_as(&mut command, identity)?;
        command.arg(argument);
        // Room for the process title, which overwrites the arguments.
        command.arg(" ".repeat(256)).stdin(Stdio::null()).stdout(Stdio::null());
        for name in SERVICE_MANAGER_VARIABLES {
            command.env_remove(name);
        }
        disposition::not_ignored(&mut command);
        Ok(command)
    }
}

fn spawn(command: &mut Command, channel: Channel, descriptor: i32) -> io::Result<i32> {
    process::pass_descriptor(command, channel.into_fd(), descriptor);
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}
