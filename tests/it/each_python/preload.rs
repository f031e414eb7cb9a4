//! `--preload`: the application is imported in the mold, the process that workers are forked from.

use crate::support::{Place, start};
use hostler_testkit::{Conn, Server, directory};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::fs;

#[test]
fn preloaded_workers_share_memory_and_hooks_run_on_both_sides_of_the_fork() {
    let server = Server::app("preloaded:app").option("workers", 4).arg("--preload").start();
    let log = server.log();
    for line in ["before fork", "after fork in the parent", "after fork in the child", "ready to serve"] {
        assert!(log.matches(line).count() >= 4, "{line:?}: {log}");
    }
    assert!(log.contains("a fork may be unsafe") && log.contains("'ticker'"), "{log}");
    assert_eq!(log.matches("imported").count(), 1, "{log}");
    let numbers: Vec<String> = (0..40).map(|_| server.connect().get("/random").text()).collect();
    let distinct: std::collections::HashSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len(), "workers draw the same random numbers");
    server.stop();
    let (code, log) = Server::app("preloaded:app").option("workers", 1).arg("--preload=strict").fail();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("cannot be preloaded safely") && log.contains("'ticker'"), "{log}");
}

#[test]
fn the_boot_timeout_holds_for_an_import_in_the_mold() {
    let place = Place::new("moldboot");
    fs::write(&place.config, "workers = 1\n").unwrap();
    let (server, address) = start(place.app().arg("--preload").option("boot-timeout", 3), 1);
    fs::write(&place.state, "hang").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("mold was not ready within the boot timeout: it is killed generation=1", 1);
    server.wait_for("not reloaded: the running workers keep serving", 1);
    assert_eq!(Conn::to(address).get("/").status, 200);
    server.wait_until("alone", || server.processes().len() == 3);
    server.stop();

    let (code, log) = place.app().option("workers", 1).arg("--preload").option("boot-timeout", 2).fail();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("was not ready within --boot-timeout"), "{log}");
    assert_eq!(log.matches("error: ").count(), 1, "{log}");
}

#[test]
fn a_worker_whose_mold_dies_before_reporting_it_does_not_boot() {
    let file = directory("kill-the-mold").join("file");
    let builder = Server::app("dying_mold:app")
        .option("workers", 1)
        .arg("--preload")
        .env("KILL_FILE", file.to_str().unwrap());
    let server = builder.start();
    let serving = server.connect().get("/").text();
    fs::write(&file, "").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_until("the mold dead", || !fs::exists(&file).unwrap());
    server.wait_for("not reloaded", 1);
    // Master, the mold of before and its worker.
    server.wait_until("three processes", || server.processes().len() == 3);
    assert_eq!(server.connect().get("/").text(), serving);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=2", 1);
    server.wait_until("three processes again", || server.processes().len() == 3);
    server.stop();
}

/// Between the two forks of a worker there is a process that the master does not know yet.
#[test]
fn a_process_that_is_stopped_while_it_forks_is_not_left_behind() {
    let file = std::env::temp_dir().join(format!("hostler-births-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let mut server = Server::app("births:app")
        .arg("--preload")
        .option("workers", 1)
        .env("STOP_FILE", file.to_str().unwrap())
        .start();
    std::fs::write(&file, "").unwrap();
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for("birth stopped", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    server.wait_empty();
    std::fs::remove_file(&file).unwrap();
}
