//! WSGI and clients that let others wait: no thread waits for them if that can be helped.

use hostler_testkit::{Builder, Conn, LIMIT, Server};
use nix::{libc, sys::socket::setsockopt, sys::socket::sockopt};
use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn with_threads(threads: u16) -> Builder {
    Server::app("wsgi_adverse:app").option("workers", 1).option("blocking-threads", threads)
}

fn send_get(conn: &mut Conn, path: &str) {
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
}

fn send_expecting(conn: &mut Conn, path: &str, length: usize) {
    let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}");
    conn.send(format!("{head}\r\nexpect: 100-continue\r\n\r\n"));
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the worker's descriptors lead to.
fn descriptors(server: &Server) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("/proc/{}/fd", server.workers()[0])).unwrap();
    all.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

fn sockets(server: &Server) -> usize {
    descriptors(server).iter().filter(|path| path.to_string_lossy().starts_with("socket:")).count()
}

/// Closes with a reset.
fn reset(conn: Conn) {
    let stream = conn.into_stream();
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

#[test]
fn slow_senders_hold_no_thread() {
    for threads in [1, 2] {
        let server = with_threads(threads).start();
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for conn in &mut slow {
            conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhello");
        }
        assert_eq!(server.connect().get("/echo").text(), "");
        for conn in &mut slow {
            conn.send("world");
            assert_eq!(conn.reply().unwrap().text(), "helloworld");
        }
        server.stop();
    }
}

#[test]
fn slow_readers_hold_no_thread_up_to_the_buffers_size() {
    let server = with_threads(2).option("wsgi-answer-buffer", 64 << 20).start();
    let mut slow: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for conn in &mut slow {
        // More than the kernel takes.
        send_get(conn, "/blocks?500");
    }
    until("threads wait for clients", || server.connect().get("/state?closed").text() == "3");
    for conn in &mut slow {
        assert_eq!(conn.reply().unwrap().body.len(), 500 * 65536);
    }
    server.stop();
}

#[test]
fn a_client_that_leaves_frees_the_thread_that_waits_for_it() {
    let server = with_threads(2).start();
    let mut slow: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut slow {
        send_get(conn, "/blocks?1000000");
        conn.exactly(1).unwrap();
    }
    // Nobody can be served until they leave.
    let mut third = server.connect();
    send_get(&mut third, "/state?closed");
    slow.into_iter().for_each(reset);
    assert!(third.reply().is_ok());
    until("a thread waits on", || server.connect().get("/state?closed").text() == "2");
    server.stop();
}

#[test]
fn an_answer_without_the_body_is_sent_to_a_client_that_waits_for_a_100() {
    for threads in [1, 2, 4] {
        let server = with_threads(threads).start();
        let mut conn = server.connect();
        send_expecting(&mut conn, "/refuse", 5);
        assert_eq!(conn.exactly(12).unwrap(), b"HTTP/1.1 417", "{threads} threads");
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("hello");
        assert_eq!(conn.reply().unwrap().text(), "hello");
        assert_eq!(conn.get("/flag").text(), "set");
        // A client that does not wait.
        send_expecting(&mut conn, "/echo", 5);
        conn.send("again");
        assert_eq!(conn.reply().unwrap().text(), "again");
        server.stop();
    }
}

#[test]
fn clients_that_wait_for_a_100_hold_half_of_the_threads_at_most() {
    for threads in [1, 2, 4] {
        let server = with_threads(threads).start();
        let mut slow: Vec<_> = (0..6).map(|_| server.connect()).collect();
        for conn in &mut slow {
            send_expecting(conn, "/echo", 5);
            assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        assert_eq!(server.connect().get("/flag").text(), "set", "{threads} threads");
        // Those that leave give the thread back.
        slow.drain(..3).for_each(reset);
        for conn in &mut slow {
            conn.send("hello");
            assert_eq!(conn.reply().unwrap().text(), "hello");
        }
        server.stop();
    }
}

#[test]
fn with_one_thread_one_call_runs_at_a_time_whatever_waits() {
    let server = with_threads(1).start();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut conn = server.connect();
                for _ in 0..20 {
                    if number % 2 == 0 {
                        assert_eq!(conn.get("/alone").text(), "nothingnothingnothing");
                        continue;
                    }
                    send_expecting(&mut conn, "/alone", 2);
                    conn.send("ab");
                    assert_eq!(conn.reply().unwrap().text(), "ababab");
                }
            });
        }
    });
    assert_eq!(server.connect().get("/state?most").text(), "1");
    server.stop();
}

#[test]
fn a_body_beyond_the_limit_is_read_while_the_application_runs() {
    for threads in [1, 2] {
        let server = with_threads(threads).option("wsgi-body-spool", 100_000).start();
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for conn in &mut slow {
            conn.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
            conn.send(vec![b'x'; 200_000]);
        }
        assert_eq!(server.connect().get("/flag").text(), "set");
        for conn in &mut slow {
            conn.send(vec![b'x'; 2_800_000]);
        }
        for conn in &mut slow {
            assert_eq!(conn.reply().unwrap().text(), "3000000");
        }
        server.stop();
    }
}

#[test]
fn a_body_that_breaks_off_is_an_error_for_its_reader_and_frees_the_thread() {
    let server = with_threads(2).start();
    for _ in 0..4 {
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("he");
        reset(conn);
    }
    server.wait_for("the request's body did not arrive whole", 1);
    let begun = Instant::now();
    assert_eq!(server.connect().get("/flag").text(), "set");
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.stop();
}

#[test]
fn large_bodies_leave_no_file() {
    for threads in [1, 2] {
        let dir = TempDir::new().unwrap();
        let server = with_threads(threads).env("TMPDIR", dir.path().to_str().unwrap()).start();
        let mut conn = server.connect();
        conn.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
        conn.send(vec![b'x'; 2_000_000]);
        let spooled = || descriptors(&server).iter().any(|path| path.starts_with(dir.path()));
        until("nothing was stored", spooled);
        let mut broken = server.connect();
        broken.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
        broken.send(vec![b'x'; 2_000_000]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        conn.send(vec![b'x'; 1_000_000]);
        assert_eq!(conn.reply().unwrap().text(), "3000000");
        reset(broken);
        until("a file was left", || !spooled());
        server.stop();
    }
}

#[test]
fn a_body_that_cannot_be_stored_is_answered_and_told() {
    for threads in [1, 2] {
        // A missing directory; and files of at most 2 MB, which fail as a full disk does.
        let missing = with_threads(threads).env("TMPDIR", "/nonexistent").start();
        let limited = with_threads(threads).start();
        let worker = limited.workers()[0].to_string();
        let limit = Command::new("prlimit").args(["--pid", &worker, "--fsize=2000000"]).status();
        assert!(limit.unwrap().success());
        for (server, status) in [(missing, 500), (limited, 507)] {
            let mut conn = server.connect();
            conn.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4000000\r\n\r\n");
            conn.send(vec![b'x'; 2_200_000]);
            assert_eq!(conn.reply().unwrap().status, status);
            server.wait_for("a request's body could not be stored", 1);
            assert_eq!(server.connect().get("/flag").text(), "set");
            assert_eq!(server.workers().len(), 1);
            server.stop();
        }
    }
}

/// A server both of whose threads are held, and the file that frees them.
fn held(server: Builder) -> (Server, TempDir, Vec<Conn>) {
    let server = server.start();
    let dir = TempDir::new().unwrap();
    let mut held: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut held {
        send_get(conn, &format!("/hold?{}", dir.path().join("go").display()));
    }
    until("they do not run", || fs::read_dir(dir.path()).unwrap().count() == 2);
    (server, dir, held)
}

#[test]
fn a_request_that_was_answered_504_in_the_queue_does_not_run() {
    let (server, dir, mut held) = held(with_threads(2).option("request-timeout", "1s"));
    held.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 504));
    assert_eq!(server.connect().get("/mark").status, 504);
    fs::write(dir.path().join("go"), "").unwrap();
    until("the threads are held on", || server.connect().get("/flag").status == 200);
    assert_eq!(server.connect().get("/state?marks").text(), "0");
    server.stop();
}

#[test]
fn requests_of_clients_that_left_do_not_run() {
    let (server, dir, mut held) = held(with_threads(2));
    let before = sockets(&server);
    let mut half_closed = server.connect();
    send_get(&mut half_closed, "/mark");
    half_closed.finish();
    let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| send_get(conn, "/mark"));
    until("they are not accepted", || sockets(&server) == before + 5);
    // Two break, two leave in good order; but those are taken for clients that wait with a closed side at first.
    conns.drain(..2).for_each(reset);
    until("nobody noticed", || sockets(&server) == before + 3);
    // There is no event to wait for: a second that passes is what is tested.
    std::thread::sleep(Duration::from_millis(1500));
    drop(conns);
    until("nobody noticed", || sockets(&server) == before + 1);
    fs::write(dir.path().join("go"), "").unwrap();
    held.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().text(), "held"));
    assert_eq!(half_closed.reply().unwrap().text(), "marked");
    assert_eq!(server.connect().get("/state?marks").text(), "1");
    server.stop();
}

#[test]
fn a_client_that_reads_nothing_gives_its_thread_back_after_the_write_timeout() {
    let server = with_threads(2).option("write-timeout", "1s").start();
    let mut slow: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut slow {
        send_get(conn, "/blocks?1000000");
        conn.exactly(1).unwrap();
    }
    until("a thread waits on", || server.connect().get("/state?closed").text() == "2");
    assert_eq!(server.workers().len(), 1);
    server.stop();
}

#[test]
fn a_client_that_sends_nothing_gives_its_thread_back_after_the_body_timeout() {
    for threads in [1, 2] {
        let server = with_threads(threads).option("body-read-timeout", "1s").start();
        for _ in 0..2 {
            // One that is stored first, and those that are read while the application runs.
            let mut plain = server.connect();
            plain.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhe");
            let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
            for conn in &mut slow {
                send_expecting(conn, "/echo", 5);
                assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            for conn in slow.iter_mut().chain([&mut plain]) {
                assert_eq!(conn.reply().unwrap().status, 408);
            }
        }
        // A thread is free for one that keeps its word.
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("hello");
        assert_eq!(conn.reply().unwrap().text(), "hello");
        server.stop();
    }
}
