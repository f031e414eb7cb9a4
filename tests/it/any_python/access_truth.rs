//! What lines of the access log say is true: how much was sent, who ended it, how long a request waited.

use crate::{
    access_file::{self, lines, text},
    http2_client::Http2,
    support::reset,
};
use hostler_testkit::{Builder, Conn, Server, directory, wait_until};
use std::{fs, path::PathBuf};

/// Far more than the kernels of both sides have room for.
const MUCH: usize = 60_000_000;
/// More than they can have taken, beside what a client has read.
const ROOM: u64 = 30_000_000;

fn logging(name: &str, builder: Builder, format: &str) -> (Server, PathBuf) {
    let (builder, file) = access_file::logging(name, builder, format);
    (builder.start(), file)
}

fn asgi() -> Builder {
    Server::app("asgi_app:app")
}

fn begin(server: &Server, target: &str) -> Conn {
    let mut conn = server.connect();
    conn.send(format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n"));
    conn
}

const ENDING: &str = "%(s)s %(bytes)d left=%(client_left)s complete=%(complete)s";

/// Of a line in this format: the number of bytes, if the client has left.
#[track_caller]
fn bytes_of_cut(line: &str) -> u64 {
    let (bytes, rest) = line.strip_prefix("200 ").and_then(|line| line.split_once(' ')).expect(line);
    assert_eq!(rest, "left=true complete=false", "{line}");
    bytes.parse().unwrap()
}

#[test]
fn a_client_that_leaves_was_sent_what_the_kernel_has_taken() {
    let (server, file) = logging("truth-left", asgi(), ENDING);
    let target = format!("/bulk?{MUCH}");
    let mut reads = begin(&server, &target);
    reads.exactly(5_000_000).unwrap();
    drop(reads);
    let bytes = bytes_of_cut(&lines(&server, &file, 1)[0]);
    assert!((4_900_000..5_000_000 + ROOM).contains(&bytes), "{bytes}");
    let mut resets = begin(&server, &target);
    resets.exactly(100).unwrap();
    reset(resets);
    let bytes = bytes_of_cut(&lines(&server, &file, 2)[1]);
    assert!(bytes < ROOM, "{bytes}");
    // A response that ends whole is counted to the byte.
    assert_eq!(server.connect().get("/bulk?3000000").body.len(), 3_000_000);
    assert_eq!(lines(&server, &file, 3)[2], "200 3000000 left=false complete=true");
    server.stop();
}

#[test]
fn a_client_of_http_2_that_leaves_was_sent_what_its_window_had_room_for() {
    let (server, file) = logging("truth-left-http2", asgi(), ENDING);
    for (path, count) in [("/bulk?3000000", 1), ("/bulk?70000", 2)] {
        let client = Http2::to(&server);
        let response = client.ask(path).response;
        let (received, body) = client.run(async move {
            let mut body = response.await.unwrap().into_body();
            let mut received = 0;
            while received < 65_535 {
                received += body.data().await.unwrap().unwrap().len();
            }
            (received, body)
        });
        assert_eq!(received, 65_535);
        drop(client);
        drop(body);
        assert_eq!(bytes_of_cut(&lines(&server, &file, count)[count - 1]), 65_535);
    }
    server.stop();
}

#[test]
fn a_client_that_leaves_while_a_file_is_sent_has_left() {
    let dir = directory("truth-file");
    fs::write(dir.join("big"), vec![b'x'; MUCH]).unwrap();
    let builder = asgi().option("static-path-mount", dir.display()).option("static-path-route", "/static");
    let (server, file) = logging("truth-file-log", builder, ENDING);
    let of_application = format!("/path?{}", dir.join("big").display());
    for (count, target) in [(1, "/static/big"), (2, &of_application)] {
        let mut conn = begin(&server, target);
        conn.exactly(1_000_000).unwrap();
        if count == 1 {
            drop(conn)
        } else {
            reset(conn)
        }
        let bytes = bytes_of_cut(&lines(&server, &file, count)[count - 1]);
        assert!((900_000..1_000_000 + ROOM).contains(&bytes), "{bytes}");
    }
    // A file that becomes shorter while it is sent is no client's fault.
    let mut conn = begin(&server, "/static/big");
    conn.exactly(1000).unwrap();
    fs::File::options().write(true).open(dir.join("big")).unwrap().set_len(1).unwrap();
    assert!(conn.to_end().is_ok_and(|rest| rest.len() < MUCH - 1000) || conn.is_closed());
    let line = &lines(&server, &file, 3)[2];
    assert!(line.ends_with("left=false complete=false"), "{line}");
    server.stop();
}

#[test]
fn a_tunnel_that_the_write_timeout_resets_is_not_complete() {
    let builder = Server::app("websocket_app:app").option("write-timeout", "1s");
    let (server, file) = logging("truth-tunnel", builder, ENDING);
    let client = Http2::to(&server);
    let tunnel = client.websocket("/flood");
    let window = 65_535;
    let received = client.run(async move {
        let mut body = tunnel.response.await.unwrap().into_body();
        let mut received = 0;
        // It makes no room.
        while let Some(Ok(piece)) = body.data().await {
            received += piece.len() as u64;
        }
        received
    });
    assert_eq!(received, window);
    let line = &lines(&server, &file, 1)[0];
    let (bytes, rest) = line.strip_prefix("200 ").and_then(|line| line.split_once(' ')).expect(line);
    assert_eq!(rest, "left=false complete=false");
    let bytes: u64 = bytes.parse().unwrap();
    assert!((window..window + 16 * 1024).contains(&bytes), "{bytes}");
    server.stop();
}

#[test]
fn a_websocket_whose_client_breaks_it_is_not_complete() {
    let (server, file) = logging("truth-websocket", Server::app("websocket_app:app"), ENDING);
    let open = |path: &str| {
        let mut conn = server.connect();
        conn.send(format!(
            "GET {path} HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ));
        assert_eq!(conn.reply().unwrap().status, 101);
        conn
    };
    reset(open("/echo"));
    let told = lines(&server, &file, 1);
    assert!(told[0].ends_with(" left=true complete=false"), "{told:#?}");
    let mut unread = open("/flood");
    unread.exactly(1000).unwrap();
    drop(unread);
    let told = lines(&server, &file, 2);
    assert!(told[1].ends_with(" left=true complete=false"), "{told:#?}");
    let mut proper = open("/echo");
    proper.send(b"\x88\x82\0\0\0\0\x03\xe8");
    proper.to_end().unwrap();
    let told = lines(&server, &file, 3);
    assert_eq!(told[2], "101 4 left=false complete=true");
    server.stop();
}

#[test]
fn write_of_wsgi_on_the_only_thread_has_its_line_and_its_headers() {
    let format =
        "%(s)s %(bytes)d left=%(client_left)s complete=%(complete)s %(request_id)s %({x-request-id}o)s";
    let builder = Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", 1);
    let builder = builder.option("request-id-header", "X-Request-ID").arg("--request-id-response");
    let (server, file) = logging("truth-write", builder.arg("--compress"), format);
    // The first goes past hyper, the others are called on a thread.
    for count in 1..=2 {
        let headers = format!("x-request-id: id-{count}\r\naccept-encoding: identity\r\n");
        let reply = server.connect().request("GET", "/write", &headers, b"");
        assert_eq!((reply.status, &*reply.text()), (200, "written twice and returned"));
        assert_eq!(reply.header("x-request-id"), Some(&*format!("id-{count}")));
        assert_eq!(reply.header("vary"), Some("accept-encoding"), "{count}");
        let line = format!("200 26 left=false complete=true id-{count} id-{count}");
        assert_eq!(lines(&server, &file, count)[count - 1], line);
    }
    server.stop();
}

#[test]
fn write_of_wsgi_on_the_only_thread_that_fails_is_not_complete() {
    let builder = Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", 1);
    let (server, file) = logging("truth-write-fails", builder, ENDING);
    assert!(server.connect().try_get("/write_raise", true).is_err());
    assert_eq!(lines(&server, &file, 1)[0], "200 8 left=false complete=false");
    server.stop();
}

const WAIT: &str = "%(path)s %(s)s %(queue_ms)s %(duration_ms)s";

/// The wait and the duration in the line of the request for this path and with this status, in milliseconds.
fn wait_of(lines: &[String], beginning: &str) -> (f64, f64) {
    let line = lines.iter().find(|line| line.starts_with(beginning)).expect("it has a line");
    let mut numbers = line.split(' ').skip(2).map(|number| number.parse().expect(line));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A server with a request that holds the only slot, and two more of which one waits; the other was refused.
fn held_and_waiting(name: &str, patience: &str) -> (Server, PathBuf, Conn, Vec<Conn>) {
    let builder = Server::app("limits_app:asgi").option("limit-concurrency", 1).option("limit-queue", 1);
    let builder = builder.option("health-path", "/release").option("queue-timeout", patience);
    let (server, file) = logging(name, builder, WAIT);
    let held = begin(&server, "/hold");
    server.wait_for("holds", 1);
    let mut two = vec![begin(&server, "/pid"), begin(&server, "/pid")];
    wait_until("one is refused", || two.iter_mut().any(Conn::is_readable));
    (server, file, held, two)
}

#[test]
fn the_wait_for_a_turn_is_a_part_of_the_wait() {
    let (server, file, mut held, mut two) = held_and_waiting("truth-queue", "30s");
    assert_eq!(server.connect().get("/release").status, 200);
    assert_eq!(held.reply().unwrap().text(), "held");
    two.iter_mut().for_each(|conn| drop(conn.reply().unwrap()));
    let told = lines(&server, &file, 4);
    let (waited, took) = wait_of(&told, "/pid 200");
    assert!(waited > 0.0 && waited <= took, "{told:#?}");
    server.stop();
}

#[test]
fn a_request_that_waits_in_vain_says_for_how_long() {
    let (server, file, held, mut two) = held_and_waiting("truth-in-vain", "1s");
    two.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 503));
    let told = lines(&server, &file, 2);
    let waited = |line: &String| wait_of(std::slice::from_ref(line), "/pid 503").0;
    assert!(waited(&told[0]) < 900.0 && waited(&told[1]) >= 1000.0, "{told:#?}");
    drop(held);
}

#[test]
fn a_wait_that_the_kernel_has_measured_is_in_whole_milliseconds() {
    let (server, file) = logging("truth-kernel", asgi(), "%(path)s %(queue_ms)s %(queue_seconds)s");
    let mut waiting = server.connect();
    assert_eq!(waiting.get("/pid").status, 200);
    let mut blocking = begin(&server, "/block?1");
    server.wait_for("blocks now", 1);
    assert_eq!(waiting.get("/scope").status, 200);
    assert_eq!(blocking.reply().unwrap().status, 200);
    let told = lines(&server, &file, 3);
    let line = told.iter().find(|line| line.starts_with("/scope ")).unwrap();
    let numbers: Vec<&str> = line.split(' ').skip(1).collect();
    let waited: u64 = numbers[0].parse().expect(line);
    assert!((500..30_000).contains(&waited), "{line}");
    assert_eq!(numbers[1], format!("{}.{:03}", waited / 1000, waited % 1000));
    server.stop();
}

#[test]
fn the_line_of_a_request_before_the_one_that_kills_the_worker_is_written() {
    let (server, file) = logging("truth-exit", asgi(), "%(path)s");
    let mut conn = server.connect();
    assert_eq!(conn.get("/pid").status, 200);
    // Without a pause: the line is written before the loop takes the next request.
    assert!(conn.try_get("/exit/now", true).is_err());
    server.wait_for("worker ready", 2);
    assert_eq!(text(&file), "/pid\n");
    // The other has none, and is named in the server's log.
    let log = server.log();
    let named = log.lines().find(|line| line.contains("path=\"/exit/now\"")).expect("it is named");
    assert!(named.contains("method=\"GET\"") && named.contains("client=\"127.0.0.1:"), "{named}");
    assert!(named.contains("request_id=\"") && named.contains(" worker=1 pid="), "{named}");
    server.stop();
}
