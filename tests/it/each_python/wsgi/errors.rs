//! Applications that raise, exit, or declare what is not true.

use super::{Go, adverse_app, adverse_both, all_of, both, read_until, send_get, wait_for_state};

#[test]
fn exc_info_replaces_the_head_before_it_is_sent_and_raises_after() {
    adverse_both(|server| {
        let reply = server.connect().get("/exc_info_before");
        assert_eq!((reply.status, reply.text().as_str()), (503, "replaced"));
        assert_eq!((reply.header("x-first"), reply.header("x-second")), (None, Some("yes")));
        let mut conn = server.connect();
        send_get(&mut conn, "/exc_info_after");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("KeyError: 'told once more'", 1);
        wait_for_state(server, "closed", "1");
        let mut conn = server.connect();
        send_get(&mut conn, "/exc_info_after_write");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("KeyError: 'told after write'", 1);
    });
}

#[test]
fn a_response_that_misses_its_declared_length_is_visibly_truncated() {
    adverse_both(|server| {
        for path in ["/too_short", "/too_long"] {
            let mut conn = server.connect();
            send_get(&mut conn, path);
            assert!(conn.reply().is_err(), "{path} looked whole");
        }
        server.wait_for("Content-Length says 10", 1);
        server.wait_for("Content-Length says 3", 1);
        wait_for_state(server, "closed", "2");
        let mut conn = server.connect();
        send_get(&mut conn, "/written_too_long");
        assert!(conn.reply().is_err(), "too long an answer looked whole");
        server.wait_for("Content-Length says 3", 2);
    });
}

#[test]
fn an_error_at_the_end_of_a_response_is_logged_and_the_worker_lives() {
    adverse_both(|server| {
        // Its body was complete by then.
        assert_eq!(server.connect().get("/close_raises").text(), "onetwo");
        server.wait_for("close() raised on purpose", 1);
        for path in ["/raise_late", "/sys_exit_late"] {
            assert!(all_of(server, path).ends_with("3\r\none\r\n"), "{path}");
        }
        assert_eq!(server.connect().get("/sys_exit").status, 500);
        wait_for_state(server, "closed", "3");
        assert_eq!(server.workers().len(), 1);
    });
}

#[test]
fn a_worker_that_exits_in_a_request_is_replaced() {
    adverse_both(|server| {
        let mut conn = server.connect();
        send_get(&mut conn, "/os_exit");
        assert!(conn.is_closed(), "something was answered");
        server.wait_for("worker ready", 2);
        assert_eq!(server.connect().get("/flag").text(), "set");
    });
}

#[test]
fn the_reason_phrase_is_the_applications() {
    adverse_both(|server| {
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
fn an_application_that_hangs_beside_the_loop_is_found() {
    let server = adverse_app(1).option("stall-timeout", "1s").start();
    assert_eq!(server.connect().get("/write").text(), "written");
    // On a thread from now on.
    assert!(server.connect().get("/thread").text().starts_with("hostler-wsgi-"));
    let (go, mut conn) = (Go::new(), server.connect());
    send_get(&mut conn, &format!("/hold?{}", go.path().display()));
    server.wait_for("worker is stuck", 1);
    server.wait_for("worker ready", 2);
    assert_eq!(server.connect().get("/flag").text(), "set");
}

#[test]
fn exceptions_and_invalid_responses_are_500_and_the_worker_lives() {
    both(|server| {
        // More often than there are threads.
        for path in ["/raise", "/badheader", "/toolong"].iter().chain(&["/manyheaders"; 9]) {
            let reply = server.connect().get(path);
            assert_eq!(reply.status, 500, "{path}");
            assert_eq!(reply.header("set-cookie"), None, "{path}");
        }
        server.wait_for("RuntimeError: raised on purpose", 1);
        server.wait_for("a response has 16384 headers at most", 9);
        let mut conn = server.connect();
        conn.send("GET /tooshort HTTP/1.1\r\nhost: t\r\n\r\n");
        assert!(conn.reply().is_err(), "a short body looked whole");
        assert!(server.workers().contains(&server.connect().get("/pid").text().parse().unwrap()));
    });
}
