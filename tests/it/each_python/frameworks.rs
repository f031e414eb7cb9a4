//! The applications of `examples/`, as a browser or a script would use them.

use hostler_testkit::{Conn, Server};
use serde_json::Value;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

#[test]
fn the_production_command_serves() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::app("talkpython.quart_app:app")
        .example()
        .option("host", "0.0.0.0")
        .option("port", port)
        .option("interface", "asgi")
        .arg("--no-ws")
        .option("workers", 3)
        .option("threading-mode", "workers")
        .option("loop", "uvloop")
        .option("workers-lifetime", 43_200)
        .option("respawn-interval", 30)
        .option("process-name", "granian-talkpython")
        .arg("--log")
        .option("log-level", "info")
        .start();
    let mut conn = hostler_testkit::Conn::to(([127, 0, 0, 1], port).into());
    assert!(conn.get("/").text().contains("Quart on hostler"));
    let log = server.log();
    assert!(!log.contains("an option has no effect"), "{log}");
    server.stop();
}

fn example(target: &str) -> Server {
    Server::app(target).example().start()
}

#[test]
fn starlette_serves_and_one_busy_worker_does_not_stop_the_other() {
    let server = example("starlette_app:app");
    let mut conn = server.connect();
    assert_eq!(conn.get("/").text(), "ok: service is running");
    let json = "content-type: application/json\r\n";
    assert_eq!(conn.request("POST", "/echo", json, br#"{"a": [1, 2]}"#).text(), r#"{"a":[1,2]}"#);
    let failed = conn.request("POST", "/echo", json, b"{bad");
    assert_eq!(failed.text(), r#"{"message":"failed JSON message"}"#);

    let busy_pid = conn.get("/pid").text();
    conn.send("GET /busy?rounds=20000000 HTTP/1.1\r\nhost: t\r\n\r\n");
    // The busy worker leaves connections to its sibling.
    let others = (0..200).map(|_| server.connect().get("/pid").text()).filter(|pid| *pid != busy_pid);
    assert!(others.count() >= 100);
    assert_eq!(conn.reply().unwrap().status, 200);
    server.stop();
}

#[test]
fn fastapi_overlaps_sync_routes_and_times_them() {
    let server = example("fastapi_app:app");
    assert!(server.connect().get("/wait").header("x-process-time").is_some());
    let begun = Instant::now();
    let mut conns: Vec<Conn> = (0..100).map(|_| server.connect()).collect();
    for conn in &mut conns {
        conn.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    for conn in &mut conns {
        assert_eq!(conn.reply().unwrap().status, 200);
    }
    // One after another they would take five seconds.
    assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
    let fib: Value = serde_json::from_slice(&server.connect().get("/fib/20").body).unwrap();
    assert_eq!(fib["fib"], 6765);
    server.stop();
}

#[test]
fn fastapi_serves_on_while_one_worker_computes() {
    let server = example("fastapi_app:app");
    let mut computing = server.connect();
    computing.send("GET /fib/32 HTTP/1.1\r\nhost: t\r\n\r\n".repeat(3));
    for _ in 0..20 {
        assert_eq!(server.connect().get("/asyncwait").status, 200);
    }
    for _ in 0..3 {
        let fib: Value = serde_json::from_slice(&computing.reply().unwrap().body).unwrap();
        assert_eq!(fib["fib"], 2_178_309);
    }
}

#[test]
fn flask_in_place() {
    site(&example("flask_app:app"));
}

#[test]
fn flask_with_threads() {
    site(&Server::app("flask_app:app").example().option("blocking-threads", 4).start());
}

#[test]
fn django_asgi() {
    site(&example("django_app:asgi"));
}

#[test]
fn django_wsgi() {
    site(&example("django_app:wsgi"));
}

#[test]
fn quart() {
    site(&example("talkpython.quart_app:app"));
}

/// What the Flask, Django and Quart sites have in common.
fn site(server: &Server) {
    let mut conn = server.connect();
    assert!(conn.get("/").text().contains("on hostler"));
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    assert_eq!(conn.request("POST", "/form", form, b"name=anna").text(), "hello anna");
    assert_eq!(conn.get("/stream").text().lines().count(), 1000);
    let cookie = conn.request("GET", "/cookie", "cookie: visits=4\r\n", b"");
    assert!(cookie.header("set-cookie").unwrap().starts_with("visits=5"));
    let old = conn.get("/old");
    assert_eq!((old.status, old.header("location")), (302, Some("/")));
    assert_eq!(conn.get("/missing").status, 404);
    assert_eq!(conn.get("/broken").status, 500);
    upload(&mut conn, 50_000_000);
}

fn upload(conn: &mut Conn, size: usize) {
    let boundary = "limit-of-a-part";
    let mut body = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend(std::iter::repeat_n(b"0123456789", size / 10).flatten());
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    let headers = format!("content-type: multipart/form-data; boundary={boundary}\r\n");
    let reply = conn.request("POST", "/upload", &headers, &body);
    assert_eq!(reply.status, 200);
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(told["size"], size);
    // sha256 of "0123456789" five million times.
    assert_eq!(told["sha256"], EXPECTED_SHA256);
}

const EXPECTED_SHA256: &str = "07d7c2d2ff2345a78a4cb8f17a80869b71ee4efaa7b5051ddf027d0a88ead060";
