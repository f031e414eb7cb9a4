//! Responses that are complete before their handlers: what handlers do after the response is finished, cancelled or logged.

use hostler_testkit::Server;
use nix::sys::signal::Signal;

fn app() -> hostler_testkit::Builder {
    Server::app("background_app:app").option("workers", 1)
}

fn rsgi() -> hostler_testkit::Builder {
    Server::app("background_app:rsgi").option("interface", "rsgi").option("workers", 1)
}

#[test]
fn a_response_with_a_length_is_complete_at_its_last_byte_and_no_disconnect() {
    for event_loop in ["hostler", "asyncio", "uvloop"] {
        let server = app().option("loop", event_loop).start();
        let mut conn = server.connect();
        assert_eq!(conn.get("/exact").text(), "1234512345");
        server.wait_for("sent to the end, then http.disconnect", 1);
        assert_eq!(conn.request("HEAD", "/exact", "", b"").header("content-length"), Some("10"));
        server.wait_for("sent to the end, then http.disconnect", 2);
        // The connection is free meanwhile.
        conn.send("GET /exact HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(conn.reply().unwrap().text(), "1234512345");
        assert_eq!(conn.get("/pid").status, 200);
        server.wait_for("sent to the end, then http.disconnect", 3);
        assert!(!server.log().contains("ERROR"), "{}", server.log());
        server.stop();
    }
}

#[test]
fn the_threads_of_synchronous_handlers_are_kept_from_request_to_request() {
    for event_loop in ["hostler", "asyncio", "uvloop"] {
        let server = app().option("loop", event_loop).start();
        let mut conn = server.connect();
        let first = conn.get("/fastapi/thread").text();
        for _ in 0..5 {
            assert_eq!(conn.get("/fastapi/thread").text(), first, "{event_loop}");
        }
        server.stop();
    }
}

#[test]
fn an_rsgi_response_with_a_length_is_complete_at_its_last_byte() {
    let server = rsgi().start();
    for (number, method) in [(1, "GET"), (2, "HEAD")] {
        assert_eq!(server.connect().request(method, "/exact", "", b"").header("content-length"), Some("10"));
        server.wait_for("sent to the end", number);
        server.wait_for("ConnectionRefusedError: background work failed on purpose", number);
    }
    server.wait_for("the RSGI application raised after its response was complete", 2);
    server.stop();
}

#[test]
fn background_tasks_of_streamed_responses_run() {
    let server = app().start();
    let mut conn = server.connect();
    for path in ["/stream?exact", "/stream?open"] {
        assert_eq!(conn.get(path).body.len(), 25);
        assert_eq!(conn.request("HEAD", path, "", b"").status, 200);
    }
    assert_eq!(conn.get("/file").header("x-middleware"), Some("passed"));
    assert_eq!(conn.request("HEAD", "/file", "", b"").status, 200);
    for (method, name) in [("GET", "exact"), ("HEAD", "exact"), ("GET", "open"), ("HEAD", "open")] {
        server.wait_for(&format!("done stream {method} {name}"), 1);
    }
    server.wait_for("done file GET", 1);
    server.wait_for("done file HEAD", 1);
    assert!(!server.log().contains("Traceback"), "{}", server.log());
    server.stop();
}

#[test]
fn an_endless_stream_that_answers_head_ends_with_its_connection() {
    for server in [app().start(), rsgi().start()] {
        let mut conn = server.connect();
        assert_eq!(conn.request("HEAD", "/endless", "", b"").status, 200);
        // It holds up neither the loop nor the connection.
        assert_eq!(conn.request("HEAD", "/exact", "", b"").status, 200);
        assert!(!server.log().contains("the endless stream ends"));
        drop(conn);
        server.wait_for("the endless stream ends", 1);
        server.stop();
    }
}

#[test]
fn work_after_a_response_is_finished_before_a_stop() {
    let mut server = app().start();
    let mut conn = server.connect();
    let paths = [
        "/both?seconds=1.5",
        "/fastapi/sync?seconds=1.5",
        "/fastapi/async?seconds=1.5",
        "/work?seconds=2&name=eager",
        "/work?seconds=2&name=late&late=1",
    ];
    for path in paths {
        assert_eq!(conn.get(path).text().trim_matches('"'), "answered");
    }
    let mut left = server.connect();
    left.send("GET /gone HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("works for somebody", 1);
    drop((conn, left));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    for name in [
        "starlette async",
        "starlette sync",
        "fastapi sync",
        "fastapi async",
        "raw eager",
        "raw late",
        "for nobody",
    ] {
        assert!(log.contains(&format!("done {name}")), "{name}:\n{log}");
    }
    assert!(log.find("done raw late") < log.find("shut down"), "{log}");
    assert!(!log.contains("cancelled"), "{log}");
}

#[test]
fn work_after_a_response_is_finished_before_a_reload_and_a_recycle() {
    for recycle in [false, true] {
        let mut server = if recycle { app().option("max-requests", 1) } else { app() }.start();
        let mut conn = server.connect();
        assert_eq!(conn.get("/work?seconds=4&name=old").text(), "answered");
        let old = server.workers()[0].to_string();
        if !recycle {
            server.signal(Signal::SIGHUP);
        }
        server.wait_for("worker ready", 2);
        // The successor serves while the old one works.
        while server.connect().get("/pid").text() == old {}
        server.wait_for("done raw old", 1);
        server.wait_for("worker exited", 1);
        assert!(!server.log().contains("cancelled"), "{}", server.log());
        server.signal(Signal::SIGTERM);
        assert!(server.wait_exit().success());
    }
}

#[test]
fn work_that_outlasts_the_graceful_timeout_is_cancelled_and_logged() {
    for asgi in [true, false] {
        let server = if asgi { app() } else { rsgi() };
        let mut server = server.option("graceful-timeout", 1).start();
        let mut conn = server.connect();
        assert_eq!(conn.get("/work?seconds=600&name=long").text(), "answered");
        server.signal(Signal::SIGTERM);
        assert!(server.wait_exit().success());
        let log = server.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("outlived its response")).collect();
        assert!(told.len() == 1 && told[0].contains("work=\"GET /work "), "{log}");
        let cancelled = if asgi { "cancelled raw long" } else { "cancelled rsgi long" };
        assert!(log.contains(cancelled) && !log.contains("Traceback") && !log.contains("are cut"), "{log}");
        assert!(!asgi || log.find(cancelled) < log.find("shut down"), "{log}");
    }
}

#[test]
fn an_exception_after_the_response_is_logged_once_with_its_traceback() {
    let server = app().start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/fails").text(), "answered");
    server.wait_for("ConnectionRefusedError: background work failed on purpose", 1);
    assert_eq!(conn.get("/pid").status, 200);
    let log = server.log();
    assert_eq!(log.matches("the ASGI application raised after its response was complete").count(), 1);
    assert_eq!(log.matches("ConnectionRefusedError: background").count(), 1, "{log}");
    server.stop();
}
