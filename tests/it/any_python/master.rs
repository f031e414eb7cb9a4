//! The master: small, without Python, and safe from what its workers run.

use crate::support::load_on;
use hostler_testkit::{Server, proc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;

#[test]
fn the_master_is_one_small_thread_without_python() {
    let server = Server::app("asgi_app:app").start();
    let master = server.master();
    assert_eq!(fs::read_dir(format!("/proc/{master}/task")).unwrap().count(), 1);
    let maps = fs::read_to_string(format!("/proc/{master}/maps")).unwrap();
    assert!(!maps.contains("libpython") && !maps.contains("hostler_python"));
    is_small(master);
}

/// What it has written itself is its own; the rest is the program's file, of which more is mapped the more the program can do.
#[track_caller]
fn is_small(master: i32) {
    let (own, all) = (proc::private_dirty_kib(master), proc::resident_kib(master));
    assert!(own <= 2 * 1024 && all <= 10 * 1024, "{own} KiB of its own, {all} KiB in all");
}

/// Each reload looks again for the extension, which is large.
#[test]
fn the_master_stays_small_when_it_reloads() {
    let server = Server::app("asgi_app:app").start();
    for reload in 1..=2 {
        server.signal(Signal::SIGHUP);
        server.wait_for("reloaded", reload);
    }
    is_small(server.master());
    server.stop();
}

#[test]
fn killed_workers_are_replaced_under_load_and_nothing_leaks() {
    let server = Server::app("supervised:app").option("workers", 3).start();
    let load = load_on(&server);
    load.wait_for(200);
    let (descriptors, rss) = (proc::descriptors(server.master()).len(), proc::resident_kib(server.master()));
    for round in 0..12 {
        let alive: Vec<i32> =
            server.workers().into_iter().filter(|pid| server.processes().contains(pid)).collect();
        kill(Pid::from_raw(alive[round % alive.len()]), Signal::SIGKILL).unwrap();
        server.wait_for("killed by SIGKILL", round + 1);
        server.wait_for("worker ready", 3 + round + 1);
    }
    let outcome = load.end();
    // Only requests on a killed worker can fail: at most one for each client and kill.
    assert!(outcome.failures.len() <= 4 * 12, "{outcome:?}");
    // A process that was just forked keeps copies of some for a moment.
    server.wait_until("at its descriptors of before", || {
        proc::descriptors(server.master()).len() <= descriptors
    });
    let grown = proc::resident_kib(server.master()).saturating_sub(rss);
    assert!(grown <= 256, "the master grew by {grown} KiB");
    server.stop();
}

#[test]
fn an_application_that_truncates_shared_memory_kills_no_process() {
    // Looked at often, so that a page that is missing is met at once.
    let server = Server::app("hostile:app").option("workers", 2).option("stall-timeout", "100ms").start();
    let own = server.connect().get("/truncate").text();
    // A worker keeps no descriptor of it; here the master's is reopened, which only root or the same user may do.
    assert_eq!(own, "", "{own}");
    let masters = server.connect().get(&format!("/truncate/{}", server.master())).text();
    assert!(masters.contains("hostler-scoreboard") && !masters.contains("truncated"), "{masters}");
    // Both kinds of readers go on: siblings that accept, and the master that starts and watches another worker.
    for _ in 0..20 {
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    server.stop();
}

#[test]
fn a_worker_can_write_no_page_but_its_own() {
    let server = Server::app("hostile:app").option("workers", 2).start();
    assert_eq!(server.connect().get("/overwrite").text(), "1");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}
