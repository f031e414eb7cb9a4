//! WSGI applications that misbehave, and what PEP 3333 says about pieces, heads and ends.

use hostler_testkit::{Builder, Conn, Server};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn with_threads(threads: u16) -> Builder {
    Server::app("wsgi_adverse:app").option("workers", 1).option("blocking-threads", threads)
}

fn both(test: impl Fn(&Server)) {
    for threads in [1, 4] {
        let server = with_threads(threads).start();
        test(&server);
        server.stop();
    }
}

/// A file that tells an application to go on.
struct Go(TempDir);

impl Go {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("go")
    }

    fn now(&self) {
        fs::write(self.path(), "").unwrap();
    }
}

fn send_get(conn: &mut Conn, path: &str) {
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
}

/// What comes until the connection ends.
fn all_of(server: &Server, path: &str) -> String {
    let mut conn = server.connect();
    send_get(&mut conn, path);
    String::from_utf8(conn.to_end().unwrap()).unwrap()
}

/// Reads until `text` has come.
fn read_until(conn: &mut Conn, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).ends_with(text) {
        seen.extend(conn.exactly(1).expect("it comes"));
    }
}

fn wait_until(server: &Server, what: &str, value: &str) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let found = server.connect().get(&format!("/state?{what}")).text();
        if found == value {
            return;
        }
        assert!(Instant::now() < limit, "{what} is {found}, not {value}");
    }
}

#[test]
fn a_piece_is_on_its_way_before_the_next_is_asked_for() {
    both(|server| {
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
    both(|server| {
        // In place the first answer of this kind takes another way than those after it.
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
    both(|server| {
        assert_eq!(server.connect().get("/write").text(), "written");
        let mut conn = server.connect();
        send_get(&mut conn, "/write_until_flag");
        read_until(&mut conn, ".");
        assert_eq!(server.connect().get("/flag").text(), "set");
        read_until(&mut conn, "end\r\n0\r\n\r\n");
    });
}

#[test]
fn an_application_that_hangs_beside_the_loop_is_found() {
    let server = with_threads(1).option("stall-timeout", "1s").start();
    assert_eq!(server.connect().get("/write").text(), "written");
    // On a thread from now on.
    assert!(server.connect().get("/thread").text().starts_with("hostler-wsgi-"));
    let (go, mut conn) = (Go::new(), server.connect());
    send_get(&mut conn, &format!("/hold?{}", go.path().display()));
    server.wait_for("worker hangs", 1);
    server.wait_for("worker ready", 2);
    assert_eq!(server.connect().get("/flag").text(), "set");
}

#[test]
fn written_answers_are_framed_as_all_others() {
    for threads in [1, 4] {
        for path in ["/write", "/write_length", "/write_raises", "/write_empty"] {
            // A worker's first answer of this kind is the one that differs.
            let server = with_threads(threads).start();
            if path == "/write_raises" {
                // What was written arrives, and does not look whole.
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
            server.stop();
        }
    }
}

#[test]
fn the_end_of_a_body_whose_length_is_known_is_not_waited_for() {
    both(|server| {
        for path in ["last_waits", "close_waits"] {
            let go = Go::new();
            let mut conn = server.connect();
            send_get(&mut conn, &format!("/{path}?{}", go.path().display()));
            read_until(&mut conn, "\r\n\r\nall");
            go.now();
        }
    });
}

#[test]
fn others_are_served_between_pieces() {
    both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/until_flag?full");
        read_until(&mut conn, ".");
        assert_eq!(server.connect().get("/flag").text(), "set");
        read_until(&mut conn, "end\r\n0\r\n\r\n");
    });
}

#[test]
fn others_are_served_between_empty_pieces() {
    both(|server| {
        let (mut conn, mut other) = (server.connect(), server.connect());
        send_get(&mut conn, "/until_flag?empty");
        let limit = Instant::now() + Duration::from_secs(20);
        // Nothing tells when the stream has begun, which takes the flag back.
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
        let server = with_threads(threads).option("stall-timeout", "1s").start();
        let reply = server.connect().get("/slowly?25");
        assert_eq!(reply.text().lines().count(), 25);
        assert_eq!(server.workers().len(), 1, "the worker was replaced");
        server.stop();
    }
}

#[test]
fn a_client_that_leaves_ends_the_stream() {
    both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/endless");
        read_until(&mut conn, "xxx");
        drop(conn);
        wait_until(server, "closed", "1");
    });
}

#[test]
fn a_million_small_pieces_are_no_million_waits() {
    both(|server| {
        let begun = Instant::now();
        let reply = server.connect().get("/many?200000");
        assert_eq!(reply.body.len(), 2_000_000);
        assert!(reply.body.chunks(10).all(|piece| piece == b"0123456789"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn one_large_piece_is_sent_whole() {
    both(|server| {
        let reply = server.connect().get("/large?100000000");
        assert_eq!(reply.body.len(), 100_000_000);
        assert!(reply.body.iter().all(|byte| *byte == b'x'));
        wait_until(server, "closed", "1");
    });
}

#[test]
fn the_reason_phrase_is_the_applications() {
    both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/reason");
        read_until(&mut conn, "\r\n");
        let mut conn = server.connect();
        send_get(&mut conn, "/reason");
        assert_eq!(conn.exactly(26).unwrap(), b"HTTP/1.1 299 Fine Thanks\r\n");
        let reply = server.connect().get("/bad_reason");
        assert_eq!((reply.status, reply.header("x-evil")), (500, None));
        server.wait_for("the reason phrase", 1);
    });
}

#[test]
fn exc_info_replaces_the_head_before_it_is_sent_and_raises_after() {
    both(|server| {
        let reply = server.connect().get("/exc_info_before");
        assert_eq!((reply.status, reply.text().as_str()), (503, "replaced"));
        assert_eq!((reply.header("x-first"), reply.header("x-second")), (None, Some("yes")));
        let mut conn = server.connect();
        send_get(&mut conn, "/exc_info_after");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("KeyError: 'told once more'", 1);
        wait_until(server, "closed", "1");
        let mut conn = server.connect();
        send_get(&mut conn, "/exc_info_after_write");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("KeyError: 'told after write'", 1);
    });
}

#[test]
fn a_declared_length_is_kept_or_the_answer_visibly_breaks() {
    both(|server| {
        for path in ["/too_short", "/too_long"] {
            let mut conn = server.connect();
            send_get(&mut conn, path);
            assert!(conn.reply().is_err(), "{path} looked whole");
        }
        server.wait_for("Content-Length says 10", 1);
        server.wait_for("Content-Length says 3", 1);
        wait_until(server, "closed", "2");
        let mut conn = server.connect();
        send_get(&mut conn, "/written_too_long");
        assert!(conn.reply().is_err(), "too long an answer looked whole");
        server.wait_for("Content-Length says 3", 2);
    });
}

#[test]
fn an_end_that_fails_is_told_and_the_worker_lives() {
    both(|server| {
        // Its body was complete by then.
        assert_eq!(server.connect().get("/close_raises").text(), "onetwo");
        server.wait_for("close() raised on purpose", 1);
        for path in ["/raise_late", "/sys_exit_late"] {
            assert!(all_of(server, path).ends_with("3\r\none\r\n"), "{path}");
        }
        assert_eq!(server.connect().get("/sys_exit").status, 500);
        wait_until(server, "closed", "3");
        assert_eq!(server.workers().len(), 1);
    });
}

#[test]
fn a_worker_that_exits_in_a_request_is_replaced() {
    both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/os_exit");
        assert!(conn.is_closed(), "something was answered");
        server.wait_for("worker ready", 2);
        assert_eq!(server.connect().get("/flag").text(), "set");
    });
}

#[test]
fn head_asks_an_iterable_for_its_first_piece_only() {
    both(|server| {
        let mut conn = server.connect();
        let reply = conn.request("HEAD", "/infinite", "", b"");
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(conn.get("/flag").text(), "set");
        wait_until(server, "closed", "1");
    });
}

#[test]
fn a_file_wrapper_sends_what_its_object_reads() {
    let file = tempfile::NamedTempFile::new().unwrap();
    both(|server| {
        fs::write(file.path(), "first line\nsecond line\n").unwrap();
        let path = file.path().display();
        let content = "content of a file\n".repeat(5000);
        let mut conn = server.connect();
        assert_eq!(conn.get("/gzip").text(), content);
        assert_eq!(conn.get("/zip").text(), content);
        for path in [format!("/overridden?{path}"), format!("/replaced?{path}")] {
            assert_eq!(conn.get(&path).text(), "FIRST LINE\nSECOND LINE\n", "{path}");
        }
        let ahead = conn.get(&format!("/read_ahead?{path}"));
        assert_eq!((ahead.text().as_str(), ahead.header("content-length")), ("second line\n", Some("12")));
        let written = conn.get(&format!("/written_file?{path}"));
        assert_eq!(written.text(), "first line\nsecond line\nand more");
        // The kernel tells no length of such a file.
        assert!(conn.get("/file?/proc/self/status").text().starts_with("Name:"));
        assert_eq!(conn.get("/file?/dev/null").body.len(), 0);
    });
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_sent_is_told() {
    both(|server| {
        let go = Go::new();
        let mut conn = server.connect();
        send_get(&mut conn, &format!("/shrinking?{}", go.path().display()));
        conn.exactly(1).unwrap();
        go.now();
        assert!(conn.to_end().map_or(0, |rest| rest.len()) < 50_000_000);
        server.wait_for("a file became shorter while it was sent: the answer breaks off", 1);
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    both(|server| {
        let go = Go::new();
        let mut conn = server.connect();
        let hold = format!("GET /hold?{} HTTP/1.1\r\nhost: t\r\n\r\n", go.path().display());
        conn.send(format!("{hold}GET /reason HTTP/1.1\r\nhost: t\r\n\r\n"));
        go.now();
        assert_eq!(conn.reply().unwrap().text(), "held");
        assert_eq!(conn.reply().unwrap().status, 299);
    });
}
