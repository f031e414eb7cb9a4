//! Master, mold and workers: their titles, and what happens when one dies.

use hostler_testkit::{Server, proc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    time::{Duration, Instant},
};

fn titles(server: &Server) -> Vec<String> {
    let mut all: Vec<String> = server.processes().into_iter().map(proc::title).collect();
    all.sort();
    all
}

#[test]
fn processes_have_titles() {
    let server = Server::app("asgi_app:app").start();
    let expected = [
        "hostler: master asgi_app:app",
        "hostler: mold asgi_app:app",
        "hostler: worker 1 asgi_app:app",
        "hostler: worker 2 asgi_app:app",
    ];
    assert_eq!(titles(&server), expected);
    let named = Server::app("asgi_app:app").option("process-name", "shop").start();
    assert_eq!(titles(&named), ["shop", "shop mold", "shop worker-1", "shop worker-2"]);
}

#[test]
fn every_worker_is_the_masters_child() {
    let server = Server::app("asgi_app:app").start();
    for pid in server.workers() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("PPid:\t{}\n", server.master())));
    }
}

#[test]
fn a_killed_worker_is_replaced_and_its_neighbour_is_not_touched() {
    let server = Server::app("asgi_app:app").start();
    let before = server.workers();
    kill(Pid::from_raw(before[0]), Signal::SIGKILL).unwrap();
    server.wait_for("killed by SIGKILL", 1);
    server.wait_for("worker ready", 3);
    assert!(server.processes().contains(&before[1]));
    assert!(!server.processes().contains(&before[0]));
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_killed_mold_is_replaced_and_workers_go_on() {
    let server = Server::app("asgi_app:app").start();
    let workers = server.workers();
    let mold = server.processes().into_iter().find(|pid| proc::title(*pid).contains("mold")).unwrap();
    kill(Pid::from_raw(mold), Signal::SIGKILL).unwrap();
    server.wait_for("mold ready", 2);
    assert!(workers.iter().all(|worker| server.processes().contains(worker)));
    kill(Pid::from_raw(workers[0]), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 3);
    server.stop();
}

/// nix's `waitpid` knows no such signals: it took the status and failed, and the process was expected to live on.
#[test]
fn processes_that_a_real_time_signal_ends_are_replaced() {
    let mut server = Server::app("asgi_app:app").option("workers", 1).start();
    let ends = |pid| hostler_sys::process::signal_raw(pid, 40).unwrap();
    ends(server.workers()[0]);
    server.wait_for("status=\"killed by signal 40\"", 1);
    server.wait_for("worker ready", 2);
    ends(server.child_of(server.master()).unwrap());
    server.wait_for("mold exited", 1);
    server.wait_for("mold ready", 2);
    ends(server.workers()[1]);
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(server.processes().is_empty());
}

#[test]
fn nothing_outlives_a_killed_master_and_requests_in_flight_are_answered() {
    let mut server = Server::app("asgi_app:app").start();
    let mut conn = server.connect();
    conn.send("GET /slow?0.4 HTTP/1.1\r\nhost: t\r\n\r\n");
    // The request is in flight once its worker responds on a later connection.
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGKILL);
    let killed = Instant::now();
    assert_eq!(conn.reply().unwrap().text(), "slow answer");
    server.wait_exit();
    server.wait_empty();
    assert!(killed.elapsed() < Duration::from_millis(2500), "{:?}", killed.elapsed());
}

#[test]
fn a_worker_stuck_in_python_does_not_outlive_a_killed_master() {
    let mut server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut stuck = server.connect();
    stuck.send("GET /block?600 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("blocks now", 1);
    server.signal(Signal::SIGKILL);
    let killed = Instant::now();
    server.wait_exit();
    server.wait_empty();
    assert!(killed.elapsed() < Duration::from_millis(2500), "{:?}", killed.elapsed());
}
