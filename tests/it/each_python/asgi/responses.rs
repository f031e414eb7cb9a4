//! What an ASGI application sends: streams, files, hints, trailers.

use super::serve;
use hostler_testkit::{Server, wait_until};
use serde_json::Value;

#[test]
fn a_streamed_response_arrives_whole() {
    let server = serve();
    let reply = server.connect().get("/stream");
    assert_eq!(reply.header("x-kind"), Some("stream"));
    assert_eq!(reply.text().lines().count(), 10);
}

#[test]
fn an_application_that_sends_faster_than_the_client_reads_is_suspended() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut slow = server.connect();
    slow.send("GET /flood HTTP/1.1\r\nhost: t\r\n\r\n");
    slow.exactly(1000).unwrap();
    let sent = || {
        let seen: Value = serde_json::from_slice(&server.connect().get("/seen").body).unwrap();
        seen["sent"].as_u64().unwrap()
    };
    // Suspended: two looks in a row see the same, far from all.
    wait_until("suspended", || sent() == sent());
    assert!(sent() < 50_000_000, "{} bytes were taken from the application", sent());
    let reply = slow.to_end_of_flood();
    assert!(reply > 100_000_000, "{reply}");
}

trait Flood {
    fn to_end_of_flood(self) -> usize;
}

impl Flood for hostler_testkit::Conn {
    /// Reads the rest of 1600 chunks of 64 KiB and their framing.
    fn to_end_of_flood(mut self) -> usize {
        let mut read = 0;
        loop {
            let block = self.exactly(16_384);
            match block {
                Ok(block) => {
                    read += block.len();
                    if read > 104_000_000 {
                        return read;
                    }
                }
                Err(_) => return read,
            }
        }
    }
}

#[test]
fn a_file_is_sent_by_its_path() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    let content = std::fs::read(hostler_testkit::hostler()).unwrap();
    let path = format!("/path?{}", hostler_testkit::hostler().display());
    let reply = conn.get(&path);
    assert_eq!(reply.header("content-length"), Some(content.len().to_string().as_str()));
    assert!(reply.body == content);
    let head = conn.request("HEAD", &path, "", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), reply.header("content-length"));
    assert_eq!(conn.get("/path?/nowhere").text(), "FileNotFoundError");
    assert_eq!(conn.get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_pipe_that_is_sent_as_a_file_is_an_error_and_blocks_nothing() {
    let directory = tempfile::TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = Server::app("asgi_app:app").env("SOME_FIFO", fifo.to_str().unwrap()).start();
    assert_eq!(server.connect().get("/fifo").status, 500);
    server.wait_for("it is no regular file", 1);
    server.stop();
}

#[test]
fn a_response_without_content_has_no_length() {
    for (server, path) in [(serve(), "/nocontent"), (Server::app("wsgi_app:app").start(), "/nocontent")] {
        for method in ["GET", "HEAD"] {
            let reply = server.connect().request(method, path, "", b"");
            assert_eq!((reply.status, reply.header("content-length")), (204, None), "{method}");
        }
        server.stop();
    }
}

#[test]
fn early_hints_precede_the_response_and_never_interrupt_it() {
    let server = serve();
    let mut conn = server.connect();
    let first = conn.get("/hints");
    assert_eq!((first.status, first.header("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(first.headers[1].1, "</b.js>; rel=preload");
    assert_eq!(conn.reply().unwrap().header("link"), Some("</c.png>; rel=preload"));
    assert_eq!(conn.reply().unwrap().text(), "hinted");
    // HTTP/1.0 has no interim responses.
    conn.send("GET /hints HTTP/1.0\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "hinted");
    // Pipelining clients get responses in order, with hints or without.
    let mut conn = server.connect();
    conn.send("GET /pid HTTP/1.1\r\nhost: t\r\n\r\nGET /hints HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 200);
    let mut reply = conn.reply().unwrap();
    while reply.status == 103 {
        reply = conn.reply().unwrap();
    }
    assert_eq!(reply.text(), "hinted");
    server.stop();
}

#[test]
fn trailers_follow_the_body_for_clients_that_accept_them() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /trailers HTTP/1.1\r\nhost: t\r\nte: trailers\r\nconnection: close\r\n\r\n");
    let reply = String::from_utf8(conn.to_end().unwrap()).unwrap();
    assert!(reply.ends_with("4\r\nbody\r\n0\r\nx-checksum: abc\r\nx-more: def\r\n\r\n"), "{reply}");
    assert_eq!(server.connect().get("/trailers").text(), "body");
    let mut conn = server.connect();
    conn.send("GET /notrailers HTTP/1.1\r\nhost: t\r\n\r\n");
    let reply = String::from_utf8(conn.to_end().unwrap()).unwrap();
    assert!(!reply.ends_with("0\r\n\r\n"), "{reply}");
    server.wait_for("returned before it sent its trailers", 1);
    drop(conn);
    server.stop();
}
