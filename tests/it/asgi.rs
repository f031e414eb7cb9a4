//! ASGI 3 over HTTP.

use hostler_testkit::{LIMIT, Server};
use serde_json::Value;
use std::time::Instant;

fn serve() -> Server {
    Server::app("asgi_app:app").start()
}

#[test]
fn the_scope_is_complete() {
    let server = serve();
    let headers = "x-twice: a\r\nx-twice: b\r\n";
    let path = "/scope/a%20b/%C3%BC?q=1&r=%20";
    let scope: Value =
        serde_json::from_slice(&server.connect().request("PUT", path, headers, b"").body).unwrap();
    assert_eq!(scope["type"], "http");
    assert_eq!(scope["asgi"]["version"], "3.0");
    assert_eq!(scope["http_version"], "1.1");
    assert_eq!(scope["method"], "PUT");
    assert_eq!(scope["scheme"], "http");
    assert_eq!(scope["path"], "/scope/a b/ü");
    assert_eq!(scope["raw_path"], "/scope/a%20b/%C3%BC");
    assert_eq!(scope["query_string"], "q=1&r=%20");
    assert_eq!(scope["root_path"], "");
    assert_eq!(scope["client"][0], "127.0.0.1");
    assert_eq!(scope["server"][1], server.address.unwrap().port());
    assert_eq!(scope["state"], serde_json::json!({"started": "yes"}));
    let twice: Vec<&Value> =
        scope["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "x-twice").collect();
    assert_eq!(twice, [&serde_json::json!(["x-twice", "a"]), &serde_json::json!(["x-twice", "b"])]);
    server.stop();
}

#[test]
fn requests_of_a_connection_do_not_see_each_others_scope() {
    let server = serve();
    let mut conn = server.connect();
    let first: Value =
        serde_json::from_slice(&conn.request("GET", "/scope", "x-a: 1\r\n", b"").body).unwrap();
    let second: Value =
        serde_json::from_slice(&conn.request("GET", "/scope", "x-b: 2\r\n", b"").body).unwrap();
    assert_eq!(first["headers"], serde_json::json!([["host", "test"], ["x-a", "1"]]));
    assert_eq!(second["headers"], serde_json::json!([["host", "test"], ["x-b", "2"]]));
    assert_eq!(second["state"], serde_json::json!({"started": "yes"}));
}

#[test]
fn what_a_request_does_to_its_scope_no_other_sees() {
    for options in [&[][..], &["--request-timeout", "30"]] {
        let server =
            options.iter().fold(Server::app("asgi_app:app").option("workers", 1), |app, arg| app.arg(arg));
        let server = server.start();
        let mut conns = [server.connect(), server.connect()];
        let mut shown = Vec::new();
        for spoils in ["nothing", "values", "keys", "inside", "kept", "nothing", "kept", "inside", "nothing"]
        {
            let replies = conns.iter_mut().map(|conn| conn.get(&format!("/abilities?{spoils}")));
            shown.extend(replies.map(|reply| reply.text()));
        }
        assert!(shown[0].contains(r#""http.response.pathsend": {}"#), "{}", shown[0]);
        assert!(shown.iter().all(|other| *other == shown[0]), "{shown:#?}");
        server.stop();
    }
}

#[test]
fn bodies_arrive_in_one_piece_and_in_many() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.request("POST", "/echo", "", b"hello").text(), "hello");
    let large = vec![b'x'; 3_000_000];
    assert_eq!(conn.request("POST", "/echo", "", &large).body, large);
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    conn.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "hello world");
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    conn.send("body");
    assert_eq!(conn.reply().unwrap().text(), "body");
}

#[test]
fn a_streamed_answer_arrives_whole() {
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
    let limit = Instant::now() + LIMIT;
    while sent() != sent() {
        assert!(Instant::now() < limit);
    }
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
fn a_client_that_goes_away_is_a_disconnect() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut leaving = server.connect();
    leaving.send("GET /disconnect HTTP/1.1\r\nhost: t\r\n\r\n");
    // The application has the request once somebody who came later is answered.
    assert_eq!(server.connect().get("/seen").status, 200);
    drop(leaving);
    let limit = Instant::now() + LIMIT;
    loop {
        let seen: Value = serde_json::from_slice(&server.connect().get("/seen").body).unwrap();
        if seen["disconnects"] == 1 {
            break;
        }
        assert!(Instant::now() < limit, "the application was not told");
    }
}

#[test]
fn a_client_that_shut_down_its_side_still_gets_its_answer() {
    for app in ["asgi_app:app", "wsgi_app:app"] {
        let server = Server::app(app).option("workers", 1).option("blocking-threads", 2).start();
        let mut conn = server.connect();
        conn.send("GET /slow?0.3 HTTP/1.1\r\nhost: t\r\n\r\n");
        conn.finish();
        assert_eq!(conn.reply().unwrap().text(), "slow answer", "{app}");
        assert!(conn.is_closed());
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
fn an_application_that_waits_for_something_else_hears_of_a_disconnect_soon() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("POST /leaving HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody");
    server.wait_for("waits now", 1);
    drop(conn);
    server.wait_for("left after", 1);
    let log = server.log();
    let millis = log.split("left after ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    // 50 ms on a quiet machine.
    assert!(millis.parse::<u32>().unwrap() < 5000, "{log}");
}

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
fn an_exception_after_the_answer_began_aborts_the_connection() {
    for event_loop in ["hostler", "asyncio", "uvloop"] {
        let server = Server::app("asgi_app:app").option("loop", event_loop).start();
        let mut conn = server.connect();
        conn.send("GET /raise_late HTTP/1.1\r\nhost: t\r\n\r\n");
        let sent = String::from_utf8(conn.to_end().unwrap()).unwrap();
        // What was sent before arrives, and does not look whole.
        assert!(sent.starts_with("HTTP/1.1 200") && sent.ends_with("5\r\nbegun\r\n"), "{sent}");
        server.wait_for("raised late on purpose", 1);
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
    server.wait_for("an answer has 16384 headers at most", 2);
    assert!(!server.log().contains("a bug in hostler"), "{}", server.log());
    assert!(!server.log().contains("worker crashed"), "{}", server.log());
}

#[test]
fn an_answer_without_content_has_no_length_whatever_the_application_says() {
    for (server, path) in [(serve(), "/nocontent"), (Server::app("wsgi_app:app").start(), "/nocontent")] {
        for method in ["GET", "HEAD"] {
            let reply = server.connect().request(method, path, "", b"");
            assert_eq!((reply.status, reply.header("content-length")), (204, None), "{method}");
        }
        server.stop();
    }
}

#[test]
fn a_pipe_that_is_sent_as_a_file_is_an_error_and_blocks_nobody() {
    let directory = tempfile::TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = Server::app("asgi_app:app").env("SOME_FIFO", fifo.to_str().unwrap()).start();
    assert_eq!(server.connect().get("/fifo").status, 500);
    server.wait_for("it is no regular file", 1);
    server.stop();
}

#[test]
fn the_loop_is_asyncios() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.get("/task").text(), "42 True");
    assert_eq!(conn.get("/subprocess").text(), "from a subprocess\n0");
    assert_eq!(conn.get("/sockets").text(), "THROUGH ASYNCIO STREAMS\n");
}

#[test]
fn the_lifespan_is_shut_down_in_every_worker() {
    let file = std::env::temp_dir().join(format!("hostler-shutdown-{}", std::process::id()));
    let server = Server::app("asgi_app:app").env("SHUTDOWN_FILE", file.to_str().unwrap()).start();
    server.stop();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn early_hints_go_before_the_answer_and_never_into_it() {
    let server = serve();
    let mut conn = server.connect();
    let first = conn.get("/hints");
    assert_eq!((first.status, first.header("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(first.headers[1].1, "</b.js>; rel=preload");
    assert_eq!(conn.reply().unwrap().header("link"), Some("</c.png>; rel=preload"));
    assert_eq!(conn.reply().unwrap().text(), "hinted");
    // A client of HTTP/1.0 knows no interim answers.
    conn.send("GET /hints HTTP/1.0\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "hinted");
    // Those who do not wait for answers get them in order, with hints or without.
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
fn trailers_follow_the_body_for_those_who_want_them() {
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
    server.stop();
}

#[test]
fn other_loops_can_be_had() {
    for (name, module) in
        [("asyncio", "asyncio.unix_events"), ("uvloop", "uvloop"), ("hostler", "hostler._loop")]
    {
        let mut server = Server::app("asgi_app:app").option("loop", name).option("workers", 2).start();
        let mut conn = server.connect();
        for size in [0, 5, 300_000] {
            let reply = conn.request("POST", "/loop", "", &vec![b'x'; size]);
            assert_eq!(reply.text(), format!("{module} {size} 42"));
        }
        assert_eq!(conn.get("/context").text(), "lifespan nothing");
        assert_eq!(conn.get("/context?wait").text(), "lifespan nothing left behind");
        assert_eq!(conn.get("/subprocess").text(), "from a subprocess\n0");
        assert_eq!(conn.get("/sockets").text(), "THROUGH ASYNCIO STREAMS\n");
        assert_eq!(server.connect().get("/raise").status, 500);
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(server.wait_exit().success(), "{}", server.log());
    }
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
fn applications_that_never_answer_or_swallow_their_cancellation_are_answered_for() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("request-timeout", "300ms").start();
    let mut never = server.connect();
    never.send("GET /never HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(server.connect().get("/stubborn").status, 504);
    server.wait_for("stubborn: ClientDisconnected", 1);
    assert_eq!(never.reply().unwrap().status, 504);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.wait_for("request timeout: answered with 504", 2);
    server.stop();
}

#[test]
fn requests_see_the_lifespans_context_and_not_each_others() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    for _ in 0..2 {
        assert_eq!(conn.get("/context").text(), "lifespan nothing");
        assert_eq!(conn.get("/context?wait").text(), "lifespan nothing left behind");
    }
    let mut both = [server.connect(), server.connect()];
    both.iter_mut().for_each(|conn| conn.send("GET /context?wait HTTP/1.1\r\nhost: t\r\n\r\n"));
    for conn in &mut both {
        assert_eq!(conn.reply().unwrap().text(), "lifespan nothing left behind");
    }
    server.stop();
}

#[test]
fn an_application_without_lifespan_is_served_and_one_that_crashed_in_it_is_reported() {
    let server = Server::app("odd:without_lifespan").start();
    assert_eq!(server.connect().get("/").text(), "served");
    assert!(!server.log().contains("AssertionError"), "{}", server.log());
    server.stop();
    let server = Server::app("odd:crashing_early").start();
    assert_eq!(server.connect().get("/").text(), "served");
    let log = server.log();
    assert!(log.contains("served without its lifespan") && log.contains("NameError"), "{log}");
    server.stop();
}
