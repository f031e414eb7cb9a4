//! From a companion's settings to its process.

use crate::notify::Notify;
use hostler_settings::Output;
use hostler_sys::{disposition, identity, process};
use hostler_wire::CompanionSetup;
use std::{
    io::{self, PipeReader},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Command, Stdio},
};

/// What was started.
pub(crate) struct Started {
    pub(crate) pid: i32,
    /// Its standard output and error, if they go to the log.
    pub(crate) output: Option<(PipeReader, PipeReader)>,
}

/// Starts the companion, with these sockets.
pub(crate) fn start(
    setup: &CompanionSetup,
    sockets: &[OwnedFd],
    notify: Option<&Notify>,
) -> io::Result<Started> {
    let companion = &setup.spec.companion;
    let (mut output, mut ends) = (None, None);
    if companion.output == Output::Log {
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        (output, ends) = (Some((out, err)), Some((out_end, err_end)));
    }
    let watcher = std::process::id().cast_signed();
    let pid = process::spawn_by_fork(|| {
        let made = command_as(setup, &companion.command).and_then(|mut command| {
            match ends.take() {
                Some((out, err)) => command.stdout(out).stderr(err),
                None if companion.output == Output::Null => {
                    command.stdout(Stdio::null()).stderr(Stdio::null())
                }
                None => &mut command,
            };
            if let Some(notify) = notify {
                command.env("NOTIFY_SOCKET", notify.variable());
            }
            pass_sockets(&mut command, setup, sockets)?;
            process::own_session(&mut command);
            process::die_with_process(&mut command, watcher);
            Ok(command)
        });
        match made {
            Ok(mut command) => command.exec(),
            Err(error) => error,
        }
    })?;
    Ok(Started { pid, output })
}

/// A command in the companion's surroundings, with its user and priority.
pub(crate) fn command_as(setup: &CompanionSetup, words: &[String]) -> io::Result<Command> {
    let spec = &setup.spec;
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    if spec.companion.nice != 0 {
        process::lower_priority(&mut command, spec.companion.nice.into());
    }
    identity::run_as(&mut command, &spec.identity)?;
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    command.env("HOSTLER_COMPANION", &spec.companion.name);
    command.env("HOSTLER_REPLICA", setup.replica.to_string());
    command.env("HOSTLER_REPLICAS", spec.companion.replicas.to_string());
    disposition::not_ignored(&mut command);
    Ok(command)
}

/// As a service manager passes sockets (sd_listen_fds(3)).
fn pass_sockets(command: &mut Command, setup: &CompanionSetup, sockets: &[OwnedFd]) -> io::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    command.env("LISTEN_PID", std::process::id().to_string());
    command.env("LISTEN_FDS", sockets.len().to_string());
    command.env("LISTEN_FDNAMES", setup.socket_names.join(":"));
    let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    process::pass_descriptors(command, &sockets)
}
