//! Threads: how many calls run at once, what waits for one, and what is interrupted.

use super::{adverse_app, reset, send_expecting, send_get, wsgi_app};
use hostler_testkit::{Builder, Conn, Load, Server, proc, wait_until};
use nix::sys::signal::Signal;
use std::{
    fs,
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn with_one_thread_one_call_runs_at_a_time_whatever_waits() {
    let server = adverse_app(1).start();
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

/// A server both of whose threads are held, and the file that frees them.
fn held(server: Builder) -> (Server, TempDir, Vec<Conn>) {
    let server = server.start();
    let dir = TempDir::new().unwrap();
    let mut held: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut held {
        send_get(conn, &format!("/hold?{}", dir.path().join("go").display()));
    }
    wait_until("running", || fs::read_dir(dir.path()).unwrap().count() == 2);
    (server, dir, held)
}

#[test]
fn a_request_that_timed_out_in_the_queue_does_not_run() {
    let (server, dir, mut held) = held(adverse_app(2).option("request-timeout", "1s"));
    held.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 504));
    assert_eq!(server.connect().get("/mark").status, 504);
    fs::write(dir.path().join("go"), "").unwrap();
    wait_until("free again", || server.connect().get("/flag").status == 200);
    assert_eq!(server.connect().get("/state?marks").text(), "0");
    server.stop();
}

#[test]
fn requests_of_disconnected_clients_do_not_run() {
    let (server, dir, mut held) = held(adverse_app(2));
    let sockets = || proc::sockets(server.workers()[0]);
    let before = sockets();
    let mut half_closed = server.connect();
    send_get(&mut half_closed, "/mark");
    half_closed.finish();
    let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| send_get(conn, "/mark"));
    wait_until("accepted", || sockets() == before + 5);
    // Two reset and two close; those that close are taken for half-closed clients that still wait at first.
    conns.drain(..2).for_each(reset);
    wait_until("noticed", || sockets() == before + 3);
    // No event to wait for: the test is what happens after a second.
    std::thread::sleep(Duration::from_millis(1500));
    drop(conns);
    wait_until("noticed", || sockets() == before + 1);
    fs::write(dir.path().join("go"), "").unwrap();
    held.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().text(), "held"));
    assert_eq!(half_closed.reply().unwrap().text(), "marked");
    assert_eq!(server.connect().get("/state?marks").text(), "1");
    server.stop();
}

#[test]
fn threads_run_concurrently_and_persist() {
    let server = wsgi_app(4).option("workers", 1).start();
    server.wait_for("at most 4 application calls at once", 1);
    let begun = Instant::now();
    let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for conn in &mut conns {
        conn.send("GET /sleep HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    let mut names: Vec<_> = conns.iter_mut().map(|conn| conn.reply().unwrap().text()).collect();
    // One after another they would take 1.2 s at the least.
    assert!(begun.elapsed() < Duration::from_millis(1150), "{:?}", begun.elapsed());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

/// The names of the threads of the pool that a worker has now.
fn pool(worker: i32) -> usize {
    proc::field(worker, "status", "Threads").unwrap().parse().unwrap()
}

#[test]
fn idle_threads_end_but_one_and_come_back_with_requests() {
    let server = wsgi_app(4).option("workers", 1).option("blocking-threads-idle-timeout", "1s").start();
    let worker = server.workers()[0];
    let at_once = || {
        let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let begun = Instant::now();
        conns.iter_mut().for_each(|conn| send_get(conn, "/sleep"));
        let mut names: Vec<_> = conns.iter_mut().map(|conn| conn.reply().unwrap().text()).collect();
        names.sort();
        names.dedup();
        (names.len(), begun.elapsed())
    };
    assert_eq!(at_once().0, 4);
    let all = pool(worker);
    // Three of the four.
    server.wait_until("idle threads have ended", || pool(worker) == all - 3);
    assert_eq!(server.connect().get("/pid").text(), worker.to_string());
    let (threads, time) = at_once();
    assert!(threads == 4 && time < Duration::from_millis(1150), "{threads} {time:?}");
    assert_eq!(pool(worker), all);
    server.wait_until("they end again", || pool(worker) == all - 3);
    // Requests that come while threads end are served, all of them.
    let load = Load::start(server.address.unwrap(), "/pid", 3);
    load.wait_for(300);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn a_thread_that_takes_too_long_is_interrupted_and_its_client_gets_504() {
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("blocking-threads", 2)
        .option("request-timeout", "300ms")
        .start();
    let reply = server.connect().get("/loop");
    assert_eq!(reply.status, 504, "{}", reply.text());
    server.wait_for("RequestTimeout", 1);
    // Both threads serve on.
    let mut conns: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut conns {
        conn.send("GET /slow?0.1 HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().text(), "slow answer"));
    server.stop();
}

#[test]
fn a_request_timeout_that_one_thread_cannot_keep_is_told_at_start_and_reload() {
    const TOLD: &str = "--request-timeout does not end WSGI requests with one blocking thread";
    let server = Server::app("wsgi_app:app").option("workers", 2).option("request-timeout", "5").start();
    server.wait_for(TOLD, 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded", 1);
    server.wait_for(TOLD, 2);
    assert_eq!(end(&server).matches(TOLD).count(), 2, "{}", server.log());
    let silent = [
        Server::app("wsgi_app:app").option("request-timeout", "5").option("blocking-threads", 2),
        Server::app("asgi_app:app").option("request-timeout", "5"),
        Server::app("wsgi_app:app"),
    ];
    for builder in silent {
        let server = builder.start();
        assert!(!end(&server).contains(TOLD), "{}", server.log());
    }
}

/// The whole log of a server that is told to stop.
fn end(server: &Server) -> String {
    server.signal(Signal::SIGTERM);
    server.wait_for("INFO stopped", 1);
    server.log()
}
