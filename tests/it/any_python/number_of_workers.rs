//! How many workers there are: by option, by platform, by signal.

use hostler_testkit::Server;
use nix::sys::signal::Signal;
use std::{fs, path::PathBuf};

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

/// A control group with a quota of one processor, where this user may make one.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("hostler-test-{}", std::process::id());
        // Of version 1, and of version 2.
        let (one, two) = (["/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"], ["/sys/fs/cgroup", "cpu.max"]);
        [(one, "100000"), (two, "100000 100000")].into_iter().find_map(|([root, file], quota)| {
            let group = Self(PathBuf::from(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            let is_there = group.0.join(file).exists();
            (is_there && fs::write(group.0.join(file), quota).is_ok()).then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel refuses as long as a process is there.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_quota_of_processors_limits_their_number() {
    let Some(group) = Group::new() else {
        return eprintln!("no control group can be made here: not tested");
    };
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
    let server = Server::app("supervised:app")
        .arg("--workers=1:auto")
        .option("port", 0)
        .wrapped(&["sh", "-c", &enter, "sh"])
        .launch();
    server.wait_for("one worker per available processor workers=1", 1);
    server.wait_for("worker ready", 1);
    server.stop();
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
