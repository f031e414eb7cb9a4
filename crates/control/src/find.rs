//! Which server is meant: by its socket, by its process, or the only one that runs.

use hostler_config::ServerChoice;
use hostler_sys::control::{self, Peer};
use hostler_wire::{
    ExitStatus, Failure,
    control::{control_directories, control_name, control_pid},
};
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a server may take to make room for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The environment's name for the option of the server.
const VARIABLE: &str = "HOSTLER_CONTROL_SOCKET";

/// A connection to the server that is meant.
pub(crate) fn server(
    choice: &ServerChoice,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    limit: Option<Duration>,
) -> Result<UnixStream, Failure> {
    let limit = limit.map_or(CONNECT_LIMIT, |limit| limit.min(CONNECT_LIMIT));
    // As the server takes it.
    let named = variable(VARIABLE).map(|path| std::path::absolute(&path).unwrap_or(path));
    if let Some(path) = &choice.socket {
        return at(path, limit);
    }
    let directories = directories(control::own_user(), variable);
    match (choice.pid, named) {
        (Some(pid), _) => of_process(pid, &directories, limit),
        (None, Some(path)) => at(&path, limit),
        (None, None) => the_only_one(&directories, limit),
    }
}

fn at(path: &Path, limit: Duration) -> Result<UnixStream, Failure> {
    control::connect(path, limit).map_err(|error| unreachable(path, &error))
}

/// Where servers may have their sockets. Those of systemd's services have directories of their own.
fn directories(user: u32, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut all = control_directories(user, variable);
    all.push("/run/hostler".into());
    let below = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    all.extend(below("/run/hostler"));
    if user == 0 {
        let users = below("/run/user").into_iter().map(|user| user.join("hostler"));
        let shared = below("/tmp").into_iter().filter(|path| is_of_servers(path));
        all.extend(users.chain(shared).collect::<Vec<_>>());
    }
    all.sort();
    all.dedup();
    all
}

fn is_of_servers(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hostler-"))
}

/// A server at a socket that was not named but found, where every user may make one: it has to be the process that the socket's
/// name tells, and that of the user whose directory it is in.
fn found(path: &Path, pid: i32, limit: Duration) -> io::Result<UnixStream> {
    let stream = control::connect(path, limit)?;
    let Peer { pid: server, user } = control::peer(&stream)?;
    let directory = path.parent().and_then(|directory| fs::symlink_metadata(directory).ok());
    let owner = directory.as_ref().map(MetadataExt::uid);
    // In another namespace of processes it has a number of its own.
    let is_server = server == pid || server == 0 || !Path::new(&format!("/proc/{pid}")).exists();
    match is_server && (user == 0 || Some(user) == owner || owner == Some(0)) {
        true => Ok(stream),
        false => Err(io::Error::new(ErrorKind::NotFound, "another process has made the socket")),
    }
}

fn of_process(pid: i32, directories: &[PathBuf], limit: Duration) -> Result<UnixStream, Failure> {
    let name = control_name(pid.unsigned_abs());
    for directory in directories {
        match found(&directory.join(&name), pid, limit) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(unreachable(&directory.join(&name), &error)),
            Ok(stream) => return Ok(stream),
        }
    }
    Err(Failure::new(
        ExitStatus::NoServer,
        format!("process {pid} has no control socket where one is looked for"),
    )
    .because(format!("{name} is in none of {}", listed(directories)))
    .hint("name the socket with --socket; without --control-socket off the server logs where it is"))
}

fn the_only_one(directories: &[PathBuf], limit: Duration) -> Result<UnixStream, Failure> {
    let mut servers: Vec<(i32, PathBuf, UnixStream)> = Vec::new();
    let mut refused = None;
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, Some(pid)) = (entry.path(), control_pid(&entry.file_name())) else { continue };
            match found(&path, pid, limit) {
                Ok(stream) => servers.push((pid, path, stream)),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => refused = Some((path, error)),
                Err(_) => {}
            }
        }
    }
    if servers.len() > 1 {
        let lines =
            servers.iter().map(|(pid, path, _)| format!("{pid}  {}  {}", title(*pid), path.display()));
        return Err(Failure::new(ExitStatus::NoServer, "several servers run")
            .because(lines.collect::<Vec<_>>().join("\n"))
            .hint("name one with --pid or --socket"));
    }
    match (servers.pop(), refused) {
        (Some((.., stream)), _) => Ok(stream),
        (None, Some((path, error))) => Err(unreachable(&path, &error)),
        (None, None) => Err(Failure::new(ExitStatus::NoServer, "no server was found")
            .because(format!("there is no control socket in {}", listed(directories)))
            .hint("is it another user's, in a container, or started with --control-socket? then name it with --socket")),
    }
}

fn listed(directories: &[PathBuf]) -> String {
    let shown = directories.iter().map(|directory| directory.display().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

/// What `ps` shows of a process.
fn title(pid: i32) -> String {
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title).replace('\0', " ");
    let shown: String = title.trim().chars().take(60).collect();
    if shown.is_empty() { "(its title cannot be seen)".into() } else { shown }
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let failure =
        Failure::new(ExitStatus::NoServer, format!("cannot reach a server at `{}`", path.display()))
            .because(error.to_string());
    match error.kind() {
        ErrorKind::NotFound => failure.hint("there is no such socket: does the server run?"),
        ErrorKind::ConnectionRefused => {
            failure.hint("no server listens there: it was killed, or is not started yet")
        }
        ErrorKind::TimedOut => Failure { status: ExitStatus::Unknown, ..failure }
            .hint("is it stopped (SIGSTOP), or asked by very many?"),
        ErrorKind::PermissionDenied => {
            Failure { status: ExitStatus::Refused, ..failure }.hint("be the user whose server it is, or root")
        }
        _ => failure,
    }
}
