//! HTTP/1.1 itself (RFC 9112).

use hostler_testkit::{LIMIT, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::{Duration, Instant};

fn serve() -> Server {
    Server::app("asgi_app:app").start()
}

#[test]
fn malformed_requests_get_400_and_the_connection_is_closed() {
    let server = serve();
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n",
    ] {
        let mut conn = server.connect();
        conn.send(request);
        let reply = conn.reply().unwrap();
        assert_eq!(reply.status, 400, "{request:?}");
        assert!(conn.is_closed(), "{request:?}");
    }
}

#[test]
fn connections_are_kept_and_pipelined_requests_are_answered_in_order() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /slow?0.1 HTTP/1.1\r\nhost: t\r\n\r\nGET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "slow answer");
    assert!(conn.reply().unwrap().text().parse::<i32>().is_ok());
    conn.send("GET /pid HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 200);
    assert!(conn.is_closed());
}

#[test]
fn http_10_and_head_are_served() {
    let server = serve();
    let mut old = server.connect();
    old.send("GET /pid HTTP/1.0\r\n\r\n");
    assert_eq!(old.reply().unwrap().status, 200);
    assert!(old.is_closed());
    let mut conn = server.connect();
    let reply = conn.request("HEAD", "/pid", "", b"");
    assert!(reply.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(conn.get("/pid").status, 200, "the HEAD answer had a body");
}

#[test]
fn keep_alive_can_be_turned_off() {
    let server = Server::app("asgi_app:app").arg("--no-http1-keep-alive").start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/pid").status, 200);
    assert!(conn.is_closed());
}

/// What a process has of its own, in KiB.
fn own_memory(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Private_Dirty")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// As many descriptors as this process may have; how many.
fn all_descriptors() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

#[test]
fn ten_thousand_connections_rest_in_little_memory_and_go_on() {
    /// In KiB, of the worker's.
    const MOST: u64 = 8;
    // What the server and other tests need is left.
    let count = all_descriptors().saturating_sub(2_000).min(10_000);
    if count < 1_000 {
        // Too few share what the worker needs anyway.
        return;
    }
    let server =
        Server::app("asgi_app:app").option("workers", 1).option("http1-header-read-timeout", 60_000).start();
    let worker = server.workers()[0];
    (0..20).for_each(|_| drop(server.connect().get("/pid")));
    let before = own_memory(worker);
    let mut conns: Vec<_> = (0..count).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| assert_eq!(conn.get("/pid").status, 200));
    let begun = Instant::now();
    while own_memory(worker).saturating_sub(before) > count * MOST {
        assert!(begun.elapsed() < LIMIT, "{} KiB for {count}", own_memory(worker) - before);
        std::thread::sleep(Duration::from_millis(50));
    }
    conns.iter_mut().step_by(100).for_each(|conn| assert_eq!(conn.get("/pid").status, 200));
    // Somebody new is served beside them, and all end well.
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn connections_that_rest_are_small_and_go_on() {
    const COUNT: u64 = 400;
    /// 12 with thousands of connections; a few hundred share what the worker needs anyway.
    const MOST: u64 = 15;
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let worker = server.workers()[0];
    // What the first requests need for good is not the connections'.
    (0..20).for_each(|_| drop(server.connect().get("/pid")));
    let before = own_memory(worker);
    let mut conns: Vec<_> = (0..COUNT).map(|_| server.connect()).collect();
    for conn in &mut conns {
        assert_eq!(conn.get("/pid").status, 200);
    }
    let begun = Instant::now();
    while own_memory(worker).saturating_sub(before) > COUNT * MOST {
        assert!(begun.elapsed() < LIMIT, "{} KiB each", (own_memory(worker) - before) / COUNT);
        std::thread::sleep(Duration::from_millis(50));
    }
    for conn in &mut conns {
        assert_eq!(conn.request("POST", "/echo", "", b"again").text(), "again");
    }
    // One that said half a request when it rested, and the other half later.
    conns[0].send("GET /pid HT");
    std::thread::sleep(Duration::from_millis(1100));
    conns[0].send("TP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conns[0].reply().unwrap().status, 200);
    server.stop();
}
