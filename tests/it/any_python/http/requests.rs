//! Requests that are refused, and those of old and unusual clients.

use super::serve;
use crate::support::connections;
use hostler_testkit::Server;

#[test]
fn malformed_requests_get_400_and_the_connection_is_closed() {
    let server = serve();
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n",
    ] {
        let mut conn = server.connect();
        conn.send(request);
        let reply = conn.reply().unwrap();
        assert_eq!(reply.status, 400, "{request:?}");
        assert!(conn.is_closed(), "{request:?}");
    }
}

#[test]
fn ambiguous_requests_are_refused() {
    let server = connections("asgi").start();
    let answer = |request: &str| {
        let mut conn = server.connect();
        conn.send(request);
        let status = conn.reply().unwrap().status;
        (status, conn.is_closed())
    };
    let get =
        |target: &str| answer(&format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")).0;
    for target in ["example.com:80", "foo", "/a#b", "http://", "*", "?q", "ftp://a/"] {
        assert_eq!(get(target), 400, "{target}");
    }
    for target in ["/a", "http://other/a", "/%41"] {
        assert_eq!(get(target), 200, "{target}");
    }
    // Empty lines may come before a request (RFC 9112 §2.2).
    let behind = |target: &str| {
        answer(&format!("\r\n\r\nGET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")).0
    };
    assert_eq!((behind("/a"), behind("/a#b")), (200, 400));
    assert_eq!(answer("CONNECT example.com:80 HTTP/1.1\r\nhost: t\r\n\r\n"), (501, true));
    let post = |rest: &str| answer(&format!("POST /read HTTP/1.1\r\nhost: t\r\n{rest}")).0;
    for chunks in ["5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "5;a=\u{1}\r\nhello\r\n0\r\n\r\n"]
    {
        assert_eq!(post(&format!("transfer-encoding: chunked\r\n\r\n{chunks}")), 400, "{chunks:?}");
    }
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(post(&format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")), 400);
    assert_eq!(post(&format!("transfer-encoding: chunked, chunked\r\n\r\n{chunks}")), 400);
    assert_eq!(post(&format!("transfer-encoding: gzip, chunked\r\n\r\n{chunks}")), 501);
    assert_eq!(post(&format!("transfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunks}")), 200);
    server.stop();
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_header() {
    let server = connections("asgi").start();
    let mut conn = server.connect();
    conn.send("GET http://real.example:81/host HTTP/1.1\r\nhost: other\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "real.example:81");
    server.stop();
}

#[test]
fn http_10_and_head_are_served() {
    let server = serve();
    let mut old = server.connect();
    old.send("GET /pid HTTP/1.0\r\n\r\n");
    assert_eq!(old.reply().unwrap().status, 200);
    assert!(old.is_closed());
    let mut conn = server.connect();
    let reply = conn.request("HEAD", "/pid", "", b"");
    assert!(reply.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(conn.get("/pid").status, 200, "the HEAD answer had a body");
}

#[test]
fn keep_alive_can_be_turned_off() {
    let server = Server::app("asgi_app:app").arg("--no-http1-keep-alive").start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/pid").status, 200);
    assert!(conn.is_closed());
}

#[test]
fn the_number_of_headers_is_limited() {
    let asked = |server: &Server, headers: usize| {
        let many: String = (0..headers).map(|number| format!("x-{number}: 1\r\n")).collect();
        let mut conn = server.connect();
        conn.send(format!("GET /pid HTTP/1.1\r\nhost: t\r\n{many}\r\n"));
        conn.reply().unwrap().status
    };
    let server = Server::app("asgi_app:app").start();
    assert_eq!((asked(&server, 99), asked(&server, 100)), (200, 431));
    let server = Server::app("asgi_app:app").option("http1-max-headers", 200).start();
    assert_eq!((asked(&server, 199), asked(&server, 200)), (200, 431));
}
