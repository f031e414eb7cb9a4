//! HTTP/1.1 itself (RFC 9112).

use hostler_testkit::Server;

fn serve() -> Server {
    Server::app("asgi_app:app").start()
}

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
fn connections_are_kept_and_pipelined_requests_are_answered_in_order() {
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
