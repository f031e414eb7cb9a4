//! Notifications to systemd: readiness, reloads, watchdog, main process, stop.

use super::upgrade::upgrade;
use hostler_testkit::{LIMIT, Server, directory, receive, received};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::net::UnixDatagram};

#[test]
fn systemd_is_notified_of_readiness_reload_health_and_stop() {
    let path = directory("readiness").join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let server = Server::app("supervised:app")
        .option("workers", 2)
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000")
        .wrapped(&["sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"])
        .start();
    let said = receive(&manager, "READY=1");
    assert!(said.contains("STATUS=2 of 2 workers serve"), "{said}");
    // A boot may take longer than TimeoutStartSec=.
    assert!(
        said.starts_with("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=starting: 0 of 2 workers serve\n"),
        "{said}"
    );
    receive(&manager, "WATCHDOG=1");
    server.signal(Signal::SIGHUP);
    let said = receive(&manager, "RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    let said = receive(&manager, "READY=1");
    assert!(!said.contains("3 of 2") && !said.contains("4 of 2"), "{said}");
    server.signal(Signal::SIGUSR2);
    receive(&manager, "MAINPID=");
    let mut server = server;
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let successor = server.successor();
    // STOPPING of the old server would be taken for the service's state.
    let left = received(&manager);
    assert!(!left.contains("STOPPING"), "{left}");
    // The new one has the watchdog, although the variable named the old one.
    let said = receive(&manager, "WATCHDOG=1");
    assert!(!said.contains("STOPPING"), "{said}");
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    receive(&manager, "STOPPING=1");
    // As may a stop that waits for requests, than TimeoutStopSec=.
    receive(&manager, "EXTEND_TIMEOUT_USEC=30000000");
    server.wait_empty();
}

#[test]
fn a_stop_without_workers_is_notified() {
    let path = directory("no-workers").join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let app = Server::app("supervised:app").option("workers", 1);
    let server = app.env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    receive(&manager, "READY=1");
    server.signal(Signal::SIGWINCH);
    server.wait_for("worker exited", 1);
    server.stop();
    receive(&manager, "STOPPING=1");
}

#[test]
fn a_service_manager_that_does_not_read_delays_nothing() {
    let path = directory("notify").join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"another service", &path).is_ok() {}
    let server = Server::app("hostile:app")
        .option("workers", 1)
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000")
        .start();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    // Once it reads again, the state changes arrive in order.
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut said = String::new();
    while said.matches("READY=1").count() < 2 {
        let mut block = [0; 4096];
        let count = manager.recv(&mut block).unwrap_or_else(|error| panic!("{said:?}: {error}"));
        said.push_str(&String::from_utf8_lossy(&block[..count]));
    }
    let order = ["READY=1", "RELOADING=1", "READY=1"];
    let places = order.iter().try_fold(0, |from, word| said[from..].find(word).map(|at| from + at + 1));
    assert!(places.is_some(), "{said}");
    while other.send_to(b"another service", &path).is_ok() {}
    server.stop();
}

/// systemd takes a notification of any process of the unit for the state of the service.
#[test]
fn a_failed_upgrade_sends_nothing_to_the_service_manager() {
    let dir = directory("quiet");
    let (path, state, config) = (dir.join("notify"), dir.join("state"), dir.join("hostler.toml"));
    let manager = UnixDatagram::bind(&path).unwrap();
    fs::write(&state, "serve").unwrap();
    fs::write(&config, "").unwrap();
    let server = Server::app("hanging:app")
        .option("workers", 1)
        .option("config", config.display())
        .env("STATE_FILE", state.to_str().unwrap())
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    receive(&manager, "READY=1");
    fs::write(&state, "fail").unwrap();
    upgrade(&server);
    server.wait_for("not upgraded: the new server exited; this one keeps serving", 1);
    // A reload that fails before it begins ends for the service manager, too.
    fs::write(&config, "workers = \"many\"\n").unwrap();
    server.signal(Signal::SIGHUP);
    let said = receive(&manager, "RELOADING=1");
    assert!(!said.contains("STOPPING") && !said.contains("READY"), "{said}");
    let said = receive(&manager, "READY=1");
    assert!(said.contains("1 of 1 workers serve"), "{said}");
    server.stop();
}
