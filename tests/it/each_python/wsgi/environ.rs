//! The common case: environ, bodies, `write()`, `close()`, hints.

use super::{both, wsgi_app};
use hostler_testkit::Server;
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn the_environ_is_complete() {
    both(|server| {
        let headers = "x-twice: a\r\nx-twice: b\r\ncontent-type: text/x\r\nx_under: no\r\n";
        let reply = server.connect().request("POST", "/environ/%C3%BC?q=1", headers, b"abc");
        let environ: Value = serde_json::from_slice(&reply.body).unwrap();
        let port = server.address.unwrap().port().to_string();
        for (key, value) in [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/environ/\u{c3}\u{bc}"),
            ("QUERY_STRING", "q=1"),
            ("CONTENT_TYPE", "text/x"),
            ("CONTENT_LENGTH", "3"),
            ("SERVER_NAME", "127.0.0.1"),
            ("SERVER_PORT", &port),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_HOST", "test"),
            ("HTTP_X_TWICE", "a, b"),
            ("wsgi.url_scheme", "http"),
        ] {
            assert_eq!(environ[key], value, "{key}");
        }
        assert_eq!(environ["wsgi.multiprocess"], true);
        assert_eq!(environ.get("HTTP_X_UNDER"), None);
    });
}

#[test]
fn bodies_can_be_read_in_every_way() {
    both(|server| {
        let mut conn = server.connect();
        assert_eq!(conn.request("POST", "/echo", "", b"hello").text(), "hello");
        assert_eq!(conn.request("POST", "/lines", "", b"one\ntwo\nthree").text(), "one|2");
        let large = vec![b'x'; 3_000_000];
        assert_eq!(conn.request("POST", "/echo", "", &large).body, large);
        conn.send(
            "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        assert_eq!(conn.reply().unwrap().text(), "hello");
        assert_eq!(conn.get("/echo").text(), "");
    });
}

#[test]
fn write_and_late_start_response_work() {
    both(|server| {
        assert_eq!(server.connect().get("/write").text(), "written twice and returned");
        assert_eq!(server.connect().get("/generator").text().lines().count(), 10);
    });
}

#[test]
fn close_is_called_whatever_happened() {
    for threads in [1, 4] {
        let server = wsgi_app(threads).option("workers", 1).start();
        assert_eq!(server.connect().get("/closing").text(), "one two");
        let mut conn = server.connect();
        conn.send("GET /closing_raise HTTP/1.1\r\nhost: t\r\n\r\n");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("raised late on purpose", 1);
        let limit = Instant::now() + Duration::from_secs(10);
        while server.connect().get("/closed").text() != "2" {
            assert!(Instant::now() < limit);
        }
    }
}

#[test]
fn the_standard_librarys_validator_finds_nothing() {
    for threads in [1, 4] {
        let server = Server::app("wsgi_app:valid").option("blocking-threads", threads).start();
        let reply = server.connect().request("POST", "/", "", b"body");
        assert_eq!(reply.text(), "ok body", "{}", server.log());
    }
}

#[test]
fn early_hints_precede_the_response() {
    both(|server| {
        let mut conn = server.connect();
        let hint = conn.get("/hints");
        assert_eq!((hint.status, hint.header("link")), (103, Some("</a.css>; rel=preload")));
        assert_eq!(hint.headers.len(), 1);
        assert_eq!(conn.reply().unwrap().text(), "hinted");
    });
}
