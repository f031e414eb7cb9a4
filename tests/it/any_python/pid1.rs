//! The server as PID 1 of a container: it reaps orphans and stays when it is upgraded.

use hostler_testkit::{AS_PID_1, Server, can_make_namespaces, proc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[test]
fn as_pid_1_orphans_are_reaped_and_nothing_else_happens() {
    if !can_make_namespaces() {
        return;
    }
    let server = Server::app("supervised:app").option("workers", 2).wrapped(AS_PID_1).start();
    // Each request stays within the client's timeout.
    for _ in 0..20 {
        assert_eq!(server.connect().get("/orphans/50").text(), "50 orphans");
    }
    let is_zombie = |pid: &i32| proc::state(*pid) == Some('Z');
    server.wait_until("every orphan reaped", || !proc::members(server.master()).iter().any(is_zombie));
    assert_eq!(server.log().matches("worker ready").count(), 2, "{}", server.log());
    assert!(!server.log().contains("worker exited"), "{}", server.log());
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    server.wait_for("stopped", 1);
    server.wait_empty();
}

#[test]
fn an_upgraded_pid_1_stays_to_forward_signals() {
    if !can_make_namespaces() {
        return;
    }
    let server = Server::app("supervised:app").option("workers", 1).wrapped(AS_PID_1).start();
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
    server.wait_for("to forward signals to the new server", 1);
    assert_eq!(server.connect().get("/pid").status, 200);
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    server.wait_for("stopped", 2);
    server.wait_empty();
}

/// The second successor was the child of the first: with that one's end PID 1 ended, and so did everybody.
#[test]
fn as_pid_1_one_upgrade_follows_another() {
    if !can_make_namespaces() {
        return;
    }
    let (server, first) = upgraded_as_pid_1();
    for upgrades in 2..=3 {
        kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
        server.wait_for("upgraded: the new server serves", upgrades);
        server.wait_for("was replaced by another one", upgrades - 1);
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    kill(Pid::from_raw(first), Signal::SIGHUP).unwrap();
    server.wait_for("reloaded", 1);
    stop_pid_1(server, first);
}

#[test]
fn as_pid_1_a_drained_server_takes_the_service_back() {
    if !can_make_namespaces() {
        return;
    }
    let (server, first) = upgraded_as_pid_1();
    for crashes in 1..=2 {
        kill(Pid::from_raw(master_below(first)), Signal::SIGKILL).unwrap();
        server.wait_for("this one serves again", crashes);
        server.wait_for("worker ready", 2 * crashes + 1);
        assert_eq!(server.connect().get("/pid").status, 200);
        if crashes == 1 {
            kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
            server.wait_for("to forward signals to the new server", 2);
        }
    }
    stop_pid_1(server, first);
}

/// A server that is PID 1 of a namespace, upgraded once and drained; and its number outside.
fn upgraded_as_pid_1() -> (Server, i32) {
    let server = Server::app("supervised:app").option("workers", 1).wrapped(AS_PID_1).start();
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
    server.wait_for("to forward signals to the new server", 1);
    (server, first)
}

/// Stops a server that is PID 1 of a namespace, with its upgrades.
fn stop_pid_1(mut server: Server, first: i32) {
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    server.wait_empty();
}

/// The child of a process that is a master.
fn master_below(pid: i32) -> i32 {
    proc::children(pid).into_iter().find(|pid| proc::title(*pid).contains("master")).unwrap()
}
