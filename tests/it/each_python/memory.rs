//! What connections, workers and requests cost in memory.

use crate::support::{load_on, nothing_failed, nothing_lost, slow_import};
use hostler_testkit::{Load, Server, proc, wait_until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::Duration;

/// As many descriptors as this process may have; how many.
fn all_descriptors() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

#[test]
fn ten_thousand_idle_connections_take_little_memory_and_can_be_used_again() {
    /// In KiB, of the worker's.
    const MOST: u64 = 8;
    // Leaves descriptors for the server and for other tests.
    let count = all_descriptors().saturating_sub(2_000).min(10_000);
    if count < 1_000 {
        // Too few share what the worker needs anyway.
        return;
    }
    let server =
        Server::app("asgi_app:app").option("workers", 1).option("http1-header-read-timeout", 60_000).start();
    let worker = server.workers()[0];
    (0..20).for_each(|_| drop(server.connect().get("/pid")));
    let before = proc::private_dirty_kib(worker);
    let mut conns: Vec<_> = (0..count).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| assert_eq!(conn.get("/pid").status, 200));
    let grown = || proc::private_dirty_kib(worker).saturating_sub(before);
    wait_until("small", || grown() <= count * MOST);
    conns.iter_mut().step_by(100).for_each(|conn| assert_eq!(conn.get("/pid").status, 200));
    // New connections are served beside them, and a stop ends all.
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn idle_connections_are_small_and_can_be_used_again() {
    const COUNT: u64 = 400;
    /// 12 with thousands of connections; a few hundred share what the worker needs anyway.
    const MOST: u64 = 15;
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let worker = server.workers()[0];
    // What the first requests need for good is not the connections'.
    (0..20).for_each(|_| drop(server.connect().get("/pid")));
    let before = proc::private_dirty_kib(worker);
    let mut conns: Vec<_> = (0..COUNT).map(|_| server.connect()).collect();
    for conn in &mut conns {
        assert_eq!(conn.get("/pid").status, 200);
    }
    let grown = || proc::private_dirty_kib(worker).saturating_sub(before);
    wait_until("small", || grown() <= COUNT * MOST);
    for conn in &mut conns {
        assert_eq!(conn.request("POST", "/echo", "", b"again").text(), "again");
    }
    // One is parked again in the middle of a request, which then continues.
    conns[0].send("GET /pid HT");
    // No log line and nothing in /proc shows that it is parked again, which takes a second.
    std::thread::sleep(Duration::from_millis(1100));
    conns[0].send("TP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conns[0].reply().unwrap().status, 200);
    server.stop();
}

#[test]
fn memory_costs_no_request() {
    let server = slow_import()
        .option("workers-max-rss", 120)
        .option("rss-sample-interval", 1)
        .option("respawn-interval", 0)
        .start();
    let load = load_on(&server);
    let grown = server.connect().get("/grow/150").text();
    server.wait_for("reason=\"max-rss\"", 1);
    server.wait_for("worker exited", 1);
    nothing_lost(&load.end());
    assert_ne!(server.connect().get("/pid").text(), grown);
    server.stop();
}

#[test]
fn preloaded_workers_share_memory_of_a_real_application() {
    let total = |preload: &str| {
        let server = Server::app("fastapi_app:app").example().option("workers", 8).arg(preload).start();
        let load = Load::start(server.address.unwrap(), "/asyncwait", 16);
        load.wait_for(2_000);
        nothing_failed(&load.end());
        let total: u64 = server.workers().into_iter().map(proc::proportional_kib).sum();
        let master = proc::private_dirty_kib(server.master());
        assert!(master <= 2 * 1024, "the master has {master} KiB of its own");
        let old = server.log().contains("version=\"3.10") || server.log().contains("version=\"3.11");
        server.stop();
        (total, old)
    };
    let ((apart, old), (shared, _)) = (total("--no-preload"), total("--preload"));
    // The goal, which Pythons without immortal objects (before 3.12) miss.
    let most = if old { 52 } else { 45 };
    assert!(shared * 100 <= apart * most, "{shared} KiB with preload, {apart} KiB without");
}
