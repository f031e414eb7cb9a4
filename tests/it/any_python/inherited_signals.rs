//! A server whose parent ignores or blocks signals, as shells, other supervisors and programs of any language do.

use hostler_testkit::{Server, python, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A program that ignores or blocks so, before it becomes the server.
fn parent(script: &str) -> Vec<String> {
    let start = "import os, signal, sys\nall = set(range(1, 32)) - {9, 19}\n";
    let script = format!("{start}{script}\nos.execv(sys.argv[1], sys.argv[1:])");
    vec![python().display().to_string(), "-c".into(), script]
}

#[test]
fn signals_that_the_parent_ignores_or_blocks_are_heard() {
    for script in [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "[signal.signal(one, signal.SIG_IGN) for one in all]",
        "signal.pthread_sigmask(signal.SIG_BLOCK, all)",
    ] {
        let parent = parent(script);
        let parent: Vec<&str> = parent.iter().map(String::as_str).collect();
        let mut server = Server::app("supervised:app").option("workers", 1).wrapped(&parent).start();
        kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
        server.wait_for("worker ready", 2);
        server.signal(Signal::SIGHUP);
        server.wait_for(" reloaded", 1);
        server.signal(Signal::SIGUSR2);
        server.wait_for("this server serves", 1);
        assert_eq!(server.wait_exit_of_master().code(), Some(0), "{script}\n{}", server.log());
        let successor = server.successor();
        kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
        server.wait_empty();
    }
}

#[test]
fn a_native_service_hears_signals_that_its_parent_blocks() {
    let parent = parent("signal.pthread_sigmask(signal.SIG_BLOCK, all)");
    let parent: Vec<&str> = parent.iter().map(String::as_str).collect();
    let program = root().join("target/release/axum-hello");
    let server = Server::program(program).wrapped(&parent).start();
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    // Of the successor alone: the level is info.
    server.wait_for("worker ready", 1);
    server.stop();
}
