//! Limits of connections and requests: their size, their number, their time.

use crate::support::{LONG, get};
use hostler_testkit::{Builder, Conn, Server, wait_until};
use std::{io::Write, thread::sleep};

fn limited(interface: &str) -> Builder {
    Server::app(&format!("limits_app:{interface}")).option("interface", interface).option("workers", 1)
}

const INTERFACES: [&str; 3] = ["asgi", "wsgi", "rsgi"];

#[test]
fn an_idle_connection_lives_as_long_as_keep_alive_says_whatever_the_header_timeout() {
    let server =
        limited("asgi").option("keep-alive", "500ms").option("http1-header-read-timeout", 60_000).start();
    let (mut fresh, mut used) = (server.connect(), server.connect());
    assert_eq!(used.get("/").status, 200);
    assert!(fresh.to_end().is_ok_and(|rest| rest.is_empty()));
    assert!(used.to_end().is_ok_and(|rest| rest.is_empty()));
    server.stop();

    let server = limited("asgi").option("keep-alive", "2h").option("http1-header-read-timeout", 300).start();
    let (mut fresh, mut used) = (server.connect(), server.connect());
    assert_eq!(used.get("/").status, 200);
    // Longer than the header timeout. The test is that nothing happens.
    sleep(LONG);
    assert_eq!((fresh.get("/").status, used.get("/").status), (200, 200));
    server.stop();
}

#[test]
fn without_time_to_be_idle_a_connection_ends_with_its_response() {
    let server = limited("asgi").option("keep-alive", 0).start();
    let mut conn = server.connect();
    // Its first request may take as long as a head. The test is that nothing happens.
    sleep(LONG);
    let reply = conn.get("/");
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(conn.is_closed());
    server.stop();
}

/// In one packet, that is, before hyper has anything of it: on a new connection and after another request.
#[test]
fn a_head_that_is_too_large_at_once_is_refused_and_not_only_closed() {
    let server =
        limited("asgi").option("limit-request-line", 100).option("limit-request-field-size", 200).start();
    let line = get(&"a".repeat(300));
    let field = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "v".repeat(300));
    for (head, status) in [(&line, 414), (&field, 431)] {
        for cut in [head.len(), 250] {
            let mut fresh = server.connect();
            fresh.send(&head[..cut]);
            assert_eq!(fresh.reply().unwrap().status, status, "{cut} bytes");
            assert!(fresh.is_closed());
            let mut used = server.connect();
            assert_eq!(used.get("/").status, 200);
            used.send(&head[..cut]);
            assert_eq!(used.reply().unwrap().status, status, "{cut} bytes");
            assert!(used.is_closed());
        }
    }
    server.stop();
}

#[test]
fn a_head_that_does_not_arrive_is_answered_with_408() {
    let server = limited("asgi").option("http1-header-read-timeout", 300).start();
    let mut conn = server.connect();
    // After a request, and with bytes that come one by one.
    assert_eq!(conn.get("/").status, 200);
    let mut stream = conn.clone_stream();
    for byte in b"GET / HTTP/1.1\r\nhost: t\r\nx-a" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        sleep(LONG / 16);
    }
    assert_eq!(conn.reply().unwrap().status, 408);
    assert!(conn.is_closed());
    server.wait_for("option=\"--http1-header-read-timeout\"", 1);
    server.stop();
}

#[test]
fn a_request_line_and_headers_that_are_too_large_are_refused_and_the_log_names_the_option() {
    let server = limited("asgi")
        .option("limit-request-line", 100)
        .option("limit-request-field_size", 200)
        .option("limit-request-fields", 5)
        .start();
    let status = |line: usize, field: usize, fields: usize| {
        let target = "a".repeat(line - "GET / HTTP/1.1".len());
        let value = "v".repeat(field - "x: ".len());
        let more = "y: z\r\n".repeat(fields - 2);
        let mut conn = server.connect();
        conn.send(format!("GET /{target} HTTP/1.1\r\nhost: t\r\nx: {value}\r\n{more}\r\n"));
        conn.reply().unwrap().status
    };
    assert_eq!(status(100, 200, 5), 200);
    for (line, field, fields, refused, option) in [
        (101, 200, 5, 414, "option=\"--limit-request-line\""),
        (100, 201, 5, 431, "option=\"--limit-request-field-size\""),
        (100, 200, 6, 431, "option=\"--http1-max-headers\""),
    ] {
        assert_eq!(status(line, field, fields), refused);
        server.wait_for(option, 1);
        assert_eq!(status(line, field, fields), refused);
    }
    // The log tells of each kind, and not of each request.
    assert_eq!(server.log().matches("request refused: it exceeds a limit").count(), 3, "{}", server.log());
    server.stop();
}

#[test]
fn a_refusal_reaches_a_client_that_still_sends() {
    for interface in INTERFACES {
        let server = limited(interface).option("limit-request-body", "10").start();
        let mut large = server.connect();
        large.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
        let _ = large.clone_stream().write_all(&vec![b'x'; 3_000_000]);
        assert_eq!(large.reply().unwrap().status, 413, "{interface}");
        assert!(large.to_end().is_ok_and(|rest| rest.is_empty()), "{interface}: the connection was reset");
        let mut long = server.connect();
        let _ = long.clone_stream().write_all(get(&"a".repeat(3_000_000)).as_bytes());
        assert_eq!(long.reply().unwrap().status, 414, "{interface}");
        assert!(long.to_end().is_ok_and(|rest| rest.is_empty()), "{interface}: the connection was reset");
        server.wait_for("option=\"--limit-request-body\"", 1);
        server.stop();
    }
}

#[test]
fn a_body_is_limited_by_its_length_at_once_and_in_chunks_as_they_arrive() {
    for interface in INTERFACES {
        let server = limited(interface).option("max-body-size", "10").start();
        let chunked = |chunks: &str| {
            let mut conn = server.connect();
            conn.send(format!(
                "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
            ));
            let reply = conn.reply().unwrap();
            (reply.status, reply.text())
        };
        assert_eq!(
            server.connect().request("POST", "/read", "", b"0123456789").text(),
            "0123456789",
            "{interface}"
        );
        assert_eq!(
            chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
            (200, "0123456789".into()),
            "{interface}"
        );
        // All at once, or when the application waits for it; the rest never comes.
        assert_eq!(chunked("5\r\n01234\r\n6\r\n5").0, 413, "{interface}");
        let mut told = server.connect();
        let head =
            "POST /read HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
        told.send(head);
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(told.exactly(go_on.len()).unwrap(), go_on.as_bytes(), "{interface}");
        told.send("5\r\n01234\r\n6\r\n5");
        assert_eq!(told.reply().unwrap().status, 413, "{interface}");
        assert!(told.is_closed());
        server.wait_for(
            match interface {
                "asgi" => "told of a disconnect",
                "wsgi" => "told of the request's body is incomplete",
                _ => "told of ",
            },
            1,
        );
        let mut expects = server.connect();
        expects.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n");
        let told = String::from_utf8(expects.to_end().unwrap()).unwrap();
        assert!(told.starts_with("HTTP/1.1 413 "), "{interface}: {told}");
        server.stop();
    }
}

#[test]
fn beyond_its_number_of_connections_a_worker_accepts_none() {
    let server = limited("asgi").option("backpressure", 2).start();
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    let mut third = server.connect();
    third.send(get("/"));
    server.wait_for("none is accepted for now", 1);
    assert!(!third.is_readable());
    // Those that are open are served, and the next is accepted when one of them ends.
    assert_eq!(first.get("/").status, 200);
    drop(second);
    assert_eq!(third.reply().unwrap().status, 200);
    server.stop();
}

/// A request that holds the only slot until another one releases it.
fn holding(server: &Server) -> Conn {
    let mut conn = server.connect();
    conn.send(get("/hold"));
    server.wait_for("holds", 1);
    conn
}

fn one_at_a_time() -> Builder {
    limited("asgi").option("limit-concurrency", 1).option("health-path", "/release")
}

#[test]
fn without_a_queue_requests_beyond_the_concurrency_get_503_and_health_checks_are_served() {
    let server = one_at_a_time().option("limit-queue", 0).start();
    let mut held = holding(&server);
    let mut refused = server.connect();
    let reply = refused.get("/");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.get("/").status, 503, "its connection goes on");
    server.wait_for("option=\"--limit-concurrency, --limit-queue\"", 1);
    assert_eq!(refused.get("/release").status, 200);
    assert_eq!(held.reply().unwrap().text(), "held");
    assert_eq!(refused.get("/").status, 200);
    server.stop();
}

/// Two clients for one place in the queue.
fn refused_and_waiting(server: &Server, request: &str) -> (Conn, Conn) {
    let mut two = [server.connect(), server.connect()];
    two.iter_mut().for_each(|conn| conn.send(request));
    wait_until("one is refused", || two.iter_mut().any(Conn::is_readable));
    let [refused, mut waits] = two;
    if waits.is_readable() { (waits, refused) } else { (refused, waits) }
}

#[test]
fn requests_wait_in_the_queue_while_there_is_room_and_idle_connections_do_not_count() {
    let server = one_at_a_time().option("limit-queue", 1).start();
    let idle: Vec<Conn> = (0..20).map(|_| server.connect()).collect();
    let mut held = holding(&server);
    let body = "POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody";
    let (mut refused, mut waits) = refused_and_waiting(&server, body);
    assert_eq!(refused.reply().unwrap().status, 503);
    assert!(!waits.is_readable());
    assert_eq!(server.connect().get("/release").status, 200);
    assert_eq!(held.reply().unwrap().text(), "held");
    assert_eq!(waits.reply().unwrap().text(), "body");
    drop(idle);
    server.stop();
}

#[test]
fn requests_that_wait_for_a_blocked_loop_for_too_long_are_not_begun() {
    let server = Server::app("limits_app:asgi")
        .option("workers", 1)
        .option("limit-concurrency", 8)
        .option("queue-timeout", "500ms");
    let server = server.option("health-path", "/read").start();
    let mut blocker = server.connect();
    let (mut waits, mut health) = (server.connect(), server.connect());
    // Both are known to the worker before its loop is blocked.
    assert_eq!((waits.get("/").status, health.get("/read").status), (200, 200));
    blocker.send(get("/block"));
    server.wait_for("blocks", 1);
    waits.send(get("/hold"));
    health.send(get("/read"));
    assert_eq!(blocker.reply().unwrap().status, 200);
    assert_eq!(waits.reply().unwrap().status, 503);
    assert_eq!(health.reply().unwrap().status, 200);
    assert!(!server.log().contains("holds"), "the application was not called");
    assert_eq!(waits.get("/").status, 200);
    server.stop();
}

#[test]
fn a_request_waits_in_the_queue_for_so_long_and_its_client_may_leave() {
    let server = one_at_a_time().option("queue-timeout", "500ms").start();
    let mut held = holding(&server);
    assert_eq!(server.connect().get("/").status, 503);
    server.wait_for("option=\"--limit-concurrency, --queue-timeout\"", 1);
    let mut leaves = server.connect();
    leaves.send(get("/hold"));
    drop(leaves);
    assert_eq!(server.connect().get("/release").status, 200);
    assert_eq!(held.reply().unwrap().text(), "held");
    assert_eq!(server.connect().get("/").status, 200);
    server.stop();
}

/// A client that gives up closes its socket, which the server sees as the end of what it sends.
#[test]
fn a_request_whose_client_has_left_the_queue_is_never_begun_and_leaves_its_place() {
    let server = one_at_a_time().option("limit-queue", 1).option("queue-timeout", 600).start();
    let mut held = holding(&server);
    let (refused, leaves) = refused_and_waiting(&server, &get("/hold"));
    drop((refused, leaves));
    server.wait_for("the client closed its side while the request waited", 1);
    let mut half = server.connect();
    half.send(get("/hold"));
    half.clone_stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(half.reply().unwrap().status, 503);
    let mut next = server.connect();
    next.send(get("/"));
    assert_eq!(server.connect().get("/release").status, 200);
    assert_eq!((held.reply().unwrap().text().as_str(), next.reply().unwrap().status), ("held", 200));
    assert_eq!(server.log().matches("holds").count(), 1, "{}", server.log());
    server.stop();
}
