//! Handover: idle connections move to another worker when theirs is replaced, with partial requests and with few descriptors.

use crate::support::{slow_import, workspace};
use hostler_testkit::{Conn, LIMIT, Server, proc};
use nix::sys::signal::Signal;
use std::{process::Command, time::Instant};

/// Bytes of a request head that are sent before the reload: within a frame, at its limit, and far beyond.
const BEGUN: [usize; 8] = [1, 300, 8_000, 8_300, 33_000, 131_000, 250_000, 380_000];

#[test]
fn partial_requests_of_any_length_survive_reloads() {
    let workers = 4;
    let server = Server::app("supervised:app").option("workers", workers);
    let server = server.option("limit-request-field-size", 400_000).start();
    let mut begun: Vec<Conn> = Vec::new();
    for length in BEGUN.repeat(12) {
        let mut conn = server.connect();
        conn.send("GET /pid HTTP/1.1\r\nhost: t\r\nx-filler: ");
        conn.send("x".repeat(length));
        begun.push(conn);
    }
    let mut idle: Vec<Conn> = (0..60).map(|_| server.connect()).collect();
    for reload in 1..=3 {
        server.signal(Signal::SIGHUP);
        server.wait_for(&format!(" reloaded generation={reload}"), 1);
        server.wait_for("worker exited", workers * reload);
    }
    for (number, conn) in begun.iter_mut().enumerate() {
        conn.send("x\r\n\r\n");
        let reply =
            conn.reply().unwrap_or_else(|error| panic!("{} bytes: {error}", BEGUN[number % BEGUN.len()]));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    idle.iter_mut().for_each(|conn| assert_eq!(conn.get("/pid").status, 200));
    server.stop();
}

#[test]
fn idle_connections_move_to_the_successor_with_partial_requests() {
    let server = slow_import().start();
    let mut idle = server.connect();
    let before = idle.get("/pid").text();
    let mut halfway = server.connect();
    halfway.send("GET /pid HTTP/1.1\r\nho");
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 1);
    let after = idle.get("/pid").text();
    assert_ne!(before, after);
    halfway.send("st: t\r\n\r\n");
    assert_eq!(halfway.reply().unwrap().text(), after);
    server.stop();
}

#[test]
fn idle_connections_of_unix_sockets_move_too() {
    let socket = workspace("uds").join("s.sock");
    let server = slow_import().option("uds", socket.display()).start();
    let mut idle = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let mut ask = || {
        use std::io::{Read, Write};
        idle.write_all(b"GET /pid HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        let mut block = [0; 1024];
        let count = idle.read(&mut block).unwrap();
        String::from_utf8_lossy(&block[..count]).rsplit_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let before = ask();
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 1);
    assert_ne!(ask(), before);
    server.stop();
}

#[test]
fn a_worker_without_room_for_descriptors_loses_no_connection_that_is_handed_over() {
    let server = Server::app("supervised:app").option("workers", 2).start();
    let (mut idle, stays) = (idle_connections(&server, 20), pid_of_worker(&server, "1"));
    // RLIMIT_NOFILE limits descriptor numbers: four are left.
    let open = proc::descriptors(stays);
    limit_files(stays, (0..).filter(|number| !open.contains_key(number)).nth(4).unwrap());
    server.signal(Signal::SIGTTOU);
    server.wait_for("worker exited", 1);
    // It takes as many as it can, and logs that there are more.
    server.wait_for("cannot accept", 1);
    limit_files(stays, 4096);
    for conn in &mut idle {
        assert_eq!(conn.get("/pid").text(), stays.to_string());
    }
    server.stop();
}

#[test]
fn a_connection_that_cannot_be_handed_over_is_still_served() {
    let server = Server::app("supervised:app").option("workers", 2).start();
    let mut begun = connection_to(&server, "2");
    let drains: i32 = begun.get("/pid").text().parse().unwrap();
    begun.send("GET /pid HTTP/1.1\r\nhost: t\r\nx-filler: ");
    begun.send("x".repeat(33_000));
    // The worker has read it once it responds on a later connection.
    let mut other = connection_to(&server, "2");
    other.get("/pid");
    let open = proc::descriptors(drains).len();
    drop(other);
    server.wait_until("the other connection closed", || proc::descriptors(drains).len() < open);
    let open = proc::descriptors(drains);
    limit_files(drains, (0..).find(|number| !open.contains_key(number)).unwrap());
    server.signal(Signal::SIGTTOU);
    server.wait_for("worker draining", 1);
    begun.send("x\r\n\r\n");
    assert_eq!(begun.reply().unwrap().text(), drains.to_string());
    // Without a partial request it needs no file, and is handed over.
    server.wait_for("worker exited", 1);
    assert_ne!(begun.get("/pid").text(), drains.to_string());
    server.stop();
}

#[test]
fn connections_in_the_handover_queue_are_served_at_a_stop() {
    let server = Server::app("supervised:app").option("workers", 2).start();
    let mut moving: Vec<Conn> = idle_connections(&server, 20)
        .into_iter()
        .filter_map(|mut conn| conn.get("/who").text().starts_with("2 ").then_some(conn))
        .collect();
    // The remaining worker is blocked while the other hands over and the server is told to stop.
    let mut blocking = connection_to(&server, "1");
    blocking.send("GET /block/2 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("blocks now", 1);
    server.signal(Signal::SIGTTOU);
    server.wait_for("worker exited", 1);
    for conn in &mut moving {
        conn.send("GET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    server.signal(Signal::SIGTERM);
    let begun = Instant::now();
    for conn in &mut moving {
        assert_eq!(conn.reply().unwrap().status, 200);
    }
    assert_eq!(blocking.reply().unwrap().text(), "blocked");
    assert!(begun.elapsed() < LIMIT);
    server.wait_for("stopped", 1);
    server.wait_empty();
}

/// Connections of which each of two workers has at least so many.
fn idle_connections(server: &Server, of_each: usize) -> Vec<Conn> {
    let (mut idle, mut counts) = (Vec::new(), [0, 0]);
    while counts.iter().any(|count| *count < of_each) {
        let mut conn = server.connect();
        counts[usize::from(conn.get("/who").text().starts_with("2 "))] += 1;
        idle.push(conn);
        assert!(idle.len() < 2000, "{counts:?}");
    }
    idle
}

fn connection_to(server: &Server, worker: &str) -> Conn {
    let mut others = Vec::new();
    loop {
        let mut conn = server.connect();
        if conn.get("/who").text().starts_with(worker) {
            return conn;
        }
        others.push(conn);
        assert!(others.len() < 2000);
    }
}

fn pid_of_worker(server: &Server, worker: &str) -> i32 {
    connection_to(server, worker).get("/pid").text().parse().unwrap()
}

fn limit_files(pid: i32, most: i32) {
    let status =
        Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={most}:")]).status();
    assert!(status.unwrap().success());
}
