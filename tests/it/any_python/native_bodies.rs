//! Bodies of native services that are not what their heads say, or fail: the client sees it, and both logs tell of it.

use crate::{access_file::objects, http2_client::Http2};
use hostler_testkit::{Builder, Conn, Server, directory, wait_until};
use hyper::Method;
use serde_json::Value;
use std::path::PathBuf;

const SHORT: &str = "the service's response is shorter than its Content-Length";
const LONG: &str = "the service's response is longer than its Content-Length";
const FAILED: &str = "the body of the service's response failed";
const PANICKED: &str = "the body of the service's response panicked";
/// What is wrong, and the line that says so.
const WRONG: [(&str, &str); 4] =
    [("/short", SHORT), ("/long", LONG), ("/fails", FAILED), ("/panics", PANICKED)];

fn service() -> Builder {
    Server::program(env!("CARGO_BIN_EXE_native_bodies").into()).option("workers", 1)
}

/// With an access log.
fn logging(name: &str, compresses: bool) -> (Server, PathBuf) {
    let file = directory(name).join("access");
    let builder = service().env("ACCESS_LOG", file.to_str().unwrap());
    (if compresses { builder.env("COMPRESS", "1") } else { builder }.start(), file)
}

/// The only line with this text says which request it is about.
#[track_caller]
fn told(server: &Server, what: &str, count: usize, path: &str) {
    server.wait_for(what, count);
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(what)).collect();
    assert_eq!(lines.len(), count, "{log}");
    let line = lines[count - 1];
    let named = format!("method=\"GET\" path=\"{path}\" client=\"127.0.0.1:");
    assert!(line.contains("ERROR") && line.contains(&named), "{line}");
    assert!(line.contains("request_id=\"") && !line.contains("request_id=\"\""), "{line}");
}

#[track_caller]
fn cut(line: &Value, path: &str) {
    assert_eq!((&line["path"], &line["complete"]), (&path.into(), &false.into()), "{line}");
    assert_eq!((&line["status"], &line["client_left"]), (&200.into(), &false.into()), "{line}");
}

/// A response that does not end whole: what of its head and body came until the connection was closed.
#[track_caller]
fn broken(server: &Server, path: &str, headers: &str) -> String {
    let mut conn = server.connect();
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n{headers}\r\n"));
    let received = conn.to_end().unwrap();
    let received = String::from_utf8_lossy(&received).into_owned();
    assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {received}");
    assert!(!received.ends_with("0\r\n\r\n"), "{path}: {received}");
    received
}

#[test]
fn a_body_that_is_not_as_announced_or_fails_does_not_end_whole() {
    let (server, file) = logging("native-bodies", false);
    for (done, (path, what)) in WRONG.into_iter().enumerate() {
        let received = broken(&server, path, "");
        let body = received.split_once("\r\n\r\n").unwrap().1;
        let sent = body.bytes().filter(|byte| *byte == b'x').count();
        // Nothing of a piece that is too much is sent.
        assert_eq!(sent, if path == "/long" { 3000 } else { 6000 }, "{path}");
        told(&server, what, 1, path);
        cut(&objects(&server, &file, done + 1)[done], path);
    }
    assert_eq!(server.connect().get("/right").body.len(), 6000);
    server.stop();
}

/// Of a panic nobody has left: the client gets no response, and both logs say whose fault it was.
#[test]
fn a_panic_is_told_with_its_request_and_place() {
    let (server, file) = logging("native-panics", false);
    let mut panicked = server.connect();
    panicked.send("GET /panic HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(panicked.to_end().unwrap_or_default().is_empty());
    told(&server, "the service panicked, the connection is closed", 1, "/panic");
    let client = Http2::to(&server);
    assert!(client.send(client.request(Method::GET, "/panic")).is_err_and(|error| error.is_reset()));
    told(&server, "the service panicked", 2, "/panic");
    assert_eq!(client.get("/right").body.len(), 6000, "the connection goes on");
    let log = server.log();
    assert!(log.contains("error=\"no such shelf\"") && log.contains("native_bodies.rs:"), "{log}");
    assert!(!log.contains("a bug in hostler"), "{log}");
    for line in &objects(&server, &file, 3)[..2] {
        assert_eq!((&line["status"], &line["client_left"]), (&Value::Null, &false.into()), "{line}");
    }
    server.stop();
}

#[test]
fn likewise_on_a_stream_of_http_2() {
    let (server, file) = logging("native-bodies-http2", false);
    let client = Http2::to(&server);
    for (done, (path, what)) in WRONG.into_iter().enumerate() {
        let failed = client.send(client.request(Method::GET, path)).err().unwrap();
        assert_eq!(failed.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}: {failed}");
        told(&server, what, 1, path);
        cut(&objects(&server, &file, done + 1)[done], path);
    }
    // The connection goes on.
    assert_eq!(client.get("/right").body.len(), 6000);
    drop(client);
    server.stop();
}

#[test]
fn likewise_if_it_is_compressed() {
    let (server, file) = logging("native-bodies-compressed", true);
    let mut done = 0_usize;
    for coding in ["gzip", "br", "zstd"] {
        for (path, what) in WRONG {
            let received = broken(&server, path, &format!("accept-encoding: {coding}\r\n"));
            assert!(received.contains(&format!("content-encoding: {coding}\r\n")), "{received}");
            done += 1;
            told(&server, what, done.div_ceil(WRONG.len()), path);
            cut(&objects(&server, &file, done)[done - 1], path);
        }
    }
    let client = Http2::to(&server);
    for (path, _) in WRONG {
        let mut request = client.request(Method::GET, path);
        request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        let failed = client.send(request).err().unwrap();
        assert_eq!(failed.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}: {failed}");
        done += 1;
        cut(&objects(&server, &file, done)[done - 1], path);
    }
    drop(client);
    server.stop();
}

#[test]
fn a_head_that_cannot_be_true_is_not_sent() {
    let server = service().start();
    let failed = "the service failed, the connection is closed";
    for (count, path, error) in [
        (1, "/differs", "the response's body has 3000 bytes, but its Content-Length says 9000"),
        (2, "/odd", "the response's Content-Length is not one number"),
    ] {
        assert!(server.connect().try_get(path, true).is_err(), "{path}");
        told(&server, failed, count, path);
        assert!(server.log().contains(error), "{}", server.log());
    }
    server.stop();
}

#[test]
fn a_response_to_head_may_announce_what_a_get_would_get() {
    let server = service().start();
    let mut conn = server.connect();
    for path in ["/head", "/differs"] {
        let reply = conn.request("HEAD", path, "", b"");
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-length").is_some(), "{path}");
    }
    assert_eq!(conn.get("/pid").status, 200);
    // By HTTP/2, too; and one that is not known is not announced as 0.
    let client = Http2::to(&server);
    for (path, status, length) in
        [("/head", 200, Some("6000")), ("/fails", 200, None), ("/204", 204, None), ("/304/empty", 304, None)]
    {
        let reply = client.send(client.request(Method::HEAD, path)).unwrap();
        let announced = reply.headers.get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!((reply.status.as_u16(), announced), (status, length), "{path}");
    }
    drop(client);
    server.stop();
}

#[test]
fn a_204_and_a_304_have_no_body_and_no_length_that_they_do_not_have() {
    let server = service().start();
    let (mut conn, client) = (server.connect(), Http2::to(&server));
    for (path, status, length) in
        [("/204", 204, None), ("/204/empty", 204, None), ("/304", 304, Some("5")), ("/304/empty", 304, None)]
    {
        let reply = conn.get(path);
        assert_eq!(
            (reply.status, reply.header("content-length"), &*reply.text()),
            (status, length, ""),
            "{path}"
        );
        let reply = client.get(path);
        let same = reply.headers.get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!((reply.status.as_u16(), same, reply.text()), (status, length, ""), "{path}");
    }
    assert_eq!(conn.get("/pid").status, 200, "the connection goes on");
    drop(client);
    server.stop();
}

#[test]
fn a_long_path_is_named_whole_and_so_is_one_of_many_requests() {
    let server = service().start();
    let path = format!("/short/{}", "x".repeat(300));
    broken(&server, &path, "");
    told(&server, SHORT, 1, &path);
    // More than the scoreboard shows.
    let held: Vec<Conn> = (0..40).map(|_| begin_upload(&server)).collect();
    broken(&server, "/short", "");
    told(&server, SHORT, 2, "/short");
    drop(held);
    server.stop();
}

/// Sends a part of a body, which comes back.
fn begin_upload(server: &Server) -> Conn {
    let mut conn = server.connect();
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 100000\r\n\r\nhello");
    let mut received = String::new();
    wait_until("the beginning comes back", || {
        received.push_str(&String::from_utf8_lossy(&conn.exactly(1).unwrap()));
        received.contains("hello")
    });
    conn
}

#[test]
fn a_client_that_leaves_its_body_is_no_error_of_the_service() {
    let (server, file) = logging("native-bodies-left", false);
    drop(begin_upload(&server));
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["path"], &line["complete"]), (&"/echo".into(), &false.into()), "{line}");
    server.connect().get("/pid");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
    server.stop();
}
