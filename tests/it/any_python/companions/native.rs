//! Programs that run beside the workers: a second group under the same supervision, by the example of a native service.

use crate::any_python::observer::{admin, status};
use hostler_testkit::{Builder, Server, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;

fn beside(script: &str) -> Builder {
    Server::program(env!("CARGO_BIN_EXE_native_app").into()).env("COMPANION", script)
}

/// The process of the companion that was started as the `nth`.
fn the_pid(server: &Server, nth: usize) -> Pid {
    server.wait_for("companion started", nth);
    let log = server.log();
    let line = log.lines().filter(|line| line.contains("companion started")).nth(nth - 1).unwrap();
    let pid = line.split("pid=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    Pid::from_raw(pid.parse().unwrap())
}

const RUNS: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[test]
fn a_companion_that_crashes_is_started_again_and_the_workers_are_not_touched() {
    let server = beside(RUNS).start();
    let workers = server.workers();
    kill(the_pid(&server, 1), Signal::SIGKILL).unwrap();
    server.wait_for("companion exited", 1);
    the_pid(&server, 2);
    assert_eq!(server.workers(), workers);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_companion_that_ends_at_once_is_started_ever_more_slowly_and_the_server_serves() {
    let server = beside("exit 3").start();
    server.wait_for("companion is in a crash loop", 1);
    let log = server.log();
    assert!(log.contains("exited with code 3"), "{log}");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_reload_keeps_companions_and_a_stop_ends_them_after_the_workers() {
    let server = beside(RUNS).start();
    let first = the_pid(&server, 1);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("worker exited", 2);
    assert!(kill(first, None).is_ok(), "it is the same process as before");
    assert!(!server.log().contains("companion exited"));
    server.signal(Signal::SIGTERM);
    server.wait_for("companion exited", 1);
    let log = server.log();
    let last_worker = log.rfind("worker exited").unwrap();
    assert!(log.find("companion stopping").unwrap() > last_worker, "{log}");
    server.wait_empty();
}

#[test]
fn a_companion_that_ignores_sigterm_is_killed() {
    let server = beside("trap '' TERM; echo ignores SIGTERM >&2; while :; do sleep 0.1; done").start();
    server.wait_for("ignores SIGTERM", 1);
    server.signal(Signal::SIGINT);
    server.wait_for("still stopping", 1);
    server.signal(Signal::SIGINT);
    server.wait_for("companion killed", 1);
    server.wait_empty();
}

#[test]
fn a_companion_inherits_no_descriptor_of_the_server() {
    let server = beside(RUNS).start();
    let open = fs::read_dir(format!("/proc/{}/fd", the_pid(&server, 1))).unwrap();
    let open = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string());
    let foreign: Vec<String> = open
        .filter(|file| ["socket:", "memfd:", "anon_inode:"].iter().any(|kind| file.contains(kind)))
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
    server.stop();
}

#[test]
fn the_observer_of_a_native_service_shows_companions() {
    let server = beside(RUNS).env("ADMIN", "127.0.0.1:0").start();
    let address = admin(&server);
    let companion = the_pid(&server, 1);
    wait_until("it is shown", || {
        let now = status(address);
        let it = &now["companions"][0];
        it["pid"] == companion.as_raw()
            && it["state"] == "ready"
            && it["memory_bytes"].as_u64() > Some(100_000)
    });
    server.stop();
}
