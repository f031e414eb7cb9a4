//! `hostler tasks keep FILE`: the keeper of a task queue where no server runs. Programs start it when they need it.

use hostler_sys::channel::Channel;
use hostler_tasks::{Keeper, KeeperError};
use hostler_wire::{ExitStatus, Failure};
use std::{
    ffi::OsString,
    io::Write,
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

/// With `--until-idle`: how long nobody may be connected.
const IDLE: Duration = Duration::from_secs(2);

/// What is asked for.
pub(crate) struct Keep<'a> {
    file: Option<&'a Path>,
    until_idle: bool,
}

/// The command, if it is one. An application called `tasks` is `tasks:app`.
pub(crate) fn asked(args: &[OsString]) -> Option<Keep<'_>> {
    if !crate::is_command(args, "tasks") || args.get(2).is_none_or(|second| second != "keep") {
        return None;
    }
    let until_idle = args[3..].iter().any(|it| it == "--until-idle");
    Some(Keep { file: args[3..].iter().find(|it| *it != "--until-idle").map(Path::new), until_idle })
}

impl Keep<'_> {
    /// Keeps the queue until the process is ended, or nobody needs it. Says `ready` on standard output when it does; nothing if
    /// another process keeps it.
    pub(crate) fn run(&self) -> Result<ExitStatus, Failure> {
        let file = self
            .file
            .ok_or_else(|| Failure::new(ExitStatus::Usage, "`hostler tasks keep` needs the queue's file"))?;
        let Some(mut keeper) = Keeper::open(file).map_err(|error| failed(&error))? else {
            return Ok(ExitStatus::Clean);
        };
        let stopped = |error: std::io::Error| {
            Failure::new(ExitStatus::Failed, "the keeper of the task queue failed").because(error.to_string())
        };
        let _ = std::io::stdout().write_all(b"ready\n").and_then(|()| std::io::stdout().flush());
        // Never readable: what ends this process is a signal, or that nobody needs it.
        let (open, _other) = Channel::pair().map_err(stopped)?;
        let open = open.into_fd();
        let mut needed = Instant::now();
        while !self.until_idle || needed.elapsed() < IDLE {
            keeper.turn(open.as_fd(), self.until_idle.then_some(IDLE / 2)).map_err(stopped)?;
            if keeper.connections() > 0 {
                needed = Instant::now();
            }
        }
        keeper.close();
        Ok(ExitStatus::Clean)
    }
}

/// Why there is no queue, in the user's terms.
fn failed(error: &KeeperError) -> Failure {
    let failure = Failure::new(ExitStatus::Failed, error.to_string());
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let failure = match cause {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    failure.hint(error.hint())
}
