//! Responses in pieces, yielded or written: each is on its way before the next, and others are served in between.

use super::{Go, adverse_app, adverse_both, all_of, read_until, send_get, wait_for_state};
use std::{
    cell::RefCell,
    io::ErrorKind,
    time::{Duration, Instant},
};

#[test]
fn a_piece_is_on_its_way_before_the_next_is_asked_for() {
    adverse_both(|server| {
        let go = Go::new();
        let mut conn = server.connect();
        send_get(&mut conn, &format!("/pieces_wait?{}", go.path().display()));
        read_until(&mut conn, "one\r\n");
        go.now();
        read_until(&mut conn, "two\r\n0\r\n\r\n");
        assert_eq!(conn.get("/flag").text(), "set");
    });
}

#[test]
fn a_written_piece_is_on_its_way_before_the_application_goes_on() {
    adverse_both(|server| {
        // With one thread, the first response of this kind takes another path than later ones.
        for round in 0..3 {
            let go = Go::new();
            let mut conn = server.connect();
            send_get(&mut conn, &format!("/write_wait?{}", go.path().display()));
            read_until(&mut conn, "3\r\none\r\n");
            go.now();
            read_until(&mut conn, "three\r\n0\r\n\r\n");
            assert!(round > 0 || server.workers().len() == 1);
        }
    });
}

#[test]
fn others_are_served_between_written_pieces() {
    adverse_both(|server| {
        assert_eq!(server.connect().get("/write").text(), "written");
        let mut conn = server.connect();
        send_get(&mut conn, "/write_until_flag");
        read_until(&mut conn, ".");
        assert_eq!(server.connect().get("/flag").text(), "set");
        read_until(&mut conn, "end\r\n0\r\n\r\n");
    });
}

#[test]
fn written_responses_are_framed_as_all_others() {
    for threads in [1, 4] {
        for path in ["/write", "/write_length", "/write_raises", "/write_empty"] {
            // A worker's first response of this kind takes a path of its own.
            let server = adverse_app(threads).start();
            if path == "/write_raises" {
                // What was written arrives, visibly truncated.
                assert!(all_of(&server, path).ends_with("\r\nhalf of it\r\n"), "{threads}");
            }
            let mut conn = server.connect();
            send_get(&mut conn, path);
            let reply = conn.reply();
            match path {
                "/write_raises" => assert!(reply.is_err(), "a broken answer looked whole"),
                "/write_empty" => assert_eq!(reply.unwrap().text(), "rest"),
                _ => {
                    let reply = reply.unwrap();
                    assert_eq!(reply.text(), "written");
                    assert!(reply.header("date").is_some());
                    assert_eq!(reply.header("x-own"), Some("yes"));
                }
            }
            let reply = server.connect().request("HEAD", path, "", b"");
            assert_eq!((reply.status, reply.body.len()), (200, 0));
            let mut old = server.connect();
            old.send("GET /write HTTP/1.0\r\n\r\n");
            assert_eq!(old.reply().unwrap().text(), "written");
            drop((conn, old));
            server.stop();
        }
    }
}

#[test]
fn what_is_written_inside_the_iterable_comes_first_and_under_one_head() {
    for threads in [1, 4] {
        for (query, body) in [("", "written"), ("empty", "written"), ("alone", "writ")] {
            // A worker's first response of this kind takes a path of its own.
            let server = adverse_app(threads).start();
            for _ in 0..2 {
                let mut conn = server.connect();
                assert_eq!(conn.get(&format!("/write_inside?{query}")).text(), body, "{threads}");
            }
            server.stop();
        }
        let server = adverse_app(threads).start();
        for round in 1..3 {
            let all = all_of(&server, "/write_inside?raise");
            assert!(all.starts_with("HTTP/1.1 200") && all.ends_with("\r\n\r\n4\r\nwrit\r\n"), "{all}");
            server.wait_for("raised after write() in the iterable", round);
        }
        server.stop();
    }
}

#[test]
fn a_written_response_that_breaks_without_a_length_is_reset() {
    for threads in [1, 4] {
        for path in ["/write_raises", "/write_inside?raise"] {
            // A worker's first response of this kind takes a path of its own.
            let server = adverse_app(threads).start();
            for _ in 0..2 {
                let mut conn = server.connect();
                conn.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
                let end = conn.to_end();
                assert_eq!(
                    end.map_err(|error| error.kind()),
                    Err(ErrorKind::ConnectionReset),
                    "{threads} {path}: a truncated response looks whole"
                );
            }
            server.stop();
        }
    }
}

#[test]
fn a_response_with_a_length_does_not_wait_for_the_end_of_its_iterable() {
    // The application looks for the files until it finds them.
    let kept = RefCell::new(Vec::new());
    adverse_both(|server| {
        for path in ["last_waits", "close_waits"] {
            let go = Go::new();
            let mut conn = server.connect();
            send_get(&mut conn, &format!("/{path}?{}", go.path().display()));
            read_until(&mut conn, "\r\n\r\nall");
            go.now();
            kept.borrow_mut().push(go);
        }
    });
}

#[test]
fn others_are_served_between_pieces() {
    adverse_both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/until_flag?full");
        read_until(&mut conn, ".");
        assert_eq!(server.connect().get("/flag").text(), "set");
        read_until(&mut conn, "end\r\n0\r\n\r\n");
    });
}

#[test]
fn others_are_served_between_empty_pieces() {
    adverse_both(|server| {
        let (mut conn, mut other) = (server.connect(), server.connect());
        send_get(&mut conn, "/until_flag?empty");
        let limit = Instant::now() + Duration::from_secs(20);
        // No event shows that the stream has begun, which resets the flag.
        while !conn.is_readable() {
            assert_eq!(other.get("/flag").text(), "set");
            assert!(Instant::now() < limit);
        }
        assert_eq!(conn.reply().unwrap().text(), "end");
    });
}

#[test]
fn a_stream_may_last_longer_than_the_stall_timeout() {
    for threads in [1, 4] {
        let server = adverse_app(threads).option("stall-timeout", "1s").start();
        let reply = server.connect().get("/slowly?25");
        assert_eq!(reply.text().lines().count(), 25);
        assert_eq!(server.workers().len(), 1, "the worker was replaced");
        server.stop();
    }
}

#[test]
fn a_disconnect_ends_the_stream() {
    adverse_both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/endless");
        read_until(&mut conn, "xxx");
        drop(conn);
        wait_for_state(server, "closed", "1");
    });
}

#[test]
fn a_million_small_pieces_are_no_million_waits() {
    adverse_both(|server| {
        let begun = Instant::now();
        let reply = server.connect().get("/many?200000");
        assert_eq!(reply.body.len(), 2_000_000);
        assert!(reply.body.chunks(10).all(|piece| piece == b"0123456789"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn one_large_piece_is_sent_whole() {
    adverse_both(|server| {
        let reply = server.connect().get("/large?100000000");
        assert_eq!(reply.body.len(), 100_000_000);
        assert!(reply.body.iter().all(|byte| *byte == b'x'));
        wait_for_state(server, "closed", "1");
    });
}

#[test]
fn head_asks_an_iterable_for_its_first_piece_only() {
    adverse_both(|server| {
        let mut conn = server.connect();
        let reply = conn.request("HEAD", "/infinite", "", b"");
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(conn.get("/flag").text(), "set");
        wait_for_state(server, "closed", "1");
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    adverse_both(|server| {
        let go = Go::new();
        let mut conn = server.connect();
        let hold = format!("GET /hold?{} HTTP/1.1\r\nhost: t\r\n\r\n", go.path().display());
        conn.send(format!("{hold}GET /reason HTTP/1.1\r\nhost: t\r\n\r\n"));
        go.now();
        assert_eq!(conn.reply().unwrap().text(), "held");
        assert_eq!(conn.reply().unwrap().status, 299);
    });
}
