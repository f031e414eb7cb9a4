//! Pipelined requests: responses are whole, in order, and wait for nothing that comes later.

use super::serve;
use crate::support::{LONG, connections, get, is_pattern, reset};
use hostler_testkit::Server;
use std::{fs, io::Write, thread::sleep, time::Duration};
use tempfile::TempDir;

#[test]
fn connections_are_kept_alive_and_pipelined_requests_answered_in_order() {
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
fn pipelined_responses_are_whole_and_in_order() {
    for flush in [false, true] {
        let mut server = connections("asgi");
        if flush {
            server = server.arg("--http1-pipeline-flush");
        }
        let server = server.start();
        let mut conn = server.connect();
        conn.send([get("/bytes?n=12000000"), get("/second"), get("/bytes?n=100")].concat());
        // It reads nothing for a while.
        sleep(LONG);
        assert!(is_pattern(&conn.reply().unwrap().body));
        assert_eq!(conn.reply().unwrap().text(), "/second");
        assert_eq!(conn.reply().unwrap().body.len(), 100);
        server.stop();
    }
}

#[test]
fn two_thousand_pipelined_responses_are_read_late() {
    const COUNT: usize = 2000;
    let server = connections("asgi").start();
    let mut conn = server.connect();
    let requests: String = (0..COUNT).map(|number| get(&format!("/{number:0>5000}"))).collect();
    let mut stream = conn.clone_stream();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(requests.as_bytes()).unwrap());
        // Far longer than the server needs until both kernels are full.
        sleep(Duration::from_secs(3));
        for number in 0..COUNT {
            assert_eq!(conn.reply().unwrap().text(), format!("/{number:0>5000}"));
        }
    });
    server.stop();
}

#[test]
fn coalesced_responses_do_not_wait_for_the_rest_of_the_next_request() {
    let server =
        Server::app("connections:asgi").option("interface", "asgi").arg("--http1-pipeline-flush").start();
    for behind in ["\r\n", "GET /half HTTP/1.1\r\nho"] {
        let mut conn = server.connect();
        conn.send(format!("GET /a HTTP/1.1\r\nhost: t\r\n\r\n{behind}"));
        assert_eq!(conn.reply().unwrap().text(), "/a", "{behind:?}");
    }
    server.stop();
}

/// With applications that block the loop.
fn each_blocking(test: impl Fn(&str, Server) + Sync) {
    std::thread::scope(|scope| {
        for interface in ["asgi", "wsgi", "rsgi"] {
            let test = &test;
            scope.spawn(move || test(interface, connections(interface).option("workers", 1).start()));
        }
    });
}

/// Files for which requests wait inside the application.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn awaiting(&self, number: usize) -> String {
        get(&format!("/await?file={}/{number}", self.0.path().display()))
    }

    fn create(&self, number: usize) {
        fs::write(self.0.path().join(number.to_string()), "").unwrap();
    }
}

#[test]
fn a_response_is_sent_before_the_next_slow_request_begins() {
    each_blocking(|interface, server| {
        let files = Files::new();
        let mut conn = server.connect();
        conn.send((0..6).map(|number| files.awaiting(number)).collect::<String>());
        for number in 0..6 {
            files.create(number);
            assert_eq!(conn.reply().unwrap().text(), "found", "{interface} {number}");
        }
        server.stop();
    });
}

#[test]
fn a_long_pipeline_of_slow_requests_is_no_stall() {
    std::thread::scope(|scope| {
        for interface in ["asgi", "wsgi", "rsgi"] {
            scope.spawn(move || {
                let server = connections(interface).option("workers", 1).option("stall-timeout", 2).start();
                let mut conn = server.connect();
                conn.send(get("/block?s=0.3").repeat(15));
                for number in 0..15 {
                    assert_eq!(conn.reply().unwrap().text(), "/block", "{interface} {number}");
                }
                assert!(!server.log().contains("worker is stuck"), "{}", server.log());
                server.stop();
            });
        }
    });
}

#[test]
fn others_are_served_between_slow_pipelined_requests() {
    each_blocking(|interface, server| {
        let files = Files::new();
        let (mut conn, mut other) = (server.connect(), server.connect());
        assert_eq!(other.get("/other").text(), "/other");
        let slow = get("/block?s=0.02").repeat(4);
        conn.send([files.awaiting(0), slow, files.awaiting(1)].concat());
        server.wait_for("awaits ", 1);
        other.send(get("/other"));
        files.create(0);
        assert_eq!(other.reply().unwrap().text(), "/other");
        files.create(1);
        for expected in ["found", "/block", "/block", "/block", "/block", "found"] {
            assert_eq!(conn.reply().unwrap().text(), expected, "{interface}");
        }
        server.stop();
    });
}

#[test]
fn requests_of_a_client_that_has_left_are_not_begun() {
    each_blocking(|interface, server| {
        let files = Files::new();
        files.create(1);
        let mut conn = server.connect();
        conn.send(files.awaiting(0) + &files.awaiting(1).repeat(20));
        server.wait_for("awaits ", 1);
        reset(conn);
        files.create(0);
        // Each of these gives the loop a turn, in which one of the requests would begin.
        let mut other = server.connect();
        for _ in 0..25 {
            assert_eq!(other.get("/other").text(), "/other");
        }
        assert_eq!(server.log().matches("awaits ").count(), 1, "{interface}:\n{}", server.log());
        server.stop();
    });
}

#[test]
fn a_client_that_half_closes_after_its_pipeline_gets_every_response() {
    each_blocking(|interface, server| {
        let mut conn = server.connect();
        conn.send(get("/block?s=0.1").repeat(5));
        conn.finish();
        for number in 0..5 {
            assert_eq!(conn.reply().unwrap().text(), "/block", "{interface} {number}");
        }
        assert!(conn.is_closed());
        server.stop();
    });
}
