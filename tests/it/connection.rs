//! A connection's life: clients that read and send slowly, pipeline, give up, and break the rules.

use hostler_testkit::{Builder, Conn, Server};
use nix::sys::signal::Signal;
use std::{
    io::{Read, Write},
    thread::sleep,
    time::{Duration, Instant},
};

/// More than the buffers of both kernels take.
const LARGE: usize = 12_000_000;
/// Longer than a connection may be quiet before it rests.
const LONG: Duration = Duration::from_millis(1600);

const INTERFACES: [(&str, &str); 4] = [("asgi", "1"), ("wsgi", "1"), ("wsgi", "4"), ("rsgi", "1")];

fn app(interface: &str) -> Builder {
    Server::app(&format!("connections:{interface}")).option("interface", interface)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")
}

/// Whether these are the bytes that `/bytes` answers with.
fn is_pattern(body: &[u8]) -> bool {
    body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)
}

/// The answer to `/bytes?n=LARGE`, of which little is read before something happens.
fn reads_slowly(server: &Server, path: &str, meanwhile: impl FnOnce(&Server)) {
    let mut conn = server.connect();
    conn.send(get(path));
    // Most of it waits in the server from here on.
    sleep(LONG);
    meanwhile(server);
    let reply = conn.reply().unwrap_or_else(|error| panic!("{path}: {error}\n{}", server.log()));
    assert_eq!(reply.body.len(), LARGE);
    assert!(is_pattern(&reply.body));
}

#[test]
fn a_large_answer_waits_for_its_reader() {
    for (interface, threads) in INTERFACES {
        let server = app(interface)
            .option("blocking-threads", threads)
            .option("http1-header-read-timeout", 500)
            .start();
        for path in ["/bytes?n=12000000", "/bytes?n=12000000&pieces=40"] {
            reads_slowly(&server, path, |_| ());
        }
        server.stop();
    }
}

#[test]
fn a_large_answer_survives_reloads_upgrades_and_stops() {
    let reload = |server: &Server| {
        server.signal(Signal::SIGHUP);
        server.wait_for("worker ready", 4);
    };
    let server = app("asgi").start();
    reads_slowly(&server, "/bytes?n=12000000", reload);
    reads_slowly(&server, "/bytes?n=12000000", |server| {
        server.signal(Signal::SIGUSR2);
        server.wait_for("upgraded", 1);
    });
    drop(server);
    let mut server = app("asgi").start();
    let mut conn = server.connect();
    conn.send(get("/bytes?n=12000000"));
    sleep(LONG);
    server.signal(Signal::SIGTERM);
    server.wait_for("draining", 2);
    sleep(LONG);
    assert!(is_pattern(&conn.reply().unwrap().body));
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn pipelined_answers_are_whole_and_in_order() {
    for flush in [false, true] {
        let mut server = app("asgi");
        if flush {
            server = server.arg("--http1-pipeline-flush");
        }
        let server = server.start();
        let mut conn = server.connect();
        conn.send([get("/bytes?n=12000000"), get("/second"), get("/bytes?n=100")].concat());
        sleep(LONG);
        assert!(is_pattern(&conn.reply().unwrap().body));
        assert_eq!(conn.reply().unwrap().text(), "/second");
        assert_eq!(conn.reply().unwrap().body.len(), 100);
        server.stop();
    }
}

#[test]
fn two_thousand_pipelined_answers_are_read_late() {
    const COUNT: usize = 2000;
    let server = app("asgi").start();
    let mut conn = server.connect();
    let requests: String = (0..COUNT).map(|number| get(&format!("/{number:0>5000}"))).collect();
    let mut stream = conn.clone_stream();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(requests.as_bytes()).unwrap());
        sleep(Duration::from_secs(3));
        for number in 0..COUNT {
            assert_eq!(conn.reply().unwrap().text(), format!("/{number:0>5000}"));
        }
    });
    server.stop();
}

/// The body of a request that was answered early is not taken for another request.
fn body_is_no_request(server: &Server, early: bool, name: &str) {
    let body = get("/smuggled").repeat(3000);
    let mut conn = server.connect();
    conn.send(format!("POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len()));
    if !early {
        conn.send(&body);
    }
    assert_eq!(conn.reply().unwrap().status, 200, "{name}");
    sleep(LONG);
    if early {
        // The connection may be closed by now.
        let _ = conn.clone_stream().write_all(body.as_bytes());
    }
    conn.finish();
    let rest = conn.to_end().unwrap_or_default();
    assert!(rest.is_empty(), "{name}: {}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_body_that_nobody_reads_is_not_a_request() {
    for (interface, threads) in INTERFACES {
        let server = app(interface).option("blocking-threads", threads).start();
        // Bodies are read before WSGI applications are called.
        body_is_no_request(&server, interface != "wsgi", &format!("{interface} {threads}"));
        server.stop();
    }
    let server = Server::program(env!("CARGO_BIN_EXE_native_app").into()).start();
    body_is_no_request(&server, true, "native");
    server.stop();
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let server = app("asgi").start();
    for _ in 0..20 {
        let mut conn = server.connect();
        conn.send("POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\nconnection: close\r\n\r\n");
        conn.send(vec![b'x'; 3_000_000]);
        assert_eq!(conn.reply().unwrap().text(), "/early");
        assert!(conn.to_end().is_ok_and(|rest| rest.is_empty()), "the connection was reset");
    }
    server.stop();
}

#[test]
fn malformed_chunks_are_answered_with_400_and_end_the_connection() {
    for (interface, threads) in INTERFACES {
        let server = app(interface).option("blocking-threads", threads).start();
        let mut conn = server.connect();
        conn.send(
            "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
        );
        assert_eq!(conn.reply().unwrap().status, 400, "{interface} {threads}");
        assert!(conn.is_closed());
        server.stop();
    }
}

#[test]
fn a_broken_upload_does_not_hold_up_a_stop() {
    for (interface, threads) in INTERFACES {
        let server = app(interface).option("blocking-threads", threads).start();
        let mut conn = server.connect();
        conn.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhello");
        sleep(Duration::from_millis(200));
        drop(conn);
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(10), "{interface} {threads}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_body_that_does_not_come_is_answered_with_408() {
    for (interface, threads) in INTERFACES {
        let server =
            app(interface).option("blocking-threads", threads).option("body-read-timeout", "500ms").start();
        let mut conn = server.connect();
        conn.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n");
        // Slow, but steady.
        for _ in 0..5 {
            sleep(Duration::from_millis(200));
            conn.send("x");
        }
        assert_eq!(conn.reply().unwrap().status, 408, "{interface} {threads}");
        assert!(conn.is_closed());
        server.stop();
    }
}

#[test]
fn a_client_that_reads_nothing_is_reset_and_a_slow_one_is_served() {
    for (interface, threads) in INTERFACES {
        let server = app(interface).option("blocking-threads", threads).option("write-timeout", "1s").start();
        let mut slow = server.connect();
        let mut stuck = server.connect();
        stuck.send(get("/bytes?n=12000000"));
        slow.send(get("/bytes?n=6000000"));
        let mut stream = slow.into_stream();
        let (mut all, mut block) = (Vec::new(), [0; 150_000]);
        while all.len() < 6_000_000 {
            sleep(Duration::from_millis(50));
            match stream.read(&mut block).unwrap() {
                0 => panic!("{interface} {threads}: cut after {} bytes", all.len()),
                count => all.extend_from_slice(&block[..count]),
            }
        }
        // It was reset in the meantime: what it had not taken is gone.
        assert!(stuck.reply().is_err(), "{interface} {threads}");
        server.stop();
    }
}

#[test]
fn quick_answers_leave_while_another_handler_blocks_the_thread() {
    let server = app("asgi").option("workers", 1).start();
    let mut quick: Vec<Conn> = (0..5).map(|_| server.connect()).collect();
    let mut blocking = server.connect();
    for conn in quick.iter_mut().chain([&mut blocking]) {
        assert_eq!(conn.get("/pid").status, 200);
    }
    // All of them are ready in the turn that follows this.
    let mut first = server.connect();
    first.send(get("/block?s=0.3"));
    sleep(Duration::from_millis(50));
    for conn in &mut quick {
        conn.send(get("/quick"));
    }
    blocking.send(get("/block?s=5"));
    assert_eq!(first.reply().unwrap().status, 200);
    let begun = Instant::now();
    for conn in &mut quick {
        assert_eq!(conn.reply().unwrap().text(), "/quick");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    server.stop();
}

#[test]
fn requests_that_others_may_read_differently_are_refused() {
    let server = app("asgi").start();
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
    let server = app("asgi").start();
    let mut conn = server.connect();
    conn.send("GET http://real.example:81/host HTTP/1.1\r\nhost: other\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "real.example:81");
    server.stop();
}

#[test]
fn an_answer_that_ends_with_its_connection_does_not_seem_whole_when_it_is_not() {
    let server = app("asgi").option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("GET /bytes?n=12000000&pieces=40 HTTP/1.0\r\n\r\n");
    conn.exactly(100_000).unwrap();
    let worker = server.workers()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    assert!(conn.to_end().is_err(), "the connection ended as if all had been sent");
    let mut conn = server.connect();
    conn.send("GET /bytes?n=12000000&pieces=40 HTTP/1.0\r\n\r\n");
    assert!(is_pattern(&conn.reply().unwrap().body));
    server.stop();
}
