//! Upgrades during which a server fails, crashes or is killed.

use super::{long_request, signal, slow_boot, upgrade};
use crate::support::{nothing_lost, workspace};
use hostler_testkit::{Load, Server, directory, get_unix, proc, receive};
use nix::sys::signal::Signal;
use std::{fs, os::unix::net::UnixDatagram};

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let dir = workspace("badupgrade");
    let server =
        Server::app("changing:app").option("workers", 1).option("working-dir", dir.display()).start();
    fs::write(dir.join("changing.py"), "raise RuntimeError('not today')\n").unwrap();
    let load = Load::start(server.address.unwrap(), "/", 2);
    server.signal(Signal::SIGUSR2);
    server.wait_for("not upgraded", 1);
    load.wait_for(100);
    nothing_lost(&load.end());
    server.stop();
}

/// Its import fails, or it is told to stop. The files are those of the server that goes on.
#[test]
fn a_successor_that_exits_before_it_serves_leaves_socket_and_pid_file() {
    for stop in [None, Some(Signal::SIGTERM), Some(Signal::SIGINT)] {
        let dir = workspace("leaves-files");
        let (socket, pid_file) = (dir.join("socket"), dir.join("pid"));
        let server = Server::app("changing:app").option("workers", 1).option("working-dir", dir.display());
        let server = server.option("uds", socket.display()).option("pid-file", pid_file.display()).start();
        server.wait_for_file(&pid_file);
        let code = stop.map_or("raise RuntimeError('not today')\n", |_| "import time\ntime.sleep(3)\n");
        fs::write(dir.join("changing.py"), code).unwrap();
        let successor = upgrade(&server);
        if let Some(stop) = stop {
            server.wait_for("mold ready", 2);
            signal(successor, stop);
        }
        server.wait_for("not upgraded", 1);
        assert!(get_unix(&socket, "/").is_ok(), "{stop:?}\n{}", server.log());
        assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), server.master().to_string());
        server.stop();
        assert!(!socket.exists() && !pid_file.exists());
    }
}

#[test]
fn an_upgrade_to_another_protocol_version_is_refused() {
    use hostler_sys::{channel::Channel, message};
    use std::{io::IoSlice, os::fd::AsFd};
    let (ours, theirs) = Channel::pair().unwrap();
    let left = br#"{"version": 99, "unheard": ["of"]}"#;
    message::send(ours.as_fd(), &[IoSlice::new(left)], &[theirs.as_fd(), theirs.as_fd()]).unwrap();
    let (code, log) = Server::app("supervised:app")
        .option("port", 0)
        .env("HOSTLER_UPGRADE", "1")
        .descriptor(theirs.into_fd())
        .fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("it speaks version 99 of the upgrade and this program speaks"), "{log}");
    assert!(log.contains("stop it, then start this one"), "{log}");
}

#[test]
fn a_successor_that_is_killed_before_it_serves_changes_nothing_and_leaves_nothing() {
    let server = slow_boot().start();
    let load = Load::start(server.address.unwrap(), "/pid", 2);
    let mut before = server.processes();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(successor, Signal::SIGKILL);
    server.wait_for("not upgraded: the new server exited; this one keeps serving", 1);
    before.sort_unstable();
    server.wait_until("the same processes as before", || {
        let mut now = server.processes();
        now.sort_unstable();
        now == before
    });
    load.wait_for(50);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn a_successor_that_is_killed_during_the_next_upgrade_leaves_one_service() {
    let mut server = slow_boot().start();
    let mut long = long_request(&server, 5);
    let second = upgrade(&server);
    server.wait_for("upgraded: the new server serves", 1);
    signal(second, Signal::SIGUSR2);
    server.wait_for("mold ready", 3);
    signal(second, Signal::SIGKILL);
    server.wait_for("was replaced by another one", 1);
    server.wait_for("this server serves; the old one exits", 2);
    assert_eq!(long.reply().unwrap().text(), "waited");
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("serves again"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    let third = server.successor();
    signal(third, Signal::SIGTERM);
    server.wait_empty();
}

#[test]
fn when_the_successor_crashes_the_draining_server_takes_the_service_back() {
    let dir = directory("takeback");
    let (manager, pid_file, socket) = (dir.join("notify"), dir.join("pid"), dir.join("s.sock"));
    let manager_socket = UnixDatagram::bind(&manager).unwrap();
    let mut server = slow_boot()
        .option("bind", "127.0.0.1:0")
        .option("bind", format!("unix:{}", socket.display()))
        .option("pid-file", pid_file.display())
        .env("NOTIFY_SOCKET", manager.to_str().unwrap())
        .start();
    let mut long = long_request(&server, 10);
    let mut idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let successor = upgrade(&server);
    server.wait_for("upgraded: the new server serves", 1);
    receive(&manager_socket, &format!("MAINPID={successor}"));
    for conn in &mut idle {
        assert_eq!(conn.get("/pid").status, 200);
    }
    signal(successor, Signal::SIGKILL);
    server.wait_for("this one serves again", 1);
    server.wait_for("worker ready", 3);
    assert_eq!(server.connect().get("/pid").status, 200);
    let said = receive(&manager_socket, &format!("MAINPID={}", server.master()));
    assert!(!said.contains("STOPPING"), "{said}");
    let said = receive(&manager_socket, "READY=1");
    assert!(said.contains("1 of 1 workers serve"), "{said}");
    server.wait_until("the old server's pid file again", || {
        fs::read_to_string(&pid_file).unwrap_or_default().trim() == server.master().to_string()
    });
    let open = proc::descriptors(server.master());
    let pid_files = open.values().filter(|target| target.starts_with(&pid_file));
    assert_eq!(pid_files.count(), 1);
    assert_eq!(long.reply().unwrap().text(), "waited");
    // It can be upgraded again.
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgraded: the new server serves", 2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let last: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    signal(last, Signal::SIGTERM);
    server.wait_empty();
    assert!(!socket.exists() && !pid_file.exists());
}

#[test]
fn when_the_successor_crashes_as_the_draining_server_ends_that_takes_the_service_back() {
    let server = slow_boot().start();
    let worker = server.workers()[0];
    let mut long = long_request(&server, 4);
    let successor = upgrade(&server);
    server.wait_for("worker draining", 1);
    // The old server learns of both ends at once.
    signal(server.master(), Signal::SIGSTOP);
    assert_eq!(long.reply().unwrap().text(), "waited");
    let ended = |pid| server.wait_until("a process has ended", || proc::state(pid) == Some('Z'));
    ended(worker);
    signal(successor, Signal::SIGKILL);
    ended(successor);
    signal(server.master(), Signal::SIGCONT);
    server.wait_for("this one serves again", 1);
    server.wait_for("worker ready", 3);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_master_that_is_killed_during_an_upgrade_is_replaced_all_the_same() {
    let mut server = slow_boot().start();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(server.master(), Signal::SIGKILL);
    server.wait_exit_of_master();
    server.wait_for("worker ready", 2);
    assert_eq!(server.connect().get("/pid").status, 200);
    signal(successor, Signal::SIGTERM);
    server.wait_empty();
}
