//! What is sent of a file: encodings, conditions, ranges, what clients may keep.

use super::{Site, pattern, serve};
use hostler_testkit::{Conn, Reply};

fn with(conn: &mut Conn, path: &str, headers: &str) -> Reply {
    conn.request("GET", path, headers, b"")
}

#[test]
fn an_encoded_file_beside_a_file_is_sent_to_those_who_accept_it() {
    let site = Site::with(&[
        ("app.js", "plain"),
        ("app.js.br", "brotli"),
        ("app.js.gz", "gzipped"),
        ("app.css", "plain"),
        ("photo.jpg", "photo"),
        ("photo.jpg.gz", "not this"),
    ]);
    let server = serve(&site).start();
    let mut conn = server.connect();
    for (accept, encoding, body) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("zstd", None, "plain"),
        ("br;q=0, gzip;q=0.5", Some("gzip"), "gzipped"),
        ("gzip;q=0", None, "plain"),
    ] {
        let reply = with(&mut conn, "/static/app.js", &format!("accept-encoding: {accept}\r\n"));
        assert_eq!((reply.header("content-encoding"), reply.text().as_str()), (encoding, body), "{accept}");
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
    }
    let plain = conn.get("/static/app.js");
    assert_eq!((plain.text().as_str(), plain.header("vary")), ("plain", Some("Accept-Encoding")));
    let encoded = with(&mut conn, "/static/app.js", "accept-encoding: br\r\n");
    let tag = encoded.header("etag").unwrap();
    assert_ne!(Some(tag), plain.header("etag"));
    // Each encoding has a tag of its own.
    let conditions = format!("accept-encoding: br\r\nif-none-match: {tag}\r\n");
    let same = with(&mut conn, "/static/app.js", &conditions);
    assert_eq!((same.status, same.header("vary")), (304, Some("Accept-Encoding")));
    assert_eq!(with(&mut conn, "/static/app.js", &format!("if-none-match: {tag}\r\n")).status, 200);
    for name in ["app.css", "photo.jpg"] {
        let reply = with(&mut conn, &format!("/static/{name}"), "accept-encoding: gzip, br\r\n");
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None), "{name}");
    }
    server.stop();
    let never = serve(&site).arg("--no-static-path-precompressed").start();
    assert_eq!(with(&mut never.connect(), "/static/app.js", "accept-encoding: br\r\n").text(), "plain");
    never.stop();
}

#[test]
fn a_client_that_has_the_file_gets_it_not_again() {
    let site = Site::with(&[("a.txt", "content")]);
    let server = serve(&site).start();
    let mut conn = server.connect();
    let first = conn.get("/static/a.txt");
    let (tag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    for (headers, status) in [
        (format!("if-none-match: {tag}\r\n"), 304),
        (format!("if-modified-since: {date}\r\n"), 304),
        ("if-modified-since: Mon, 13 Nov 2023 22:13:20 GMT\r\n".into(), 200),
        ("if-none-match: \"other\"\r\n".into(), 200),
        (format!("if-match: {tag}\r\n"), 200),
        ("if-match: \"other\"\r\n".into(), 412),
        ("if-unmodified-since: Mon, 13 Nov 2023 22:13:20 GMT\r\n".into(), 412),
        (format!("if-unmodified-since: {date}\r\n"), 200),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = conn.request(method, "/static/a.txt", &headers, b"");
            assert_eq!(reply.status, status, "{method} {headers}");
            if status == 304 {
                assert_eq!(reply.header("etag"), Some(tag));
                assert_eq!(reply.header("cache-control"), Some("max-age=86400"));
                assert_eq!((reply.header("content-length"), reply.header("content-type")), (None, None));
            }
        }
    }
    server.stop();
}

#[test]
fn parts_of_a_file_are_sent() {
    let site = Site::new();
    let content = pattern(1_000_000);
    site.write("a.bin", &content);
    let server = serve(&site).start();
    let mut conn = server.connect();
    for (range, from, to) in [
        ("0-0", 0, 1),
        ("10-19", 10, 20),
        ("999999-", 999_999, 1_000_000),
        ("-5", 999_995, 1_000_000),
        ("1000-900000", 1000, 900_001),
        ("500000-99999999", 500_000, 1_000_000),
    ] {
        let reply = with(&mut conn, "/static/a.bin", &format!("range: bytes={range}\r\n"));
        let expected = format!("bytes {from}-{}/1000000", to - 1);
        assert_eq!((reply.status, reply.header("content-range")), (206, Some(expected.as_str())));
        assert!(reply.body == content[from..to], "{range}");
    }
    let none = with(&mut conn, "/static/a.bin", "range: bytes=1000000-\r\n");
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */1000000")));
    for headers in [
        "range: bytes=5-1\r\n".to_owned(),
        "range: items=0-1\r\n".into(),
        "range: bytes=0-1\r\nrange: bytes=5-6\r\n".into(),
        "range: bytes=0-1\r\nif-range: \"other\"\r\n".into(),
        format!("range: bytes={}\r\n", "0-0,".repeat(40)),
        "range: bytes=0-,0-,0-\r\n".into(),
    ] {
        assert_eq!(with(&mut conn, "/static/a.bin", &headers).status, 200, "{headers}");
    }
    let tag = conn.get("/static/a.bin").header("etag").unwrap().to_owned();
    let headers = format!("range: bytes=0-1\r\nif-range: {tag}\r\n");
    assert_eq!(with(&mut conn, "/static/a.bin", &headers).status, 206);
    let head = conn.request("HEAD", "/static/a.bin", "range: bytes=0-1\r\n", b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000000")));
    server.stop();
}

#[test]
fn several_parts_are_one_multipart_response() {
    let site = Site::new();
    let content = pattern(1_000_000);
    site.write("a.bin", &content);
    let server = serve(&site).start();
    let mut conn = server.connect();
    let reply = with(&mut conn, "/static/a.bin", "range: bytes=0-1,1000-300999,-2\r\n");
    assert_eq!(reply.status, 206);
    let kind = reply.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (from, to) in [(0, 2), (1000, 301_000), (999_998, 1_000_000)] {
        let lead = if expected.is_empty() { "" } else { "\r\n" };
        expected.extend_from_slice(
            format!(
                "{lead}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {from}-{}/1000000\r\n\r\n",
                to - 1
            )
            .as_bytes(),
        );
        expected.extend_from_slice(&content[from..to]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(reply.body == expected);
    assert_eq!(conn.get("/pid").status, 200);
    server.stop();
}

#[test]
fn names_with_a_hash_are_kept_for_ever() {
    let site = Site::with(&[("app.0123456789ab.js", ""), ("app.js", ""), ("assets/index-BUq2f9aB.js", "")]);
    let cache = |server: &hostler_testkit::Server, name: &str| {
        let reply = server.connect().get(&format!("/static/{name}"));
        reply.header("cache-control").map(str::to_owned)
    };
    let for_ever = Some("max-age=31536000, immutable".to_owned());
    let server = serve(&site).option("static-path-expires", "1h").start();
    assert_eq!(cache(&server, "app.0123456789ab.js"), for_ever);
    assert_eq!(cache(&server, "assets/index-BUq2f9aB.js"), for_ever);
    assert_eq!(cache(&server, "app.js").as_deref(), Some("max-age=3600"));
    server.stop();
    let server =
        serve(&site).option("static-path-immutable", "never").option("static-path-expires", 0).start();
    assert_eq!(cache(&server, "app.0123456789ab.js"), None);
    server.stop();
    let server = serve(&site).option("static-path-immutable", "always").start();
    assert_eq!(cache(&server, "app.js"), for_ever);
    server.stop();
}
