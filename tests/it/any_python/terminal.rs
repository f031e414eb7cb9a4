//! The server in the foreground of a terminal.

use hostler_testkit::{IN_TERMINAL, Server, open_terminal};
use nix::{sys::signal::Signal, unistd::ttyname};
use std::process::Command;

#[test]
fn a_terminal_that_changes_its_size_takes_no_workers_away() {
    let terminal = open_terminal();
    let name = ttyname(&terminal.slave).unwrap();
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .option("port", 0)
        .wrapped(&["python3", "-c", IN_TERMINAL])
        .descriptor(terminal.slave)
        .start();
    let size = ["-F", name.to_str().unwrap(), "rows", "41", "cols", "101"];
    assert!(Command::new("stty").args(size).status().unwrap().success());
    // And as programs that pass signals on do it.
    server.signal(Signal::SIGWINCH);
    // Signals arrive in this order, or both at once with SIGWINCH last; the second SIGTTIN follows both.
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 4);
    assert!(!server.log().contains("SIGWINCH"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    drop(terminal.master);
    server.stop();
}

#[test]
fn a_terminal_that_hangs_up_costs_no_worker_before_its_successor_serves() {
    let terminal = open_terminal();
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .option("port", 0)
        .wrapped(&["python3", "-c", IN_TERMINAL])
        .descriptor(terminal.slave)
        .start();
    // The kernel sends SIGHUP to the whole foreground group (tty_ioctl(4)): for the master it is a reload.
    drop(terminal.master);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("status=\"exited with code 0\"", 2);
    assert!(!server.log().contains("SIGHUP") && !server.log().contains("mold exited"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}
