//! Bodies that are large, break off, or cannot be stored.

use super::{adverse_app, reset, send_expecting};
use hostler_testkit::{proc, wait_until};
use nix::sys::signal::Signal;
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn a_body_beyond_the_limit_is_read_while_the_application_runs() {
    for threads in [1, 2] {
        let server = adverse_app(threads).option("wsgi-body-spool", 100_000).start();
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
    let server = adverse_app(2).start();
    for _ in 0..4 {
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("he");
        reset(conn);
    }
    server.wait_for("the request's body is incomplete", 1);
    let begun = Instant::now();
    assert_eq!(server.connect().get("/flag").text(), "set");
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.stop();
}

/// An application would store a part of a file as the whole.
#[test]
fn a_body_that_is_cut_with_its_worker_is_not_whole_for_its_reader() {
    let server = adverse_app(2).option("graceful-timeout", 1).start();
    let mut whole = server.connect();
    send_expecting(&mut whole, "/upload", 5);
    assert_eq!(whole.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    whole.send("whole");
    assert_eq!(whole.reply().unwrap().text(), "stored");
    let mut cut = server.connect();
    send_expecting(&mut cut, "/upload", 500_000);
    assert_eq!(cut.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    server.signal(Signal::SIGTERM);
    server.wait_for("stopped requests=", 1);
    // The process may have exited before its thread could say that the upload is broken.
    assert_eq!(server.log().matches("upload of").count(), 1, "{}", server.log());
    server.wait_empty();
}

#[test]
fn large_bodies_leave_no_file() {
    for threads in [1, 2] {
        let dir = TempDir::new().unwrap();
        let server = adverse_app(threads).env("TMPDIR", dir.path().to_str().unwrap()).start();
        let mut conn = server.connect();
        conn.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
        conn.send(vec![b'x'; 2_000_000]);
        let descriptors = || proc::descriptors(server.workers()[0]);
        let spooled = || descriptors().values().any(|path| path.starts_with(dir.path()));
        wait_until("stored", spooled);
        let mut broken = server.connect();
        broken.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\n\r\n");
        broken.send(vec![b'x'; 2_000_000]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        conn.send(vec![b'x'; 1_000_000]);
        assert_eq!(conn.reply().unwrap().text(), "3000000");
        reset(broken);
        wait_until("removed", || !spooled());
        server.stop();
    }
}

#[test]
fn a_body_that_cannot_be_stored_is_an_error_response_and_logged() {
    for threads in [1, 2] {
        // A missing directory; and files of at most 2 MB, which fail as a full disk does.
        let missing = adverse_app(threads).env("TMPDIR", "/nonexistent").start();
        let limited = adverse_app(threads).start();
        let worker = limited.workers()[0].to_string();
        let limit = Command::new("prlimit").args(["--pid", &worker, "--fsize=2000000"]).status();
        assert!(limit.unwrap().success());
        for (server, status) in [(missing, 500), (limited, 507)] {
            let mut conn = server.connect();
            conn.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4000000\r\n\r\n");
            conn.send(vec![b'x'; 2_200_000]);
            assert_eq!(conn.reply().unwrap().status, status);
            server.wait_for("cannot store a request's body", 1);
            assert_eq!(server.connect().get("/flag").text(), "set");
            assert_eq!(server.workers().len(), 1);
            drop(conn);
            server.stop();
        }
    }
}
