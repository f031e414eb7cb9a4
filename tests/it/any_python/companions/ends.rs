//! How companions end, and what is left of them: nothing.

use super::{Site, is_gone, pid, wait_gone, watcher, written_pid};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{fs, os::unix::fs::PermissionsExt as _};

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
fn a_script_whose_interpreter_is_not_there_is_told_as_such() {
    let site = Site::new("companion = [\"a=DIR/script\"]");
    let script = site.path("script");
    fs::write(&script, "#!/bin/sh\r\necho never\r\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let server = site.builder().start();
    server.wait_for("script: No such file or directory: its first line names `/bin/sh\\r`", 1);
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
    let killed =
        format!("companion killed companion=\"deaf\" pid={deaf} reason=\"stop-timeout\" limit_seconds=0.5");
    server.wait_for(&killed, 1);
    assert!(server.log().contains("status=\"killed by SIGKILL\""), "{}", server.log());
}

/// Two that take two seconds to save what they have, of which the one uses the other, and both are used by the workers.
fn slow_to_stop(stop_timeout: f64) -> Site {
    let saves = r#"["sh", "-c", "trap 'sleep 2; echo saved; exit 0' TERM; while :; do sleep 0.1; done"]"#;
    let companion = |name: &str, more: &str| {
        format!(
            "[[companion]]\nname = \"{name}\"\ncommand = {saves}\nstop-timeout = {stop_timeout}\nbefore-workers = true\n{more}\n"
        )
    };
    Site::new(&format!("{}{}", companion("store", ""), companion("index", "after = [\"store\"]")))
}

/// Ctrl-C at a terminal: a request is cut, and no data is lost. It may come twice: from the terminal, and from what started the server.
#[test]
fn a_quick_stop_leaves_companions_their_order_and_their_time() {
    for (signal, copy) in [(Signal::SIGINT, Signal::SIGINT), (Signal::SIGQUIT, Signal::SIGTERM)] {
        let site = slow_to_stop(30.0);
        let mut server = site.builder().start();
        let mut client = server.connect();
        client.send("GET /slow?600 HTTP/1.1\r\nhost: t\r\n\r\n");
        server.signal(signal);
        server.wait_for("companion stopping companion=\"index\"", 1);
        server.signal(copy);
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
        let log = server.log();
        let order = ["index | saved", "companion stopping companion=\"store\"", "store | saved"];
        let places: Vec<_> = order
            .iter()
            .map(|event| log.find(event).unwrap_or_else(|| panic!("no {event}\n{log}")))
            .collect();
        assert!(places.is_sorted() && !log.contains("companion killed"), "{log}");
        server.wait_empty();
    }
}

/// Those who are not patient get what they want: what is left ends within a second.
#[test]
fn a_second_quick_stop_ends_companions_at_once() {
    let site = slow_to_stop(1000.0);
    let mut server = site.builder().start();
    server.signal(Signal::SIGINT);
    server.wait_for("companion stopping companion=\"index\"", 1);
    server.wait_for("companions=2 signal=\"SIGINT\"", 1);
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    server.wait_for("companion killed companion=\"store\"", 1);
    server.wait_empty();
}

/// As where a server that is not root has programs become root: it can neither kill them nor wait for ever.
#[test]
fn what_may_not_be_killed_holds_up_no_stop_and_is_told() {
    if !geteuid().is_root() {
        return;
    }
    let site = Site::new(
        r#"
        [[companion]]
        name = "leaves"
        command = ["sh", "-c", "sleep 1000 & echo left $!; exit 3"]
        user = "nobody"
        directory = "/"
        restart = "never"
        [[companion]]
        name = "stays"
        command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
        user = "nobody"
        directory = "/"
        stop-timeout = 0.3
        "#,
    );
    let mut server = site.builder().wrapped(&["setpriv", "--inh-caps=-kill", "--bounding-set=-kill"]).start();
    server.wait_for("stays | up", 1);
    server.wait_for("leaves | left", 1);
    let log = server.log();
    let left =
        log.split("leaves | left ").nth(1).and_then(|rest| rest.lines().next()).unwrap().parse().unwrap();
    server.wait_for(
        &format!(
            "a process of a companion cannot be killed: it is left alone companion=\"leaves\" pid={left}"
        ),
        1,
    );
    server.wait_for("companion exited companion=\"leaves\"", 1);
    assert!(!is_gone(Pid::from_raw(left)));
    kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
    let stays = pid(&server, "stays", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    server.wait_for("it is left alone companion=\"stays\"", 1);
    let _ = kill(stays, Signal::SIGKILL);
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
