//! Handlers that block the event loop for a while: they are logged, and nothing else changes for them.

use crate::support::{connections, get};
use hostler_testkit::{Conn, Server, line_of};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How many seconds a call took, and what it returned.
fn timed(server: &Server, path: &str) -> (f64, i32) {
    let text = server.connect().get(path).text();
    let (seconds, returned) = text.split_once(' ').unwrap_or_else(|| panic!("{path}: {text}"));
    (seconds.parse().unwrap(), returned.parse().unwrap())
}

#[test]
fn system_calls_of_c_code_take_their_time_although_the_loop_is_observed() {
    for target in ["blocking:app", "blocking:rsgi"] {
        let server = Server::app(target).option("workers", 1).option("slow-callback", 200).start();
        let places = ["line of poll", "line of sleep", "line of poll with the GIL"];
        for (path, place) in ["/poll/3", "/sleep/3", "/poll_with_the_gil/3"].into_iter().zip(places) {
            let (seconds, returned) = timed(&server, path);
            // A signal would interrupt the first with -1, the second with the remaining seconds.
            assert!(seconds >= 2.9 && returned == 0, "{path}: {seconds} s, {returned}");
            server.wait_for(&format!("blocking.py:{} in", line_of("blocking.py", &format!("# {place}"))), 1);
        }
        server.wait_for("event loop blocked", 3);
        let log = server.log();
        assert!(log.contains("GET /poll/3") && !log.contains("worker exited"), "{log}");
        server.stop();
    }
}

#[test]
fn a_loop_that_is_blocked_in_any_way_is_logged_once_with_its_line() {
    let server = Server::app("blocking:app").option("workers", 1).option("slow-callback", 100).start();
    let ways = [
        ("spin", "in spin"),
        ("wait", "in wait"),
        ("lock", "in lock"),
        ("fork_and_wait", "in fork_and_wait"),
    ];
    for (count, (way, place)) in ways.into_iter().enumerate() {
        for prefix in ["", "/later"] {
            assert_eq!(server.connect().get(&format!("{prefix}/{way}/0.8")).status, 200);
        }
        server.wait_for("event loop blocked", 2 * (count + 1));
        assert_eq!(server.log().matches(place).count(), 2, "{way}: {}", server.log());
    }
    assert_eq!(server.log().matches("event loop blocked").count(), 2 * ways.len(), "{}", server.log());
    server.stop();
}

#[test]
fn the_thread_of_an_idle_worker_sleeps() {
    let server = Server::app("blocking:app").option("workers", 1).option("slow-callback", 100).start();
    let pid = server.connect().get("/pid").text();
    let switches = || -> Vec<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let of = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap();
            let name = status.lines().next()?.ends_with("attendant");
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            name.then(|| switches.trim().parse().unwrap())
        };
        tasks.filter_map(of).collect()
    };
    // It settles within some looks; then it does not run at all.
    let limit = std::time::Instant::now() + hostler_testkit::LIMIT;
    loop {
        let before = switches();
        // The test is that nothing happens for this long.
        std::thread::sleep(std::time::Duration::from_millis(500));
        // It has its name from its start on, which may be after the first response.
        if before.len() == 1 && switches() == before {
            break;
        }
        assert!(std::time::Instant::now() < limit, "it does not fall asleep: {before:?}");
    }
    server.stop();
}

#[test]
fn a_slow_callback_is_logged_with_its_line_and_its_worker_lives() {
    let server = Server::app("supervised:app").option("workers", 1).option("slow-callback", 200).start();
    assert_eq!(server.connect().get("/block/1").text(), "blocked");
    server.wait_for("event loop blocked", 1);
    let log = server.log();
    assert!(log.contains("supervised.py:") && log.contains("in on_block"), "{log}");
    assert!(!log.contains("worker exited"), "{log}");
    server.stop();
}

#[test]
fn rsgi_applications_are_watched_for_slow_callbacks() {
    let server = Server::app("rsgi_blocking:app")
        .option("interface", "rsgi")
        .option("workers", 1)
        .option("slow-callback", 200)
        .start();
    assert_eq!(server.connect().get("/").text(), "blocked");
    server.wait_for("event loop blocked", 1);
    server.stop();
}

#[test]
fn finished_responses_are_sent_while_another_handler_blocks_the_thread() {
    let server = connections("asgi").option("workers", 1).start();
    let mut quick: Vec<Conn> = (0..5).map(|_| server.connect()).collect();
    let mut blocking = server.connect();
    for conn in quick.iter_mut().chain([&mut blocking]) {
        assert_eq!(conn.get("/pid").status, 200);
    }
    // All of them are ready in the turn that follows this.
    let mut first = server.connect();
    first.send(get("/block?s=0.3"));
    // No event shows that its handler blocks by now; if it does not yet, the test checks less.
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
}
