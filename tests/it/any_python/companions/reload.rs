//! What a reload does to companions.

use super::{Site, is_gone, pid, wait_gone};
use nix::sys::signal::Signal;

#[test]
fn a_reload_adds_removes_and_changes_companions_and_keeps_the_rest() {
    let site = Site::new("companion = [\"kept=sleep 1000\", \"changed=sleep 1000\", \"removed=sleep 1000\"]");
    let server = site.builder().start();
    let (kept, changed, removed) =
        (pid(&server, "kept", 1), pid(&server, "changed", 1), pid(&server, "removed", 1));
    site.write("companion = [\"kept=sleep 1000\", \"added=sleep 1000\", \"changed=sleep 1001\"]");
    server.signal(Signal::SIGHUP);
    pid(&server, "added", 1);
    pid(&server, "changed", 2);
    wait_gone(&server, removed);
    assert!(is_gone(changed) && !is_gone(kept), "{}", server.log());
    server.stop();
}

#[test]
fn a_reload_restarts_or_signals_companions_that_want_it() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "restarted"
        command = "sleep 1000"
        reload = "restart"
        replicas = 2
        [[companion]]
        name = "told"
        command = ["sh", "-c", "trap 'echo was told' HUP; echo listens; while :; do sleep 0.1; done"]
        reload = "SIGHUP"
        "#,
    );
    let server = site.builder().start();
    server.wait_for("told | listens", 1);
    pid(&server, "restarted", 2);
    server.signal(Signal::SIGHUP);
    server.wait_for("told | was told", 1);
    pid(&server, "restarted", 4);
    let log = server.log();
    let second_ends = log.match_indices("companion exited companion=\"restarted\"").nth(1).unwrap().0;
    let first_is_back = log.match_indices("companion started companion=\"restarted\"").nth(2).unwrap().0;
    assert!(first_is_back < second_ends, "both at once: {log}");
    server.stop();
}

#[test]
fn a_reload_that_fails_changes_no_companion() {
    let site = Site::new("companion = [\"a=sleep 1000\"]");
    let server = site.builder().start();
    let first = pid(&server, "a", 1);
    site.write("companion = [\"a=no-such-program\"]");
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded: ", 1);
    assert!(
        !is_gone(first) && server.log().contains("there is no program `no-such-program`"),
        "{}",
        server.log()
    );
    server.stop();
}
