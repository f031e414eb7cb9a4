//! Upgrades (SIGUSR2): another server takes the sockets over.

mod addresses;
mod crashes;
mod stops;

use crate::support::{load_on, nothing_lost, slow_import, workspace};
use hostler_testkit::{Builder, Server, directory, get_unix};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;

#[test]
fn an_upgrade_costs_no_request_and_keeps_the_unix_socket() {
    let dir = workspace("upgrade");
    let (socket, pid_file) = (dir.join("s.sock"), dir.join("pid"));
    let mut server = slow_import()
        .option("bind", "127.0.0.1:0")
        .option("bind", format!("unix:{}", socket.display()))
        .option("pid-file", pid_file.display())
        .start();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&socket).unwrap());
    let pid = || fs::read_to_string(&pid_file).unwrap().trim().parse::<i32>().unwrap();
    server.wait_for_file(&pid_file);
    assert_eq!(pid(), server.master());
    let load = load_on(&server);
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgraded: the new server serves", 1);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    load.wait_for(100);
    nothing_lost(&load.end());
    let successor = pid();
    assert_ne!(successor, server.master());
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&socket).unwrap()), inode);
    assert_eq!(server.connect().get("/pid").status, 200);
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_for("stopped", 2);
    server.wait_empty();
    assert!(!socket.exists() && !pid_file.exists());
}

#[test]
fn a_socket_that_is_handed_on_by_an_upgrade_is_removed_by_the_last_server() {
    let dir = directory("upgraded-socket");
    let socket = dir.join("socket");
    let server = Server::app("hostile:app").option("workers", 1).option("uds", socket.display()).start();
    server.signal(Signal::SIGUSR2);
    server.wait_for("stopped", 1);
    let mut server = server;
    server.wait_exit_of_master();
    assert!(get_unix(&socket, "/pid").is_ok());
    let successor = server.successor();
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(!socket.exists(), "{}", server.log());
}

#[test]
fn a_server_that_drains_longer_than_its_successor_leaves_the_socket_to_the_one_after() {
    let socket = directory("two-upgrades").join("socket");
    let server = Server::app("supervised:app").option("workers", 1).option("bind", "127.0.0.1:0");
    let mut server = server.option("bind", format!("unix:{}", socket.display())).start();
    let mut conn = long_request(&server, 3);
    let second = upgrade(&server);
    server.wait_for("upgraded: the new server serves", 1);
    signal(second, Signal::SIGUSR2);
    // The second server exits before the first, which still drains.
    server.wait_for("the new server exited", 1);
    assert_eq!(conn.reply().unwrap().status, 200);
    server.wait_exit_of_master();
    assert!(get_unix(&socket, "/pid").is_ok(), "{}", server.log());
    let third = server.successor();
    signal(third, Signal::SIGTERM);
    server.wait_empty();
    assert!(!socket.exists(), "{}", server.log());
}

/// As deployments do: `current` is a link to the release.
#[test]
fn an_upgrade_follows_the_link_that_the_program_was_started_by() {
    let dir = directory("releases");
    let built = hostler_testkit::hostler();
    for release in ["1", "2"] {
        fs::create_dir(dir.join(release)).unwrap();
        for file in ["hostler", "libhostler_python.so"] {
            fs::hard_link(built.with_file_name(file), dir.join(release).join(file)).unwrap();
        }
    }
    let (current, next) = (dir.join("current"), dir.join("next"));
    std::os::unix::fs::symlink("1", &current).unwrap();
    let script = format!("shift; exec {}/hostler \"$@\"", current.display());
    let mut server = slow_boot().wrapped(&["sh", "-c", &script, "sh"]).start();
    std::os::unix::fs::symlink("2", &next).unwrap();
    fs::rename(&next, &current).unwrap();
    let successor = upgrade(&server);
    server.wait_for("this server serves; the old one exits", 1);
    assert_eq!(fs::read_link(format!("/proc/{successor}/exe")).unwrap(), dir.join("2/hostler"));
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    signal(successor, Signal::SIGTERM);
    server.wait_empty();
}

fn slow_boot() -> Builder {
    Server::app("supervised:app").option("workers", 1).env("IMPORT_SECONDS", "1")
}

/// Starts an upgrade; returns the new server's process id.
pub(crate) fn upgrade(server: &Server) -> i32 {
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgrading: new server started", 1);
    server.successor()
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// A request that keeps a server draining for so long.
fn long_request(server: &Server, seconds: u32) -> hostler_testkit::Conn {
    let mut conn = server.connect();
    conn.send(format!("GET /wait/{seconds} HTTP/1.1\r\nhost: t\r\n\r\n"));
    // There is one worker: this request is in flight once a later one is served.
    assert_eq!(server.connect().get("/pid").status, 200);
    conn
}
