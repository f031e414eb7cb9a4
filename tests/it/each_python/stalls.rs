//! Workers whose handler is stuck: they are found, reported with request and line, and replaced.

use hostler_testkit::Server;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::{Duration, Instant};

#[test]
fn stalls_are_reported_with_request_and_line() {
    let hang = |path: &str, expected: &[&str]| {
        let server = Server::app("supervised:app").option("workers", 1).option("stall-timeout", 2).start();
        let mut conn = server.connect();
        conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        let begun = Instant::now();
        server.wait_for("worker is stuck", 1);
        let found = begun.elapsed();
        assert!(found > Duration::from_secs(1) && found < Duration::from_secs(15), "{found:?}");
        server.wait_for("worker ready", 2);
        server.wait_for("worker exited", 1);
        assert_eq!(server.connect().get("/pid").status, 200);
        for text in expected {
            assert!(server.log().contains(text), "{text:?} is missing:\n{}", server.log());
        }
        server.stop();
    };
    hang(
        "/block/1000000",
        &["reason=\"stall-timeout\"", "GET /block/1000000", "supervised.py:", "in on_block", "Task"],
    );
    hang("/spin/10000000000000", &["reason=\"stall-timeout\"", "GET /spin/1000", "in on_spin"]);
}

#[test]
fn waiting_and_streaming_beyond_the_stall_timeout_is_no_stall() {
    let server = Server::app("supervised:app").option("workers", 1).option("stall-timeout", 1).start();
    let mut stream = server.connect();
    stream.send("GET /ticks/12 HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(server.connect().get("/wait/3").text(), "waited");
    assert_eq!(stream.reply().unwrap().text(), "tick\n".repeat(12));
    assert!(!server.log().contains("worker is stuck"), "{}", server.log());
    server.stop();
}

/// Each call is much shorter than the stall timeout; all of them, in one turn of the loop, are longer.
#[test]
fn many_short_calls_in_one_turn_are_no_stall() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        let server = Server::app(&format!("short_calls:{interface}"))
            .option("workers", 1)
            .option("interface", interface)
            .option("stall-timeout", 1)
            .start();
        let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/0").status, 200));
        clients.iter_mut().for_each(|client| client.send("GET /0.1 HTTP/1.1\r\nhost: t\r\n\r\n"));
        for client in &mut clients {
            let status = client.reply().map(|reply| reply.status).ok();
            assert_eq!(status, Some(200), "{interface}: {}", server.log());
        }
        assert!(!server.log().contains("worker is stuck"), "{interface}: {}", server.log());
        server.stop();
    }
}

#[test]
fn a_worker_that_stalls_in_any_way_is_replaced_and_its_line_logged() {
    let ways = [
        ("spin", "in spin"),
        ("lock", "in lock"),
        ("wait", "in wait"),
        ("sleep", "in <lambda>"),
        ("poll_with_the_gil", "in <lambda>"),
        ("fork_and_wait", "in fork_and_wait"),
    ];
    let server = Server::app("blocking:app").option("workers", 1).option("stall-timeout", 1).start();
    for (count, (way, place)) in ways.into_iter().enumerate() {
        let path = format!("/{way}/60");
        let mut stuck = server.connect();
        stuck.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        server.wait_for("worker is stuck", count + 1);
        server.wait_for("worker ready", count + 2);
        let log = server.log();
        let told = log.lines().rfind(|line| line.contains("worker is stuck")).unwrap();
        assert!(told.contains(place) && told.contains(&format!("GET {path} ")), "{way}: {told}");
        server.wait_for("worker exited", count + 1);
    }
    // Of the tasks too, if Python gets to run: not behind C code that holds the GIL, nor on a machine without time.
    assert!(server.log().contains("Stack for <Task 'Task-4' app>"), "{}", server.log());
    // Forked processes outlive their worker; this test kills them.
    end_strays(&server);
    server.stop();
}

/// Ends processes of the server's that are neither its master nor the mold nor the last worker.
fn end_strays(server: &Server) {
    let last = server.workers().pop().unwrap();
    for pid in server.processes() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if pid != last && pid != server.master() && !name.contains("mold") {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
