//! The log: no process waits for it or fails with it. A reader that is gone or does not read, a full disk or a stopped
//! terminal hold up neither a stop, nor a reload, nor the replacement of a dead worker.

mod colours;
mod config;
mod files;
mod json;
mod milestones;
mod receivers;
mod reload;
mod standard_error;

use hostler_testkit::{Builder, Server, get_unix, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

fn app(dir: &Path) -> (Builder, PathBuf) {
    let socket = dir.join("socket");
    let app = Server::app("hostile:app").option("workers", 2).option("uds", socket.display());
    (app, socket)
}

fn named_pipe(dir: &Path) -> PathBuf {
    let path = dir.join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    path
}

/// A reader of a named pipe that is there and reads nothing.
fn reader(pipe: &Path) -> File {
    let flags = nix::libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(pipe).unwrap()
}

/// Without a working log: workers serve and log, killed ones are respawned, a reload and a stop succeed.
fn everything_works(mut server: Server, socket: &Path) {
    wait_until("serving", || get_unix(socket, "/pid").is_ok());
    assert_eq!(get_unix(socket, "/log/3000").unwrap(), "logged");
    for _ in 0..3 {
        let first: i32 = get_unix(socket, "/pid").unwrap().parse().unwrap();
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        wait_until("replaced", || server.processes().len() == 4 && !server.processes().contains(&first));
    }
    let before = server.processes();
    server.signal(Signal::SIGHUP);
    let is_new = |pid: &i32| !before.contains(pid);
    wait_until("reloaded", || {
        let now = server.processes();
        now.len() == 4 && now.iter().filter(|pid| is_new(pid)).count() == 3
    });
    assert!(get_unix(socket, "/pid").is_ok());
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    server.wait_empty();
}
