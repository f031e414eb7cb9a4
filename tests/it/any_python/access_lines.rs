//! Every response has its line in the access log: of each interface and of native services, over HTTP/2, of static files, and
//! of requests that never reach the application.

use crate::{
    access_file::{self, lines},
    http2_client::{Exchange, Http2},
};
use hostler_testkit::{Builder, Conn, Server, directory};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{fs, path::PathBuf};

/// What is to be told of each request.
const FORMAT: &str = "%(m)s %(path)s %(H)s %(s)s %(B)s %(complete)s";

fn logging(name: &str, builder: Builder) -> (Server, PathBuf) {
    let (builder, file) = access_file::logging(name, builder, FORMAT);
    (builder.start(), file)
}

fn asgi() -> Builder {
    Server::app("asgi_app:app")
}

fn raw(server: &Server, request: impl AsRef<[u8]>) -> u16 {
    let mut conn = server.connect();
    conn.send(request);
    conn.reply().unwrap().status
}

#[test]
fn rsgi_applications() {
    let rsgi = Server::app("rsgi_app:app").option("interface", "rsgi");
    let (server, file) = logging("lines-rsgi", rsgi);
    let mut conn = server.connect();
    assert_eq!(conn.get("/scope").status, 200);
    assert_eq!(conn.get("/raise").status, 500);
    let bytes = server.connect().request("POST", "/echo", "", b"hello").body.len();
    let lines = lines(&server, &file, 3);
    assert!(lines[0].starts_with("GET /scope HTTP/1.1 200 ") && lines[0].ends_with(" true"), "{lines:#?}");
    assert!(lines[1].starts_with("GET /raise HTTP/1.1 500 "), "{lines:#?}");
    assert_eq!(lines[2], format!("POST /echo HTTP/1.1 200 {bytes} true"));
    server.stop();
}

#[test]
fn native_services() {
    let file = directory("lines-native").join("access");
    let program = Server::program(env!("CARGO_BIN_EXE_native_app").into());
    let server = program.env("ACCESS_LOG", file.to_str().unwrap()).start();
    let body = server.connect().get("/pid?q=1").text();
    assert!(server.connect().try_get("/fail", true).is_err());
    let lines: Vec<Value> =
        lines(&server, &file, 2).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Each of the two workers writes for itself.
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let first = of("/pid");
    assert_eq!((&first["path"], &first["query"]), (&"/pid".into(), &"q=1".into()));
    assert_eq!((&first["status"], &first["bytes"]), (&200.into(), &body.len().into()));
    assert_eq!(first["pid"].to_string(), body);
    let failed = of("/fail");
    assert!(failed["status"].is_null() && failed["complete"] == false, "{failed}");
    assert_eq!(failed["client_left"], false);
    // The file is opened again for all of its processes.
    let moved = file.with_extension("1");
    fs::rename(&file, &moved).unwrap();
    server.signal(Signal::SIGUSR1);
    server.wait_for("access log reopened", 1);
    server.wait_until("in the new file", || {
        server.connect().get("/pid");
        fs::read_to_string(&file).is_ok_and(|text| text.contains("/pid"))
    });
    server.stop();
}

#[test]
fn streams_of_http_2() {
    let (server, file) = logging("lines-http2", asgi());
    let client = Http2::to(&server);
    assert_eq!(client.get("/stream?a").body.len(), 80);
    assert_eq!(client.post("/echo", b"hello".to_vec()).unwrap().text(), "hello");
    assert_eq!(client.get("/raise").status, 500);
    let told = lines(&server, &file, 3);
    assert_eq!(told[0], "GET /stream HTTP/2 200 80 true");
    assert_eq!(told[1], "POST /echo HTTP/2 200 5 true");
    assert!(told[2].starts_with("GET /raise HTTP/2 500 "), "{told:#?}");
    // A stream that its client resets.
    let Exchange { response, mut sender } = client.ask("/never");
    server.wait_for("never responds", 1);
    sender.send_reset(h2::Reason::CANCEL);
    drop(response);
    let told = lines(&server, &file, 4);
    assert_eq!(told[3], "GET /never HTTP/2 499 0 false");
}

#[test]
fn streams_of_http_2_that_a_stop_cuts() {
    let (mut server, file) = logging("lines-http2-cut", asgi().option("graceful-timeout", "1s"));
    let client = Http2::to(&server);
    let _exchange = client.ask("/never");
    server.wait_for("never responds", 1);
    server.signal(Signal::SIGTERM);
    server.wait_exit();
    assert_eq!(lines(&server, &file, 1), ["GET /never HTTP/2 - 0 false"]);
}

#[test]
fn websockets_on_streams_of_http_2() {
    let (server, file) = logging("lines-http2-websocket", Server::app("websocket_app:app"));
    let client = Http2::to(&server);
    let received = client.echo("/echo");
    assert_eq!(&received[..4], b"\x81\x02hi");
    let line = format!("CONNECT /echo HTTP/2 200 {} true", received.len());
    assert_eq!(lines(&server, &file, 1), [line]);
    server.stop();
}

#[test]
fn static_files_and_files_of_applications() {
    let dir = directory("lines-static");
    let big = vec![b'x'; 700_000];
    fs::write(dir.join("big.txt"), &big).unwrap();
    let builder = asgi().option("static-path-mount", dir.display()).option("static-path-route", "/static");
    // A text is compressed only if it is not a file that the kernel sends.
    let (server, file) = logging("lines-static-log", builder.arg("--compress"));
    let mut conn = server.connect();
    let gzip = "accept-encoding: gzip\r\n";
    assert_eq!(conn.request("GET", "/static/big.txt", gzip, b"").body, big);
    assert_eq!(conn.request("GET", "/static/big.txt", "range: bytes=0-9\r\n", b"").body.len(), 10);
    assert_eq!(conn.get("/static/none").status, 404);
    let path = format!("/path?{}", dir.join("big.txt").display());
    assert_eq!(conn.request("GET", &path, gzip, b"").body, big);
    let told = lines(&server, &file, 4);
    assert_eq!(told[0], "GET /static/big.txt HTTP/1.1 200 700000 true");
    assert_eq!(told[1], "GET /static/big.txt HTTP/1.1 206 10 true");
    assert!(told[2].starts_with("GET /static/none HTTP/1.1 404 "), "{told:#?}");
    assert_eq!(told[3], "GET /path HTTP/1.1 200 700000 true");
    server.stop();
}

#[test]
fn requests_that_are_refused() {
    let builder = asgi().option("limit-request-line", 200).option("limit-request-body", 10);
    let (server, file) = logging("lines-refused", builder);
    assert_eq!(raw(&server, "GET /nohost HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(raw(&server, "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 11\r\n\r\n"), 413);
    assert_eq!(raw(&server, format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "x".repeat(300))), 414);
    let many = "a: b\r\n".repeat(200);
    assert_eq!(raw(&server, format!("GET / HTTP/1.1\r\nhost: t\r\n{many}\r\n")), 431);
    assert_eq!(raw(&server, "GET / HTTP/1.1\r\nhost: t\r\nbad header: x\r\n\r\n"), 400);
    let told = lines(&server, &file, 5);
    assert!(told[0].starts_with("GET /nohost HTTP/1.1 400 ") && told[0].ends_with(" true"), "{told:#?}");
    assert!(told[1].starts_with("POST /echo HTTP/1.1 413 "), "{told:#?}");
    assert!(told[2].contains(" 414 "), "{told:#?}");
    assert!(
        told[3..].iter().all(|line| line.starts_with("GET / HTTP/1.1 4") && line.ends_with(" true")),
        "{told:#?}"
    );
    assert!(told[3].contains(" 431 ") && told[4].contains(" 400 "), "{told:#?}");
    server.stop();
}

#[test]
fn requests_for_which_there_is_no_room() {
    let builder =
        asgi().option("limit-concurrency", 1).option("limit-queue", 1).option("queue-timeout", "1s");
    let (server, file) = logging("lines-busy", builder);
    let mut running = server.connect();
    running.send("GET /never/1 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("never responds", 1);
    let mut queued = server.connect();
    queued.send("GET /never/2 HTTP/1.1\r\nhost: t\r\n\r\n");
    // Whichever of the two comes first waits.
    let refused = server.connect().get("/never/3").status;
    assert_eq!((refused, queued.reply().unwrap().status), (503, 503));
    let mut told = lines(&server, &file, 2);
    told.sort();
    assert!(told[0].starts_with("GET /never/2 HTTP/1.1 503 "), "{told:#?}");
    assert!(told[1].starts_with("GET /never/3 HTTP/1.1 503 "), "{told:#?}");
    server.wait_for("request refused: it exceeds a limit", 1);
    assert!(server.log().contains("method=\"GET\" path=\"/never/"), "{}", server.log());
    drop(running);
}

#[test]
fn standard_output_without_a_reader_costs_lines_and_nothing_else() {
    let builder = asgi().option("workers", 1).arg("--access-log");
    let mut server = builder.wrapped(&["bash", "-c", "exec \"$@\" > >(exec true)", "bash"]).start();
    let mut conn: Conn = server.connect();
    server.wait_until("the reader has left", || {
        assert_eq!(conn.get("/pid").status, 200);
        server.log().contains("the access log cannot be written: lines are dropped")
    });
    assert_eq!(conn.get("/pid").status, 200);
    drop(conn);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    assert_eq!(log.matches("lines are dropped").count(), 1, "{log}");
    assert!(log.contains("access log lines were lost: the access log could not be written lines="), "{log}");
}
