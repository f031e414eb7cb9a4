//! Where descriptors, processes or files are lacking.

use hostler_testkit::{READABLE_PYTHON, Server, can_make_namespaces, proc, python, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, process::Command, time::Instant};

/// poll(2) refuses to watch more descriptors than a process may open.
#[test]
fn a_master_that_may_open_fewer_files_than_it_has_goes_on() {
    let mut server = Server::app("supervised:app").option("workers", 2).start();
    let limit = |files: &str| {
        let master = server.master().to_string();
        let done = Command::new("prlimit").args(["--pid", &master, &format!("--nofile={files}:")]).status();
        assert!(done.unwrap().success());
    };
    limit("3");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for("cannot start a worker", 2);
    // Some attempts, and not one for each turn of a loop that cannot wait.
    assert!(server.log().lines().count() < 40, "{}", server.log());
    limit("1024");
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn a_worker_without_descriptors_neither_spins_nor_stops_accepting() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    let mut kept = server.connect();
    let worker: i32 = kept.get("/pid").text().parse().unwrap();
    let open = proc::descriptors(worker).len();
    let limit = ["--pid", &worker.to_string(), &format!("--nofile={}", open + 2)];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    let crowd: Vec<_> = (0..8).map(|_| server.connect()).collect();
    server.wait_for("cannot accept", 1);
    // It serves on without spinning: its CPU time, in ticks of 10 ms.
    let used = || proc::cpu_ticks(worker);
    let (began, before) = (Instant::now(), used());
    while began.elapsed().as_millis() < 1500 {
        assert_eq!(kept.get("/pid").status, 200);
        // CPU time while idle is what is measured.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(used() - before < 75, "{} ticks in 150", used() - before);
    assert_eq!(server.log().matches("cannot accept").count(), 1, "{}", server.log());
    drop(crowd);
    let mut later = server.connect();
    assert_eq!(later.get("/pid").text(), worker.to_string());
    server.stop();
}

#[test]
fn failed_forks_are_retried_and_delay_nothing() {
    /// Than there can be.
    const MORE: usize = 9;
    if !can_make_namespaces() {
        return;
    }
    let base = fs::canonicalize(python()).unwrap();
    // A user who has no other processes, which would count.
    let nproc = ["prlimit", "--nproc=8:8", "unshare", "--mount", "sh", "-c", READABLE_PYTHON];
    let wrapper: Vec<&str> = nproc.into_iter().chain(base.to_str()).collect();
    let builder = Server::app("supervised:app").option("workers", 1).option("user", 54321);
    let server = builder.wrapped(&wrapper).start();
    let pid = || server.connect().get("/pid").text();
    let change = |signal, from| {
        for count in from..from + MORE {
            server.signal(signal);
            server.wait_for("number of workers changed", count);
        }
    };
    let first = pid();
    change(Signal::SIGTTIN, 1);
    server.wait_for("worker process could not be forked", 2);
    assert_eq!(server.connect().get("/pid").status, 200);
    // The first one stays when there are to be fewer.
    change(Signal::SIGTTOU, 1 + MORE);
    kill(Pid::from_raw(first.parse().unwrap()), Signal::SIGKILL).unwrap();
    server.wait_for("killed by SIGKILL", 1);
    wait_until("served by another", || pid() != first);
    server.stop();
}

#[test]
fn neither_tmp_nor_shm_is_needed() {
    if !can_make_namespaces() {
        return;
    }
    let script =
        "mount -t tmpfs -o ro,size=4k none /tmp && mount -t tmpfs -o ro,size=4k none /dev/shm; exec \"$@\"";
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
        .start();
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.stop();
}

#[test]
fn a_read_only_system_without_a_home_is_enough() {
    if !can_make_namespaces() {
        return;
    }
    // The sandbox has neither: root is mounted read-only, HOME is unset, the user has no name.
    let script = "mount -o remount,ro,bind / 2>/dev/null; unset HOME; exec \"$@\"";
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
        .start();
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}
