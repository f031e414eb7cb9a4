//! How a worker ends: requests in flight, streams, and what the application is not done with.

use hostler_testkit::{Builder, Conn, Server, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;
use tempfile::TempDir;

#[test]
fn a_graceful_stop_answers_what_is_in_flight() {
    let mut server = Server::app("asgi_app:app").start();
    let mut conn = server.connect();
    let mut idle = server.connect();
    assert_eq!(idle.get("/pid").status, 200);
    conn.send("GET /slow?0.5 HTTP/1.1\r\nhost: t\r\n\r\n");
    // The request is in flight once its worker responds on a later connection.
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGTERM);
    assert_eq!(conn.reply().unwrap().text(), "slow answer");
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(idle.is_closed());
    assert!(server.processes().is_empty());
}

#[test]
fn a_quick_stop_does_not_wait_and_a_second_signal_is_one() {
    for signals in [&[Signal::SIGINT][..], &[Signal::SIGTERM, Signal::SIGTERM][..]] {
        let mut server = Server::app("asgi_app:app").start();
        let mut conn = server.connect();
        conn.send("GET /slow?600 HTTP/1.1\r\nhost: t\r\n\r\n");
        for (number, signal) in signals.iter().enumerate() {
            server.signal(*signal);
            if number == 0 && signals.len() > 1 {
                server.wait_for("stopping gracefully", 1);
            }
        }
        assert_eq!(server.wait_exit().code(), Some(0));
        assert!(server.processes().is_empty());
    }
}

#[test]
fn responses_during_a_drain_delay_close_their_connections() {
    let mut server = Server::app("supervised:app").option("workers", 1).option("drain-delay", 1).start();
    let mut kept = server.connect();
    assert_eq!(kept.get("/pid").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_for("stopping gracefully", 1);
    // The worker learns of it a moment later; its responses show when.
    wait_until("draining", || server.connect().get("/pid").header("connection") == Some("close"));
    let last = kept.get("/pid");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(kept.is_closed());
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// Begins a stream, and stops the server once the request is in flight.
fn stop_during(server: &Server, request: &str) -> Conn {
    let mut stream = server.connect();
    stream.send(request);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_for("worker draining", 1);
    stream
}

#[test]
fn streams_learn_of_a_stop() {
    // Streams of events at once; others, which may end by themselves, when most of the grace is over.
    for (path, graceful_timeout) in [("/events", 600), ("/download", 10)] {
        let server = Server::app("supervised:app").option("workers", 1);
        let mut server = server.option("graceful-timeout", graceful_timeout).start();
        let mut stream = stop_during(&server, &format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        assert_eq!(stream.reply().unwrap().text(), "begun\nrequest\ndisconnect\nended");
        assert_eq!(server.wait_exit().code(), Some(0));
        assert!(!server.log().contains("are cut"), "{}", server.log());
    }
}

#[test]
fn a_download_is_whole_although_the_server_stops() {
    let directory = TempDir::new().unwrap();
    let end = directory.path().join("end");
    let server = Server::app("supervised:app").option("workers", 1).option("log-level", "debug");
    let server = server.option("graceful-timeout", 600);
    let mut server = server.env("END", end.to_str().unwrap()).start();
    let mut stream = stop_during(&server, "GET /download/to-its-end HTTP/1.1\r\nhost: t\r\n\r\n");
    // The application looks for a disconnect several times in between.
    server.wait_for("idle connections are closed", 1);
    fs::write(&end, "").unwrap();
    assert_eq!(stream.reply().unwrap().text(), "begun\nrequest\nended");
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn an_upload_is_received_whole_although_the_server_stops() {
    let mut server = Server::app("supervised:app").option("workers", 1).start();
    let mut stream =
        stop_during(&server, "POST /events HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    stream.send("rest");
    let text = stream.reply().unwrap().text();
    let pieces = text.replace("request\n", "");
    assert_eq!(pieces, "begun\nhalfrestdisconnect\nended", "{text}");
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn a_cut_request_is_named() {
    let mut server = Server::app("supervised:app").option("workers", 1).option("graceful-timeout", 1).start();
    let mut waiting = server.connect();
    waiting.send("GET /wait/600 HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_exit();
    assert!(server.log().contains("requests in flight are cut"), "{}", server.log());
    assert!(server.log().contains("GET /wait/600"), "{}", server.log());
}

#[test]
fn tasks_that_ignore_their_cancellation_do_not_keep_their_worker_from_exiting() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::app("asgi_app:app").option("graceful-timeout", 0.3).start();
        let mut conn = server.connect();
        conn.send("GET /immortal HTTP/1.1\r\nhost: t\r\n\r\n");
        server.wait_for("lives on", 1);
        server.signal(signal);
        assert_eq!(server.wait_exit().code(), Some(0));
        assert!(!server.log().contains("worker killed"), "{signal}: {}", server.log());
    }
}

#[test]
fn a_second_order_cuts_nothing_where_nothing_is_in_flight() {
    let server = Server::app("background_app:app").option("workers", 1).start();
    // Work after the response, which is no request any more.
    assert_eq!(server.connect().get("/work?seconds=600&name=long").status, 200);
    for (signal, log) in [(Signal::SIGTERM, "worker draining"), (Signal::SIGINT, "no request is in flight")] {
        server.signal(signal);
        server.wait_for(log, 1);
    }
    server.wait_empty();
    assert!(!server.log().contains("are cut"), "{}", server.log());
}

#[test]
fn a_failed_shutdown_is_logged_although_the_application_silenced_other_loggers() {
    let server = Server::app("blocking:app").option("workers", 1).env("FAIL", "shutdown").start();
    assert_eq!(server.connect().get("/quiet").text(), "configured");
    server.signal(Signal::SIGTERM);
    server.wait_for("the application raised in its lifespan", 1);
    server.wait_for("failed in shutdown", 1);
}

#[test]
fn a_shutdown_that_hangs_lasts_the_graceful_timeout() {
    for (env, question) in [("shutdown", "own_loop"), ("", "at_exit/600")] {
        let server = Server::app("blocking:app").option("workers", 1).option("graceful-timeout", 1);
        let mut server = server.env("HANG", env).start();
        assert_eq!(server.connect().get(&format!("/{question}")).status, 200);
        server.signal(Signal::SIGTERM);
        server.wait_for("worker killed", 1);
        assert!(server.wait_exit().success());
        server.wait_empty();
    }
}

#[test]
fn a_worker_that_quits_accepts_nothing_during_its_shutdown() {
    let server = Server::app("blocking:app").option("workers", 2).option("graceful-timeout", 2);
    let server = server.env("HANG", "shutdown").start();
    server.wait_for("worker ready", 2);
    let quits: i32 = server.connect().get("/pid").text().parse().unwrap();
    kill(Pid::from_raw(quits), Signal::SIGQUIT).unwrap();
    server.wait_for("worker draining", 1);
    for _ in 0..50 {
        assert_ne!(server.connect().get("/pid").text(), quits.to_string());
    }
    kill(Pid::from_raw(quits), Signal::SIGKILL).unwrap();
    server.wait_for("worker exited", 1);
    server.signal(Signal::SIGQUIT);
    server.wait_empty();
}

fn asgi() -> Builder {
    Server::app("leaving_app:app").option("workers", 1)
}

fn wsgi(threads: u16) -> Builder {
    Server::app("leaving_app:wsgi").option("workers", 1).option("blocking-threads", threads)
}

/// The worker exits only when all of that is finished, which is not before it was told to stop.
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
    server.wait_for("the worker cannot exit yet: it waits for", 1);
    fs::write(&go, "").unwrap();
    assert!(server.wait_exit().success());
    let log = server.log();
    for kind in kinds {
        assert!(log.contains(&format!("finished {kind}")), "{kind}: {log}");
    }
    assert!(!log.contains("event loop blocked") && !log.contains("worker killed"), "{log}");
}

#[test]
fn work_in_threads_and_executors_is_finished_before_a_worker_exits() {
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
fn what_delays_a_workers_exit_is_logged() {
    let mut server = asgi().option("graceful-timeout", 1).env("HANG", "1").start();
    server.signal(Signal::SIGTERM);
    server.wait_for("the worker cannot exit yet: it waits for the application's lifespan", 1);
    server.wait_for("in hang_in_shutdown", 1);
    server.wait_exit();
    assert!(server.log().contains("worker killed"), "{}", server.log());

    let mut server = asgi().option("graceful-timeout", 1).start();
    assert_eq!(server.connect().get("/hang").text(), "begun");
    server.signal(Signal::SIGTERM);
    server.wait_for("the worker cannot exit yet: it waits for threads of the application", 1);
    server.wait_for("in hang_in_thread", 1);
    server.wait_exit();
}
