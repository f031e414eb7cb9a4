//! Companions at an upgrade: one of each at any time, and none is interrupted.

use super::{Site, is_gone, pid, wait_gone};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const KEPT: &str = r#"
[[companion]]
name = "beat"
command = ["sh", "-c", "echo $$ >> DIR/starts; while :; do sleep 0.1; done"]
before-workers = true
[[companion]]
name = "front"
command = "sleep 1000"
after = ["workers"]
"#;

fn starts(site: &Site) -> usize {
    std::fs::read_to_string(site.path("starts")).unwrap_or_default().lines().count()
}

#[test]
fn an_upgrade_goes_on_with_the_companions_that_run() {
    let site = Site::new(KEPT);
    let mut server = site.builder().start();
    let (beat, front) = (pid(&server, "beat", 1), pid(&server, "front", 1));
    server.signal(Signal::SIGUSR2);
    server.wait_for("companion left to the new server companion=\"beat\"", 1);
    server.wait_for("companion taken over as it runs companion=\"beat\"", 1);
    server.wait_for("companion taken over as it runs companion=\"front\"", 1);
    let successor = Pid::from_raw(server.successor());
    server.wait_exit_of_master();
    assert!(!is_gone(beat) && !is_gone(front), "{}", server.log());
    assert_eq!(starts(&site), 1, "{}", server.log());
    // It is the new server's: it starts it again, and stops it.
    kill(beat, Signal::SIGKILL).unwrap();
    let second = pid(&server, "beat", 2);
    kill(successor, Signal::SIGTERM).unwrap();
    wait_gone(&server, second);
    wait_gone(&server, front);
    server.wait_empty();
}

#[test]
fn an_upgrade_restarts_what_has_changed_and_stops_what_is_gone() {
    let site = Site::new("companion = [\"a=sleep 1000\", \"b=sleep 1000\"]");
    let mut server = site.builder().start();
    let (a, b) = (pid(&server, "a", 1), pid(&server, "b", 1));
    site.write("companion = [\"a=sleep 1001\", \"c=sleep 1000\"]");
    server.signal(Signal::SIGUSR2);
    let changed = pid(&server, "a", 2);
    let added = pid(&server, "c", 1);
    assert!(is_gone(a), "there were two of it: {}", server.log());
    wait_gone(&server, b);
    server.wait_exit_of_master();
    assert!(!is_gone(changed) && !is_gone(added), "{}", server.log());
    kill(Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(is_gone(changed) && is_gone(added));
}

#[test]
fn companions_stay_with_a_server_whose_successor_fails() {
    let site = Site::new(KEPT);
    let server = site.builder().start();
    let beat = pid(&server, "beat", 1);
    site.write(&format!("{KEPT}\nboot-timeouts = 1\n"));
    server.signal(Signal::SIGUSR2);
    server.wait_for("not upgraded", 1);
    assert!(!is_gone(beat));
    assert_eq!(starts(&site), 1, "{}", server.log());
    server.stop();
    assert!(is_gone(beat));
}
