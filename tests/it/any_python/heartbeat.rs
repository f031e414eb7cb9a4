//! Workers that send no heartbeat because they are stopped, alone or with the whole machine.

use crate::support::load_on;
use hostler_testkit::Server;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::Duration;

#[test]
fn a_suspended_machine_kills_no_worker() {
    let server = Server::app("supervised:app").option("workers", 2).option("stall-timeout", 2).start();
    let group = Pid::from_raw(server.master());
    nix::sys::signal::killpg(group, Signal::SIGSTOP).unwrap();
    // How long it was suspended for.
    std::thread::sleep(Duration::from_secs(6));
    nix::sys::signal::killpg(group, Signal::SIGCONT).unwrap();
    server.wait_for("was suspended", 1);
    load_on(&server).wait_for(200);
    assert!(!server.log().contains("worker is stuck"), "{}", server.log());
    server.stop();
}

#[test]
fn a_stopped_worker_is_replaced() {
    let server = Server::app("supervised:app").option("workers", 2).option("stall-timeout", 2).start();
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGSTOP).unwrap();
    server.wait_for("worker is stuck", 1);
    assert!(server.log().contains("state=\"stopped\""), "{}", server.log());
    server.wait_for("worker ready", 3);
    server.wait_for("worker killed", 1);
    server.stop();
}
