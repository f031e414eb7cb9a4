//! Ends of connections over TLS: by close_notify, never by a reset, also when the worker is replaced; responses that are cut
//! are seen to be.

use crate::tls_support::Authority;
use hostler_testkit::Server;
use nix::sys::signal::Signal;
use std::{
    io::{ErrorKind, Read, Write},
    process::{Command, Stdio},
};

#[test]
fn idle_connections_of_a_replaced_worker_are_answered_once_more_and_closed() {
    let authority = Authority::new("tls-idle");
    let server = authority.server().serve(Server::app("supervised:app").option("workers", 1)).start();
    let client = authority.client();
    let (mut active, mut leaves) = (client.connect(&server), client.connect(&server));
    let before = active.get("/pid");
    assert_eq!(leaves.get("/pid"), before);
    server.signal(Signal::SIGHUP);
    server.wait_for("worker draining", 1);
    active.send("GET /pid HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let (head, body) = active.reply().unwrap();
    assert_eq!(body, before, "no other worker has its keys");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(active.read_until_close_notify(), b"");
    // A client that closes lets the worker go.
    leaves.stream.conn.send_close_notify();
    drop(leaves);
    server.wait_for("worker exited", 1);
    assert_ne!(client.get(&server, "/pid"), before);
    server.stop();
}

#[test]
fn connections_that_rest_are_closed_by_close_notify_before_the_grace_period_is_over() {
    let authority = Authority::new("tls-rest");
    let server = authority
        .server()
        .serve(Server::app("supervised:app").option("workers", 1).option("graceful-timeout", "2s"))
        .start();
    let mut resting: Vec<_> = (0..20).map(|_| authority.client().connect(&server)).collect();
    // Some have been idle from their beginning.
    resting.iter_mut().skip(5).for_each(|connection| assert!(!connection.get("/pid").is_empty()));
    server.signal(Signal::SIGHUP);
    for mut connection in resting {
        assert_eq!(connection.read_until_close_notify(), b"");
    }
    server.wait_for("worker exited", 1);
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
    server.stop();
}

#[test]
fn a_stop_closes_by_close_notify() {
    let authority = Authority::new("tls-stopped");
    let server = authority.server().start("supervised:app");
    let mut idle = authority.client().connect(&server);
    assert!(!idle.get("/pid").is_empty());
    server.stop();
    assert_eq!(idle.read_until_close_notify(), b"");
}

#[test]
fn requests_that_hyper_never_sees_are_refused_over_tls() {
    let authority = Authority::new("tls-refused");
    let server = authority
        .server()
        .serve(Server::app("asgi_app:app").option("http1-header-read-timeout", 1000))
        .start();
    let long = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "x".repeat(70_000));
    let large = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "x".repeat(500_000));
    for (request, status) in [(long.as_str(), 414), (&large, 431), ("GET / HTT", 408)] {
        let mut connection = authority.client().connect(&server);
        // The server need not read all of it.
        let _ = connection.stream.write_all(request.as_bytes());
        let _ = connection.stream.flush();
        let (head, body) = connection.reply().unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!body.is_empty());
        assert_eq!(connection.read_until_close_notify(), b"");
    }
    server.stop();
}

#[test]
fn attempts_to_renegotiate_are_refused_at_once() {
    let authority = Authority::new("tls-renegotiate");
    let server = authority.server().start("asgi_app:app");
    let target = server.address.unwrap().to_string();
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &target, "-tls1_2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    // A line with only this renegotiates. The client ends when it is refused, or, were it not, with the idle connection.
    input.write_all(b"R\n").unwrap();
    server.wait_until("the client ends", || client.try_wait().unwrap().is_some());
    let said = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("no renegotiation"), "{said}");
    drop(input);
    server.stop();
}

#[test]
fn a_response_that_is_cut_does_not_end_like_a_whole_one() {
    let authority = Authority::new("tls-cut");
    let server = authority.server().start("asgi_app:app");
    let mut connection = authority.client().connect(&server);
    // HTTP/1.0: the end of the connection would be the end of the body.
    connection.send("GET /raise_late HTTP/1.0\r\n\r\n");
    let mut all = Vec::new();
    let ended = connection.stream.read_to_end(&mut all);
    let error = ended.expect_err("the response is not complete");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
    server.stop();
}

#[test]
fn clients_that_close_without_close_notify_or_in_a_request_harm_nothing() {
    let authority = Authority::new("tls-rude");
    let server = authority.server().serve(Server::app("asgi_app:app").option("workers", 1)).start();
    let client = authority.client();
    for request in
        ["", "GET /pid HTTP/1.1\r\nho", "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nab"]
    {
        for close_notify in [true, false] {
            let mut rude = client.connect(&server);
            rude.send(request);
            if close_notify {
                rude.stream.conn.send_close_notify();
                let _ = rude.stream.conn.write_tls(&mut rude.stream.sock);
            }
        }
    }
    // The worker notices that the client of this request is gone.
    let mut leaves = client.connect(&server);
    leaves.send("GET /disconnect HTTP/1.1\r\nhost: t\r\n\r\n");
    drop(leaves);
    server.wait_until("noticed", || client.get(&server, "/seen").contains("disconnect"));
    server.stop();
}

#[test]
fn large_bodies_pass_both_ways_and_a_client_that_does_not_read_is_given_up() {
    let authority = Authority::new("tls-large");
    let server = authority
        .server()
        .serve(Server::app("asgi_app:app").option("write-timeout", "1s").option("log-level", "debug"))
        .start();
    let client = authority.client();
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| b'a' + (number % 23) as u8).collect();
    let mut connection = client.connect(&server);
    connection.send(format!("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len()));
    connection.send(&body);
    assert!(connection.reply().unwrap().1.as_bytes() == body);
    let mut stuck = client.connect(&server);
    stuck.send(format!("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len()));
    stuck.send(&body);
    server.wait_for("the client does not read its response", 1);
    // What is under way arrives, then the connection is seen to be cut.
    let mut all = Vec::new();
    let error = stuck.stream.read_to_end(&mut all).expect_err("the response is not complete");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
    server.stop();
}

/// A refusal of a head that hyper has not parsed goes past hyper, and has to be encrypted all the same.
#[test]
fn refusals_of_heads_are_encrypted() {
    let authority = Authority::new("tls-refusals");
    let server = authority
        .server()
        .serve(Server::app("supervised:app").option("workers", 1).option("http1-header-read-timeout", 500))
        .start();
    let client = authority.client();
    let head = "GET / HTTP/1.1\r\nhost: localhost\r\nx: ";
    for (sent, status) in [
        (format!("GET /{}", "a".repeat(40_000)), "414"),
        (format!("{head}{}", "v".repeat(70_000)), "431"),
        (head.to_owned(), "408"),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), "505"),
    ] {
        let mut tls = client.tls12().connect(&server);
        tls.send(&sent);
        let (reply, _) = tls.reply().unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert_eq!(tls.read_until_close_notify(), b"");
        let mut after = client.connect(&server);
        after.get("/pid");
        after.send(&sent);
        assert!(after.reply().unwrap().0.starts_with(&format!("HTTP/1.1 {status} ")));
    }
    server.stop();
}
