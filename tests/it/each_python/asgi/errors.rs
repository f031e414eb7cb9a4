//! ASGI applications that raise, send what is not allowed, or never respond.

use super::serve;
use hostler_testkit::Server;

#[test]
fn an_exception_is_a_500_with_its_traceback_in_the_log_and_the_worker_lives() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/raise").status, 500);
    server.wait_for("RuntimeError: raised on purpose", 1);
    assert_eq!(conn.get("/silent").status, 500);
    assert_eq!(conn.get("/twice").status, 500);
    assert_eq!(conn.get("/pid").text(), server.workers()[0].to_string());
}

#[test]
fn an_exception_after_the_response_began_aborts_the_connection() {
    for event_loop in ["hostler", "asyncio", "uvloop"] {
        let server = Server::app("asgi_app:app").option("loop", event_loop).start();
        let mut conn = server.connect();
        conn.send("GET /raise_late HTTP/1.1\r\nhost: t\r\n\r\n");
        let sent = String::from_utf8(conn.to_end().unwrap()).unwrap();
        // What was sent before arrives, visibly truncated.
        assert!(sent.starts_with("HTTP/1.1 200") && sent.ends_with("5\r\nbegun\r\n"), "{sent}");
        server.wait_for("raised late on purpose", 1);
        // A stop would wait for the client's end of a connection that broke.
        drop(conn);
        server.stop();
    }
}

#[test]
fn headers_and_lengths_that_would_break_the_protocol_are_refused() {
    let server = serve();
    for path in ["/badheader", "/badname", "/manyheaders", "/toolong", "/tooshort"] {
        let reply = server.connect().get(path);
        assert_eq!(reply.status, 500, "{path}");
        assert_eq!(reply.header("set-cookie"), None, "{path}");
    }
    let mut conn = server.connect();
    conn.send("GET /tooshort_stream HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(conn.reply().is_err(), "a short body looked whole");
    server.wait_for("Content-Length says 10", 3);
    let mut conn = server.connect();
    conn.send("GET /manytrailers HTTP/1.1\r\nhost: t\r\nte: trailers\r\n\r\n");
    assert!(conn.reply().is_err(), "an answer without its trailers looked whole");
    server.wait_for("a response has 16384 headers at most", 2);
    assert!(!server.log().contains("a bug in hostler"), "{}", server.log());
    assert!(!server.log().contains("worker crashed"), "{}", server.log());
}

#[test]
fn wrong_events_are_refused_one_by_one_and_harm_nothing() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    let expected = "TypeError TypeError TypeError RuntimeError TypeError TypeError ValueError TypeError TypeError \
                    TypeError RuntimeError RuntimeError RuntimeError | RuntimeError TypeError TypeError";
    assert_eq!(conn.get("/mistakes").text(), expected);
    server.wait_for("after: RuntimeError RuntimeError http.disconnect", 1);
    assert_eq!(conn.get("/pid").status, 200);
    server.stop();
}

#[test]
fn applications_that_never_respond_or_ignore_cancellation_time_out() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("request-timeout", "300ms").start();
    let mut never = server.connect();
    never.send("GET /never HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(server.connect().get("/stubborn").status, 504);
    server.wait_for("stubborn: ClientDisconnected", 1);
    assert_eq!(never.reply().unwrap().status, 504);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.wait_for("request timeout: responded with 504", 2);
    server.stop();
}

#[test]
fn a_request_that_takes_too_long_is_answered_with_504_and_cancelled() {
    let server =
        Server::app("supervised:app").option("workers", 1).option("request-timeout", "500ms").start();
    let mut other = server.connect();
    other.send("GET /wait/0.3 HTTP/1.1\r\nhost: t\r\n\r\n");
    let reply = server.connect().get("/wait/60");
    assert_eq!(reply.status, 504, "{}", reply.text());
    server.wait_for("GET /wait/60", 1);
    assert_eq!(other.reply().unwrap().text(), "waited");
    assert_eq!(server.connect().get("/extended/1").text(), "extended");
    server.stop();
}
