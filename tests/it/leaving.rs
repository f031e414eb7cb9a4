//! Workers that leave: what the application began and is not done with, and what holds them up.

use hostler_testkit::{Builder, Server};
use nix::sys::signal::Signal;
use std::fs;
use tempfile::TempDir;

fn asgi() -> Builder {
    Server::app("leaving_app:app").option("workers", 1)
}

fn wsgi(threads: u16) -> Builder {
    Server::app("leaving_app:wsgi").option("workers", 1).option("blocking-threads", threads)
}

/// The worker leaves only when all of it is finished, which is not before it has been told to leave.
fn finishes(builder: Builder, kinds: &[&str]) {
    let directory = TempDir::new().unwrap();
    let go = directory.path().join("go");
    let mut server = builder.env("GO", go.to_str().unwrap()).start();
    for kind in kinds {
        assert_eq!(server.connect().get(&format!("/{kind}")).text(), "begun");
    }
    assert_eq!(server.connect().get("/daemon").text(), "begun");
    server.signal(Signal::SIGTERM);
    server.wait_for("worker draining", 1);
    server.wait_for("the worker cannot leave yet: it waits for", 1);
    fs::write(&go, "").unwrap();
    assert!(server.wait_exit().success());
    let log = server.log();
    for kind in kinds {
        assert!(log.contains(&format!("finished {kind}")), "{kind}: {log}");
    }
    assert!(!log.contains("event loop blocked") && !log.contains("worker killed"), "{log}");
}

#[test]
fn work_in_threads_and_executors_is_finished_before_a_worker_leaves() {
    for event_loop in ["hostler", "asyncio", "uvloop"] {
        finishes(asgi().option("loop", event_loop), &["thread", "pool", "executor"]);
    }
    finishes(wsgi(1), &["thread", "pool"]);
    finishes(wsgi(3), &["thread", "pool"]);
}

#[test]
fn a_pool_of_processes_that_is_kept_ends_with_its_worker() {
    for (builder, signal) in [
        (asgi(), Signal::SIGTERM),
        (asgi(), Signal::SIGINT),
        (wsgi(1), Signal::SIGTERM),
        (wsgi(3), Signal::SIGTERM),
    ] {
        let mut server = builder.start();
        assert_eq!(server.connect().get("/processes").text(), "[2, 4]");
        server.signal(signal);
        assert!(server.wait_exit().success());
        assert!(!server.log().contains("worker killed"), "{}", server.log());
    }
}

#[test]
fn what_holds_up_a_workers_end_is_told() {
    let mut server = asgi().option("graceful-timeout", 1).env("HANG", "1").start();
    server.signal(Signal::SIGTERM);
    server.wait_for("the worker cannot leave yet: it waits for the application's lifespan", 1);
    server.wait_for("in hang_in_shutdown", 1);
    server.wait_exit();
    assert!(server.log().contains("worker killed"), "{}", server.log());

    let mut server = asgi().option("graceful-timeout", 1).start();
    assert_eq!(server.connect().get("/hang").text(), "begun");
    server.signal(Signal::SIGTERM);
    server.wait_for("the worker cannot leave yet: it waits for threads of the application", 1);
    server.wait_for("in hang_in_thread", 1);
    server.wait_exit();
}
