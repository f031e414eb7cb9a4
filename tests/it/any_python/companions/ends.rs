//! How companions end, and what is left of them: nothing.

use super::{Site, is_gone, pid, wait_gone, watcher, written_pid};
use nix::sys::signal::{Signal, kill};

const RUNS: &str = "sh -c 'while :; do sleep 0.1; done'";

#[test]
fn an_end_is_told_with_its_status_and_how_long_it_lived() {
    let site = Site::new("companion = [\"a=sh -c 'sleep 0.3; exit 4'\", \"b=sh -c 'kill -9 $$'\"]");
    let server = site.builder().start();
    server.wait_for("companion exited companion=\"a\"", 2);
    server.wait_for("companion exited companion=\"b\"", 2);
    let log = server.log();
    let ends =
        |name: &str| log.lines().find(|line| line.contains(&format!("exited companion=\"{name}\""))).unwrap();
    assert!(ends("a").contains("status=\"exited with code 4\""), "{log}");
    let lived = ends("a").split("lived_seconds=").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(lived.unwrap().parse::<f64>().unwrap() >= 0.2, "{log}");
    assert!(ends("a").contains("restarts_in_seconds=0"), "{log}");
    assert!(ends("b").contains("status=\"killed by SIGKILL\""), "{log}");
    server.stop();
}

#[test]
fn whether_one_is_started_again_is_its_own_setting() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "always"
        command = "true"
        [[companion]]
        name = "well"
        command = "true"
        restart = "on-failure"
        [[companion]]
        name = "badly"
        command = "false"
        restart = "on-failure"
        [[companion]]
        name = "never"
        command = "false"
        restart = "never"
        "#,
    );
    let server = site.builder().start();
    server.wait_for("companion started companion=\"always\"", 3);
    server.wait_for("companion started companion=\"badly\"", 3);
    for name in ["well", "never"] {
        let started = format!("companion started companion=\"{name}\"");
        assert_eq!(server.log().matches(&started).count(), 1, "{}", server.log());
    }
    server.stop();
}

#[test]
fn a_stop_sends_its_signal_waits_and_kills_what_is_left() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "polite"
        command = ["sh", "-c", "trap 'echo said goodbye; exit 0' USR1; trap '' TERM; echo ready; while :; do sleep 0.1; done"]
        stop-signal = "USR1"
        [[companion]]
        name = "deaf"
        command = ["sh", "-c", "trap '' TERM; (trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > DIR/pid; sleep 1000') & echo ready; while :; do sleep 0.1; done"]
        stop-timeout = 0.5
        "#,
    );
    let server = site.builder().start();
    server.wait_for("polite | ready", 1);
    server.wait_for("deaf | ready", 1);
    let grandchild = written_pid(&server, &site.path("pid"));
    let deaf = pid(&server, "deaf", 1);
    server.signal(Signal::SIGTERM);
    server.wait_for("polite | said goodbye", 1);
    server.wait_for("companion exited companion=\"deaf\"", 1);
    server.wait_empty();
    assert!(is_gone(deaf) && is_gone(grandchild), "{}", server.log());
    assert!(server.log().contains("status=\"killed by SIGKILL\""), "{}", server.log());
}

/// Only its first start leaves something behind.
#[test]
fn what_a_companion_leaves_behind_ends_before_it_is_started_again() {
    let site = Site::new(
        r#"companion = ["a=sh -c 'test -e DIR/pid || setsid sh -c \"echo \\$\\$ > DIR/pid; exec sleep 1000\" & until test -s DIR/pid; do sleep 0.05; done; exit 1'"]"#,
    );
    let server = site.builder().start();
    let left = written_pid(&server, &site.path("pid"));
    pid(&server, "a", 2);
    assert!(is_gone(left), "{}", server.log());
    server.stop();
}

/// The kernel tells the watching process by its channel; it stops the companion and all that this has started.
#[test]
fn nothing_of_a_companion_outlives_a_master_that_is_killed() {
    let site = Site::new(
        r#"companion = ["a=sh -c 'setsid sh -c \"echo \\$\\$ > DIR/pid; exec sleep 1000\" & while :; do sleep 0.1; done'"]"#,
    );
    let server = site.builder().start();
    let (companion, left) = (pid(&server, "a", 1), written_pid(&server, &site.path("pid")));
    server.signal(Signal::SIGKILL);
    wait_gone(&server, companion);
    wait_gone(&server, left);
    server.wait_for("the server is gone: its companion is stopped", 1);
    server.wait_empty();
}

#[test]
fn a_killed_watcher_takes_its_companion_along_and_both_are_replaced() {
    let site = Site::new(&format!("companion = [\"a={RUNS}\"]"));
    let server = site.builder().start();
    let first = pid(&server, "a", 1);
    kill(watcher(first), Signal::SIGKILL).unwrap();
    let second = pid(&server, "a", 2);
    wait_gone(&server, first);
    assert!(!is_gone(second));
    server.wait_for("the process that watches a companion is gone: the companion is killed", 1);
    server.stop();
}

#[test]
fn a_watcher_that_stands_still_does_not_hold_up_a_stop() {
    let site = Site::new(&format!("[[companion]]\nname = \"a\"\ncommand = \"{RUNS}\"\nstop-timeout = 0.2"));
    let mut server = site.builder().start();
    let companion = pid(&server, "a", 1);
    kill(watcher(companion), Signal::SIGSTOP).unwrap();
    server.signal(Signal::SIGTERM);
    server.wait_exit_of_master();
    wait_gone(&server, companion);
}

#[test]
fn replicas_are_numbered_and_replaced_one_by_one() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "a"
        command = ["sh", "-c", "echo I am $HOSTLER_COMPANION $HOSTLER_REPLICA of $HOSTLER_REPLICAS; while :; do sleep 0.1; done"]
        replicas = 3
        "#,
    );
    let server = site.builder().start();
    for number in 1..=3 {
        server.wait_for(&format!("a-{number} | I am a {number} of 3"), 1);
    }
    kill(pid(&server, "a", 1), Signal::SIGKILL).unwrap();
    pid(&server, "a", 4);
    server.stop();
}
