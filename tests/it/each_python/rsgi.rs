//! RSGI 1.6, with an application that imports from `granian.rsgi`.

use super::websocket::{close_of, connect, try_connect};
use hostler_testkit::{Builder, LIMIT, Server};
use nix::{
    libc,
    sys::{
        signal::Signal,
        socket::{setsockopt, sockopt},
    },
};
use serde_json::{Value, json};
use std::{fs, time::Instant};
use tungstenite::Message;

fn builder() -> Builder {
    Server::app("rsgi_app:app").option("interface", "rsgi").option("workers", 1)
}

fn serve() -> Server {
    builder().start()
}

#[test]
fn the_scope_is_complete() {
    let server = serve();
    let reply =
        server.connect().request("PUT", "/scope?a=1&b=%20", "x-twice: 1\r\nx-twice: 2\r\nX-Case: y\r\n", b"");
    let scope: Value = serde_json::from_slice(&reply.body).unwrap();
    let address = server.address.unwrap();
    for (name, value) in [
        ("proto", json!("http")),
        ("rsgi_version", json!("1.6")),
        ("http_version", json!("1.1")),
        ("server", json!(address.to_string())),
        ("scheme", json!("http")),
        ("method", json!("PUT")),
        ("path", json!("/scope")),
        ("query_string", json!("a=1&b=%20")),
        ("authority", Value::Null),
        ("twice", json!(["1", "2"])),
        ("mapping", json!(["test", false, "default", 3])),
        ("again", json!(true)),
    ] {
        assert_eq!(scope[name], value, "{name}");
    }
    assert_eq!(scope["headers"]["x-case"], "y");
    assert!(scope["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    server.stop();
}

#[test]
fn every_kind_of_response_is_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "0123456789").unwrap();
    let server = Server::app("rsgi_app:app")
        .option("interface", "rsgi")
        .env("SOME_FILE", file.path().to_str().unwrap())
        .start();
    let mut conn = server.connect();
    let text = conn.get("/str");
    assert_eq!((text.status, text.text().as_str(), text.header("content-length")), (201, "Grüße", Some("7")));
    assert_eq!(conn.get("/empty").status, 204);
    let whole = conn.get("/file");
    assert_eq!((whole.text().as_str(), whole.header("content-length")), ("0123456789", Some("10")));
    assert_eq!(conn.get("/range?3-8").text(), "34567");
    assert_eq!(conn.get("/range?8-99").text(), "89");
    assert_eq!(conn.get("/range?8-8").status, 416);
    assert_eq!(conn.get("/no_file").status, 404);
    assert_eq!(conn.get("/stream").text(), "piece 0\npiece 1\npiece 2\n");
    let head = conn.request("HEAD", "/str", "", b"");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("7"), 0));
    assert_eq!(conn.get("/twice").text(), "first");
    server.wait_for("sent a second response to a request", 1);
    server.stop();
}

#[test]
fn bodies_are_read_whole_and_in_pieces() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.request("POST", "/echo", "", b"hello").text(), "hello");
    server.wait_for("the second read raised ProtocolError", 1);
    assert_eq!(conn.request("POST", "/echo", "", b"").text(), "");
    let large = vec![b'x'; 3_000_000];
    assert_eq!(conn.request("POST", "/echo", "", &large).body, large);
    assert_eq!(conn.request("POST", "/echo_stream", "", &large).body, large);
    // A reader that gave up loses nothing.
    conn.send("POST /patient HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n");
    server.wait_for("gave up", 1);
    conn.send("0123456789");
    assert_eq!(conn.reply().unwrap().text(), "0123456789");
    server.stop();
}

#[test]
fn a_streaming_application_waits_for_a_slow_client() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /flood HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("flooded ", 1);
    let log = server.log();
    let sent = log.split("flooded ").nth(1).unwrap().lines().next().unwrap();
    assert!(sent.parse::<u32>().unwrap() < 500, "{sent} pieces of 64 KB were taken");
    drop(conn);
    server.stop();
}

#[test]
fn mistakes_are_error_responses_and_logged() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.get("/raise").status, 500);
    server.wait_for("raised in RSGI on purpose", 1);
    assert_eq!(conn.get("/nothing").status, 500);
    server.wait_for("the RSGI application returned before it sent a response", 1);
    let expected = "ValueError ValueError ValueError TypeError ValueError RuntimeError TypeError";
    assert_eq!(conn.get("/bad").text(), expected);
    conn.send("GET /raise_midway HTTP/1.1\r\nhost: t\r\n\r\n");
    let begun = String::from_utf8(conn.to_end().unwrap()).unwrap();
    assert!(begun.ends_with("the beginning\r\n"), "{begun}");
    server.wait_for("raised midway on purpose", 1);
    let mut conn = server.connect();
    conn.send("GET /short HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(conn.to_end().unwrap().len() < 200);
    server.wait_for("is shorter than its Content-Length", 1);
    // A stop would wait for the client's end of a connection that broke.
    drop(conn);
    assert_eq!(server.connect().get("/str").status, 201);
    server.stop();
}

#[test]
fn disconnects_reach_the_application_and_half_closed_clients_get_their_response() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /watch HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("watching", 1);
    conn.finish();
    server.wait_for("the client left", 1);
    assert_eq!(conn.reply().unwrap().status, 200);
    let mut conn = server.connect();
    conn.send("GET /watch_stream HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(String::from_utf8(conn.exactly(20).unwrap()).unwrap().starts_with("HTTP/1.1 200"));
    let left = Instant::now();
    drop(conn);
    server.wait_for("sending raised ProtocolClosed", 1);
    assert!(left.elapsed() < LIMIT);
    server.stop();
}

#[test]
fn streams_learn_of_a_drain() {
    for (path, graceful_timeout) in [("/watch_events", 600), ("/watch_stream", 10)] {
        let mut server = builder().option("graceful-timeout", graceful_timeout).start();
        let mut conn = server.connect();
        conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        assert!(!conn.exactly(20).unwrap().is_empty());
        server.signal(Signal::SIGTERM);
        server.wait_for("the stream ends", 1);
        drop(conn);
        assert!(server.wait_exit().success());
    }
}

#[test]
fn a_stream_whose_request_still_arrives_learns_of_a_drain_after_it() {
    let mut server = builder().option("graceful-timeout", 600).option("log-level", "debug").start();
    let mut conn = server.connect();
    conn.send("POST /watch_events?read HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    assert!(!conn.exactly(20).unwrap().is_empty());
    server.signal(Signal::SIGTERM);
    // By then a stream of events without a body has ended.
    server.wait_for("idle connections are closed", 1);
    assert!(!server.log().contains("the stream ends"), "{}", server.log());
    conn.send("rest");
    server.wait_for("read halfrest", 1);
    server.wait_for("the stream ends", 1);
    drop(conn);
    assert!(server.wait_exit().success());
}

#[test]
fn a_stream_to_a_client_that_is_gone_is_begun_in_silence() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /late_stream HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("waits for the end of its client", 1);
    let stream = conn.into_stream();
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    drop(stream);
    server.wait_for("sending late raised ProtocolClosed", 1);
    assert!(!server.log().contains("Traceback"), "{}", server.log());
    server.stop();
}

#[test]
fn websockets_are_accepted_refused_and_closed() {
    let server = serve();
    let mut socket = connect(&server, "/ws_echo");
    for message in [Message::text("Grüße"), Message::binary(vec![1, 2, 3]), Message::text("")] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
    server.wait_for("the socket closed", 1);
    server.wait_for("sending to it raised ProtocolClosed", 1);
    assert!(try_connect(&server, "/ws_reject", None).unwrap_err().contains("403"));
    assert!(try_connect(&server, "/ws_reject?401", None).unwrap_err().contains("401"));
    assert_eq!(close_of(&mut connect(&server, "/ws_close")).0, 4002);
    assert_eq!(close_of(&mut connect(&server, "/ws_raise")).0, 1011);
    server.wait_for("raised in an RSGI socket on purpose", 1);
    // Plain requests go to the same application.
    assert_eq!(server.connect().get("/str").status, 201);
    server.stop();
}

#[test]
fn init_and_del_are_called_around_the_service() {
    let mut server = serve();
    server.wait_for("initialised", 1);
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit().success());
    assert!(server.log().contains("deleted what was made"), "{}", server.log());
    let (code, log) = Server::app("rsgi_app:fails").option("interface", "rsgi").fail();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("`__rsgi_init__` failed") && log.contains("cannot start on purpose"), "{log}");
}

#[test]
fn the_interface_is_detected() {
    let server = Server::app("odd:rsgi").start();
    assert_eq!(server.connect().get("/").text(), "RSGI");
    server.wait_for("interface=\"rsgi\"", 1);
    server.stop();
    let server = Server::app("rsgi_app:plain").option("interface", "rsgi").arg("--warmup=/").start();
    assert_eq!(server.connect().get("/").status, 201);
    server.stop();
}
