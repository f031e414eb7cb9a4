//! Signals that reach workers, the mold and the programs that an application starts.

use super::forks::ask;
use hostler_testkit::{Server, directory};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;

#[test]
fn the_masters_signals_do_nothing_to_workers_and_mold() {
    let server = Server::app("hostile:app").option("workers", 2).start();
    let master = server.master();
    let children: Vec<i32> = server.processes().into_iter().filter(|pid| *pid != master).collect();
    assert_eq!(children.len(), 3, "mold and workers: {children:?}");
    let signals = [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGWINCH,
        Signal::SIGHUP,
    ];
    for (child, signal) in children.iter().flat_map(|child| signals.map(|signal| (child, signal))) {
        kill(Pid::from_raw(*child), signal).unwrap();
    }
    for signal in signals {
        for _ in 0..2 {
            assert_eq!(server.connect().get(&format!("/kill/{signal}")).text(), "alive");
        }
    }
    // The mold forks, so it lives and is not stopped.
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    let mut after: Vec<i32> = server.processes().into_iter().filter(|pid| children.contains(pid)).collect();
    after.sort_unstable();
    let mut before = children.clone();
    before.sort_unstable();
    assert_eq!(after, before, "{}", server.log());
    server.stop();
}

#[test]
fn a_mold_that_is_signalled_while_python_starts_goes_on() {
    let dir = directory("early");
    fs::write(
        dir.join("sitecustomize.py"),
        "import os, signal, sys\nif sys.argv[:1] == ['-c']:\n    for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGHUP):\n        os.kill(os.getpid(), s)\n",
    )
    .unwrap();
    let server =
        Server::app("hostile:app").option("workers", 1).env("PYTHONPATH", dir.to_str().unwrap()).start();
    assert_eq!(server.connect().get("/pid").status, 200);
    assert!(!server.log().contains("mold exited"), "{}", server.log());
    server.stop();
}

#[test]
fn programs_that_an_application_starts_ignore_no_signal() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    let told = server.connect().get("/signals").text();
    let masks = told.lines().map(|line| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap());
    // Real-time signals, which are beyond these, may be ignored by the process that runs the tests.
    assert_eq!(masks.map(|mask| mask & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0], "{told}");
    server.stop();
}

#[test]
fn started_programs_have_the_signals_of_any_program() {
    let server = Server::app("forking:app").option("workers", 1).start();
    for status in ask(&server, "programs").as_array().unwrap() {
        let status = status.as_str().unwrap();
        assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
        // Those from 32 on are the C library's own.
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff, 0, "{status}");
    }
    server.stop();
}

#[test]
fn the_attendant_thread_takes_no_signals() {
    let server = Server::app("blocking:app").option("workers", 1).start();
    assert_eq!(server.connect().get("/signals").text(), "[False, True]");
    server.stop();
}
