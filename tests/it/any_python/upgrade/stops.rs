//! Servers that are told to stop during an upgrade.

use super::{long_request, signal, slow_boot, upgrade};
use hostler_testkit::proc;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_stop_during_an_upgrade_stops_both() {
    for stop in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        // Before the new server listens to the old one, and while its workers boot.
        for stage in ["upgrading", "mold ready"] {
            let mut server = slow_boot().start();
            upgrade(&server);
            server.wait_for(stage, if stage == "mold ready" { 2 } else { 1 });
            server.signal(stop);
            assert_eq!(server.wait_exit().code(), Some(0), "{stop} {stage}:\n{}", server.log());
            assert!(server.processes().is_empty(), "{stop} {stage}:\n{}", server.log());
            assert!(!server.log().contains("upgraded"), "{stop} {stage}:\n{}", server.log());
        }
    }
}

#[test]
fn a_stop_of_the_old_server_while_it_drains_stops_the_new_one_too() {
    let server = slow_boot().start();
    let mut long = long_request(&server, 4);
    upgrade(&server);
    server.wait_for("upgraded: the new server serves", 1);
    server.signal(Signal::SIGTERM);
    // This is not a second stop: requests in flight are served.
    assert_eq!(long.reply().unwrap().text(), "waited");
    server.wait_for("stopped", 2);
    server.wait_empty();
}

#[test]
fn a_stopped_successor_is_killed_when_the_server_is_told_to_stop() {
    let mut server = slow_boot().start();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(successor, Signal::SIGSTOP);
    server.wait_until("it is stopped", || proc::state(successor) == Some('T'));
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    server.wait_for("killing the new server", 1);
    // Not the 30 s of --graceful-timeout, and some more.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    server.wait_empty();
}

#[test]
fn when_the_successor_is_told_to_stop_the_old_server_does_not_come_back() {
    let mut server = slow_boot().start();
    let mut long = long_request(&server, 4);
    let successor = upgrade(&server);
    server.wait_for("upgraded: the new server serves", 1);
    signal(successor, Signal::SIGTERM);
    server.wait_for("the new server exited", 1);
    assert_eq!(long.reply().unwrap().text(), "waited");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("serves again"), "{}", server.log());
    assert!(server.processes().is_empty());
}
