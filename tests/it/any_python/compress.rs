//! `--compress`: which responses are compressed, what their heads say, and that bodies behave as they do without it.

use crate::{http2_client::Http2, support::refused};
use hostler_testkit::{Builder, Conn, Reply, Server, directory, python};
use hyper::Method;
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::SystemTime,
};

fn compressing() -> Builder {
    Server::app("asgi_app:app").option("workers", 1).arg("--compress")
}

fn ask(conn: &mut Conn, path: &str, accepts: &str) -> Reply {
    conn.request("GET", path, &format!("accept-encoding: {accepts}\r\n"), b"")
}

/// What Python's zlib makes of it.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let code = "import sys, zlib; sys.stdout.buffer.write(zlib.decompressobj(31).decompress(sys.stdin.buffer.read()))";
    let mut command = Command::new(python());
    command.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn text(length: usize) -> Vec<u8> {
    b"0123456789abcdef".iter().copied().cycle().take(length).collect()
}

#[test]
fn a_text_is_compressed_as_the_client_prefers() {
    let server = compressing().start();
    let mut conn = server.connect();
    for (accepts, coding) in
        [("gzip", "gzip"), ("gzip, br", "gzip"), ("gzip;q=0.5, br;q=0.6, zstd;q=0.1", "br")]
    {
        let reply = ask(&mut conn, "/text?50000", accepts);
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some(coding)), "{accepts}");
        assert_eq!((reply.header("vary"), reply.header("content-length")), (Some("accept-encoding"), None));
        assert_eq!(reply.header("etag"), Some("W/\"strong\""));
        assert!(reply.body.len() < 5000, "{}", reply.body.len());
    }
    // Those of Chromium and Firefox.
    let reply = ask(&mut conn, "/text?50000", "gzip, deflate, br, zstd");
    assert_eq!(reply.header("content-encoding"), Some("zstd"));
    assert_eq!(gunzip(&ask(&mut conn, "/text?50000", "gzip").body), text(50_000));
    server.stop();
}

#[test]
fn what_is_small_or_encoded_or_refused_passes_as_it_is() {
    let server = compressing().start();
    let mut conn = server.connect();
    for (path, accepts, vary) in [
        ("/text?100", "gzip", None),
        ("/text/image/png?50000", "gzip", None),
        ("/text/text/event-stream?50000", "gzip", None),
        ("/encoded", "br", None),
        ("/text?50000", "identity", Some("accept-encoding")),
        ("/text?50000", "gzip;q=0", Some("accept-encoding")),
    ] {
        let reply = ask(&mut conn, path, accepts);
        assert_eq!((reply.status, reply.header("vary")), (200, vary), "{path}");
        assert!(reply.header("content-length").is_some(), "{path}");
        let own = (path == "/encoded").then_some("gzip");
        assert_eq!(reply.header("content-encoding"), own, "{path}");
    }
    assert_eq!(ask(&mut conn, "/text?50000", "identity").header("etag"), Some("\"strong\""));
    server.stop();
}

#[test]
fn a_response_to_head_has_the_head_of_one_to_get() {
    let server = compressing().start();
    let mut conn = server.connect();
    let reply = conn.request("HEAD", "/text?50000", "accept-encoding: gzip\r\n", b"");
    assert_eq!((reply.header("content-encoding"), reply.header("content-length")), (Some("gzip"), None));
    assert_eq!((reply.header("vary"), reply.header("etag")), (Some("accept-encoding"), Some("W/\"strong\"")));
    assert_eq!(conn.get("/pid").status, 200, "nothing of a body follows");
    server.stop();
}

#[test]
fn a_response_to_head_does_not_tell_the_length_of_what_is_not_compressed() {
    let server = compressing().start();
    let mut conn = server.connect();
    for method in ["HEAD", "GET"] {
        let reply = conn.request(method, "/unsized?50000", "accept-encoding: gzip\r\n", b"");
        assert_eq!((reply.header("content-encoding"), reply.header("content-length")), (Some("gzip"), None));
    }
    // Others are told the length.
    let reply = conn.request("HEAD", "/unsized?50000", "", b"");
    assert_eq!((reply.header("content-encoding"), reply.header("content-length")), (None, Some("50000")));
    let client = Http2::to(&server);
    for method in [Method::HEAD, Method::GET] {
        let mut request = client.request(method, "/unsized?50000");
        request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        let reply = client.send(request).unwrap();
        assert_eq!(reply.headers["content-encoding"], "gzip");
        assert_eq!(reply.headers.get("content-length"), None);
    }
    drop(client);
    server.stop();
}

#[test]
fn a_file_that_the_application_sends_has_one_head_for_get_and_head() {
    let file = directory("compress-file").join("text.txt");
    fs::write(&file, text(50_000)).unwrap();
    let of_query = format!("/text_file?{}", file.display());
    for (app, interface, path) in [
        ("asgi_app:app", "asgi", &*of_query),
        ("wsgi_app:app", "wsgi", &*of_query),
        ("rsgi_app:app", "rsgi", "/file"),
    ] {
        let server = Server::app(app).option("interface", interface).option("workers", 1).arg("--compress");
        let server = server.env("SOME_FILE", file.to_str().unwrap()).start();
        let mut conn = server.connect();
        for method in ["GET", "HEAD"] {
            let reply = conn.request(method, path, "accept-encoding: gzip\r\n", b"");
            let head = ["content-length", "content-encoding", "vary"].map(|name| reply.header(name));
            assert_eq!(head, [Some("50000"), None, None], "{interface} {method}");
            assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
        }
        server.stop();
    }
}

#[test]
fn a_304_is_of_the_response_that_the_client_has() {
    let server = compressing().start();
    let mut conn = server.connect();
    for (has, tag) in [("W/\"strong\"", "W/\"strong\""), ("\"strong\"", "\"strong\"")] {
        let headers = format!("accept-encoding: gzip\r\nif-none-match: {has}\r\n");
        let reply = conn.request("GET", "/not_modified", &headers, b"");
        assert_eq!((reply.status, reply.header("etag")), (304, Some(tag)));
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
    }
    server.stop();
}

#[test]
fn static_files_are_served_as_without_it() {
    let site = directory("compress-static");
    fs::write(site.join("plain.txt"), text(50_000)).unwrap();
    fs::write(site.join("both.txt"), text(50_000)).unwrap();
    fs::write(site.join("both.txt.br"), b"not really brotli").unwrap();
    // A validator is weak while its file may still be changing.
    for name in ["plain.txt", "both.txt", "both.txt.br"] {
        fs::File::options()
            .write(true)
            .open(site.join(name))
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    let mount = format!("/static={}", site.display());
    let serve = |builder: Builder| builder.option("static-mount", &mount).start();
    let (with, without) = (serve(compressing()), serve(Server::app("asgi_app:app").option("workers", 1)));
    for (path, coding) in [("/static/plain.txt", None), ("/static/both.txt", Some("br"))] {
        for method in ["GET", "HEAD"] {
            for more in ["", "range: bytes=2-5\r\n", "range: bytes=2-5,8-9\r\n", "if-none-match: *\r\n"] {
                let headers = format!("accept-encoding: gzip, br, zstd\r\n{more}");
                let ask = |server: &Server| server.connect().request(method, path, &headers, b"");
                let (this, that) = (ask(&with), ask(&without));
                let shown = |reply: &Reply| {
                    let names = ["content-encoding", "content-length", "content-range", "vary", "etag"];
                    (
                        reply.status,
                        names.map(|name| reply.header(name).map(str::to_owned)),
                        reply.body.clone(),
                    )
                };
                // Several ranges have a boundary of their own each time.
                if !more.contains(',') {
                    assert_eq!(shown(&this), shown(&that), "{method} {path} {more}");
                }
                assert_eq!(
                    (this.status, this.header("content-encoding")),
                    (that.status, that.header("content-encoding"))
                );
                if more.is_empty() {
                    assert_eq!(this.header("content-encoding"), coding);
                }
            }
        }
    }
    with.stop();
    without.stop();
}

#[test]
fn others_are_served_while_a_large_response_is_compressed() {
    let server = compressing().start();
    let mut large = server.connect();
    large.send("GET /large_noise HTTP/1.1\r\nhost: t\r\naccept-encoding: gzip\r\n\r\n");
    large.exactly(1).unwrap();
    let ended = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        scope.spawn(|| {
            // It reads as fast as it can.
            let reply = large.reply();
            ended.store(true, Ordering::Release);
            drop(reply);
        });
        let (mut conn, mut served) = (server.connect(), 0);
        while !ended.load(Ordering::Acquire) {
            assert_eq!(conn.get("/pid").status, 200);
            served += 1;
        }
        served
    });
    // It takes 256 turns of the loop.
    assert!(served > 20, "{served} requests");
    server.stop();
}

#[test]
fn native_services_compress_too() {
    let program = Server::program(env!("CARGO_BIN_EXE_native_app").into());
    let server = program.env("COMPRESS", "1").start();
    let mut conn = server.connect();
    let reply = ask(&mut conn, "/text", "gzip");
    assert_eq!(
        (reply.header("content-encoding"), reply.header("vary")),
        (Some("gzip"), Some("accept-encoding"))
    );
    assert_eq!(gunzip(&reply.body), text(16_000));
    let reply = conn.request("HEAD", "/text", "accept-encoding: zstd\r\n", b"");
    assert_eq!((reply.header("content-encoding"), reply.header("content-length")), (Some("zstd"), None));
    assert_eq!(ask(&mut conn, "/pid", "gzip").header("content-encoding"), None);
    server.stop();
}

#[test]
fn pieces_of_a_stream_are_sent_when_they_come() {
    let file = directory("compress-stream").join("go");
    let server = compressing().start();
    let mut conn = server.connect();
    conn.send(format!("GET /ticks?{} HTTP/1.1\r\nhost: t\r\naccept-encoding: gzip\r\n\r\n", file.display()));
    // What there is of the first piece can be decoded before the second one exists.
    let mut received = Vec::new();
    while gunzip(&body_of(&received)) != b"tick one," {
        received.extend(conn.exactly(1).unwrap());
    }
    fs::write(&file, "").unwrap();
    while !received.ends_with(b"\r\n0\r\n\r\n") {
        received.extend(conn.exactly(1).unwrap());
    }
    assert_eq!(gunzip(&body_of(&received)), b"tick one, tick two");
    server.stop();
}

/// What has arrived of the chunks of a body.
fn body_of(received: &[u8]) -> Vec<u8> {
    let after = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|part| part == mark);
    let Some(head) = after(received, b"\r\n\r\n") else { return Vec::new() };
    let (mut body, mut rest) = (Vec::new(), &received[head + 4..]);
    while let Some(line) = after(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let chunk = &rest[line + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    body
}

#[test]
fn a_client_that_leaves_stops_a_compressed_stream_and_a_slow_one_slows_it() {
    let file = directory("compress-left").join("access");
    let server = compressing()
        .option("access-logfile", file.display())
        .option("access-log-fmt", "%(path)s %(client_left)s");
    let server = server.start();
    let mut conn = server.connect();
    conn.send("GET /noise HTTP/1.1\r\nhost: t\r\naccept-encoding: gzip\r\n\r\n");
    conn.exactly(100_000).unwrap();
    drop(conn);
    server.wait_until("the log tells", || fs::read_to_string(&file).unwrap_or_default() == "/noise true\n");
    let taken: serde_json::Value = serde_json::from_str(&server.connect().get("/seen").text()).unwrap();
    assert!((100_000..90_000_000).contains(&taken["sent"].as_u64().unwrap()), "{taken}");
    server.stop();
}

#[test]
fn a_compressed_response_that_fails_is_cut() {
    let server = compressing().start();
    let mut conn = server.connect();
    conn.send("GET /raise_text HTTP/1.1\r\nhost: t\r\naccept-encoding: gzip\r\n\r\n");
    let error = conn.reply().err();
    assert!(error.is_some(), "it must not look whole");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn wsgi_and_rsgi_responses_are_compressed_too() {
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("interface", "wsgi")
        .arg("--compress")
        .start();
    let path = format!("/environ?{}", "a".repeat(1000));
    let reply = ask(&mut server.connect(), &path, "gzip");
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert!(gunzip(&reply.body).starts_with(b"{"));
    server.stop();
}

#[test]
fn a_level_that_there_is_not_is_refused() {
    let app = Server::app("asgi_app:app").arg("--compress").option("compress-level", 10);
    refused(app, 2, &["--compress-level", "from 1 to 9"]);
}
