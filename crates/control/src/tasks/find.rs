//! Which keeper is meant: that of a server, or of a file, for which one is started if there is none.

use super::Keeper;
use crate::connect;
use hostler_config::{ServerChoice, TasksCtl};
use hostler_sys::control;
use hostler_wire::{
    ExitStatus, Failure,
    control::{Command, Reply},
    keeper_socket,
};
use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a server may take to say which queue it keeps.
const SERVER_LIMIT: Duration = Duration::from_secs(10);
/// How long a keeper may be away: one that was killed is there again in some milliseconds.
const AWAY: Duration = Duration::from_secs(3);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(10);
/// The environment's name for the queue's file.
const VARIABLE: &str = "HOSTLER_TASK_QUEUE";

pub(super) fn keeper(
    ctl: &TasksCtl,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    start: &dyn Fn(&Path) -> Result<(), Failure>,
) -> Result<Keeper, Failure> {
    if let Some(file) = &ctl.queue_file {
        return of_file(file, start);
    }
    match of_server(&ctl.server, variable) {
        Err(failure) if failure.status == ExitStatus::NoServer && ctl.server == ServerChoice::default() => {
            match variable(VARIABLE) {
                Some(file) => of_file(&file, start),
                None => Err(Failure {
                    hint: Some("name the queue's file with --task-queue, where no server runs".into()),
                    ..failure
                }),
            }
        }
        other => other,
    }
}

fn of_server(choice: &ServerChoice, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Keeper, Failure> {
    let mut client = connect(choice, variable, Some(SERVER_LIMIT))?;
    let until = Some(Instant::now() + SERVER_LIMIT);
    let unknown = |lost| crate::unknown(lost, Some(SERVER_LIMIT));
    client.send(&Command::Status).map_err(unknown)?;
    let status = match client.receive(until).map_err(unknown)?.1 {
        Reply::Done { result, .. } => result,
        Reply::Begun { .. } => return Err(super::keeper::odd()),
        Reply::Failed(refusal) => return Err(crate::of_refusal(refusal)),
    };
    let Some(file) = status["server"]["task_queue"].as_str() else {
        let failure = Failure::new(ExitStatus::Failed, "the server keeps no task queue");
        return Err(failure
            .hint("--task-workers and --task-queue give it one; that of a file is named with --task-queue"));
    };
    let found = reach(Path::new(file), AWAY);
    found.map(Keeper::new).map_err(|error| {
        unreachable(Path::new(file), &error).hint("the server's log has why its keeper does not serve")
    })
}

fn of_file(file: &Path, start: &dyn Fn(&Path) -> Result<(), Failure>) -> Result<Keeper, Failure> {
    match reach(file, Duration::ZERO) {
        Ok(stream) => return Ok(Keeper::new(stream)),
        Err(error) if !is_away(&error) => return Err(unreachable(file, &error)),
        Err(_) if !file.exists() => {
            let message = format!("there is no task queue `{}`", file.display());
            return Err(Failure::new(ExitStatus::Failed, message));
        }
        Err(_) => {}
    }
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    start(&file)?;
    reach(&file, AWAY).map(Keeper::new).map_err(|error| unreachable(&file, &error))
}

fn is_away(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Connects to a keeper, which may be away for so long.
fn reach(file: &Path, away: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + away;
    loop {
        match control::connect(&keeper_socket(file), SERVER_LIMIT) {
            Err(error) if is_away(&error) && Instant::now() < until => sleep(PAUSE),
            other => return other,
        }
    }
}

/// The keeper of this queue, if there is one at this moment.
pub(crate) fn reach_now(file: &Path, limit: Duration) -> Option<Keeper> {
    control::connect(&keeper_socket(file), limit).ok().map(Keeper::new)
}

fn unreachable(file: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot reach the keeper of the task queue `{}`", file.display());
    let failure = Failure::new(ExitStatus::NoServer, message).because(error.to_string());
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure { status: ExitStatus::Refused, ..failure }.hint("be the user whose queue it is, or root")
        }
        _ => failure,
    }
}
