//! How many workers there are: by option, by platform, by signal.

use hostler_testkit::Server;
use nix::sys::signal::Signal;

#[test]
fn the_number_of_workers_comes_from_the_platform() {
    let server = Server::app("supervised:app")
        .arg("--workers=auto")
        .option("port", 0)
        .wrapped(&["taskset", "--cpu-list", "0"])
        .launch();
    server.wait_for("worker ready", 1);
    server.wait_for("one worker per available processor workers=1", 1);
    let server = Server::app("supervised:app").option("port", 0).env("WEB_CONCURRENCY", "3").launch();
    server.wait_for("worker ready", 3);
}

#[test]
fn workers_follow_signals_and_survive_reloads() {
    let server = Server::app("supervised:app").option("workers", 1).start();
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 2);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("worker ready", 4);
    server.wait_for("worker exited", 2);
    server.signal(Signal::SIGTTOU);
    server.wait_for("worker exited", 3);
    server.signal(Signal::SIGWINCH);
    server.wait_for("worker exited", 4);
    server.signal(Signal::SIGHUP);
    server.wait_for("worker ready", 5);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn without_a_terminal_sigwinch_takes_the_workers_away() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    server.signal(Signal::SIGWINCH);
    server.wait_for("signal=\"SIGWINCH\" from=1 to=0", 1);
    server.wait_for("worker exited", 1);
    server.stop();
}
