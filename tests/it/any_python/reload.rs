//! Reloads (SIGHUP): which one counts, what is read again, and what is not changed. The code that they
//! load is in `each_python/reload.rs`.

use crate::support::{Place, slow_import, start, workspace};
use hostler_testkit::{Conn, Load, Server, directory};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, process::Command};

#[test]
fn of_reloads_in_quick_succession_the_last_one_counts() {
    let server = slow_import().start();
    for reload in 1..=4 {
        server.signal(Signal::SIGHUP);
        server.wait_for(&format!("reloading generation={reload}"), 1);
    }
    server.wait_for(" reloaded generation=4", 1);
    // The old worker accepts until it learns of that.
    server.wait_for("worker draining", 1);
    let who = server.connect().get("/who").text();
    assert!(who.starts_with("1 4 "), "{who}");
    server.wait_for("reload superseded by a later one", 3);
    assert_eq!(server.log().matches(" reloaded ").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn a_configuration_file_is_read_again_at_a_reload() {
    let dir = workspace("config");
    let file = dir.join("hostler.toml");
    fs::write(&file, "workers = 1\n").unwrap();
    let server = Server::app("supervised:app").option("config", file.display()).option("port", 0).launch();
    server.wait_for("worker ready", 1);
    fs::write(&file, "workers = 3\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    assert_eq!(server.log().matches("generation=1 pid").count(), 4, "{}", server.log());
    fs::write(&file, "workers = \"many\"\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded: invalid value 'many' for --workers", 1);
    server.stop();
}

/// A pipe cannot be read again: that would block, or return nothing.
#[test]
fn a_configuration_that_was_a_pipe_is_not_read_again() {
    let pipe = directory("pipes").join("config");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut server =
        Server::app("supervised:app").option("port", 0).option("config", pipe.display()).launch();
    fs::write(&pipe, "workers = 1\n").unwrap();
    server.wait_for("worker ready", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded: cannot use the configuration file", 1);
    server.signal(Signal::SIGUSR2);
    server.wait_for("not upgraded", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn options_that_a_reload_does_not_change_are_logged() {
    let file = directory("told").join("config");
    fs::write(&file, "port = 0\nbacklog = 128\nworkers = 1\n").unwrap();
    let server = Server::app("supervised:app").arg("--config").arg(file.to_str().unwrap()).launch();
    server.wait_for("worker ready", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded", 1);
    assert!(!server.log().contains("take effect with"), "{}", server.log());
    fs::write(&file, "port = 1\nbacklog = 256\nworkers = 1\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(
        "changed options take effect with an upgrade (SIGUSR2) or a start options=\"port, backlog\"",
        1,
    );
    server.wait_for("reloaded", 2);
    server.stop();
}

#[test]
fn a_reload_that_fails_changes_no_number_of_workers() {
    let place = Place::new("counts");
    fs::write(&place.config, "workers = 4\n").unwrap();
    let (server, address) = start(place.app(), 4);
    for wanted in [1, 6] {
        fs::write(&place.config, format!("workers = {wanted}\n")).unwrap();
        fs::write(&place.state, "fail").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("not reloaded: the running workers keep serving", if wanted == 1 { 1 } else { 2 });
    }
    let load = Load::start(address, "/", 2);
    load.wait_for(100);
    assert!(!server.log().contains("worker told to drain"), "{}", server.log());
    // Master, mold and four workers.
    server.wait_until("six processes", || server.processes().len() == 6);
    fs::write(&place.config, "workers = 2\n").unwrap();
    fs::write(&place.state, "serve").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=3", 1);
    server.wait_for("reason=\"reload\"", 4);
    server.wait_until("four processes", || server.processes().len() == 4);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn workers_have_the_limits_of_their_own_generation() {
    let place = Place::new("limits");
    fs::write(&place.config, "workers = 1\n").unwrap();
    let (server, address) = start(place.app().option("respawn-interval", 0), 1);
    fs::write(&place.config, "workers = 1\nmax-requests = 6\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("reason=\"reload\"", 1);
    server.wait_for("worker exited", 1);
    let load = Load::start(address, "/", 2);
    server.wait_for("reason=\"max-requests\"", 3);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn a_stopped_mold_does_not_delay_a_stop_or_a_reload() {
    let place = Place::new("stillmold");
    fs::write(&place.config, "workers = 1\n").unwrap();
    let (mut server, address) = start(place.app(), 1);
    let mold = pid_in(&server.log(), "mold ready");
    kill(Pid::from_raw(mold), Signal::SIGSTOP).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_until("the stopped mold gone", || server.processes().len() == 3);
    assert_eq!(Conn::to(address).get("/").status, 200);
    let mold = pid_in(&server.log(), "mold ready generation=1");
    kill(Pid::from_raw(mold), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(*server.workers().last().unwrap()), Signal::SIGKILL).unwrap();
    server.wait_for("killed by SIGKILL", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(server.processes().is_empty());
}

fn pid_in(log: &str, text: &str) -> i32 {
    let line = log.lines().find(|line| line.contains(text)).unwrap();
    line.split("pid=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_worker_that_is_forked_after_its_generation_ended_exits() {
    let server = Server::app("supervised:app").option("workers", 1).start();
    let mold = pid_in(&server.log(), "mold ready");
    kill(Pid::from_raw(mold), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for("worker exited", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    // It was told to fork another worker before the reload.
    kill(Pid::from_raw(mold), Signal::SIGCONT).unwrap();
    // The master, the new mold and its worker.
    server.wait_until("left alone", || server.processes().len() == 3);
    server.stop();
}

/// Python, except that it lets the mold receive settings of another version of hostler when there is such a file.
const PYTHON_OF_ANOTHER_VERSION: &str = r#"#!PYTHON
import os, socket, sys

if "hostler" in sys.argv[2] and os.path.exists("DIR/updated"):
    control = socket.socket(fileno=3)
    settings, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 32)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(ours, [settings.replace(b'"options"', b'"choices"')], descriptors)
    # The process that the master knows passes the answers on: its exit comes after them.
    if os.fork() != 0:
        theirs.close()
        while reply := ours.recv(1 << 20):
            control.send(reply)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    os.dup2(theirs.fileno(), 3)
os.execv("PYTHON", ["PYTHON"] + sys.argv[1:])
"#;

/// A package manager replaced hostler while it runs.
#[test]
fn a_reload_into_another_version_of_hostler_fails_and_tells_what_to_do() {
    let dir = directory("versions");
    let python = hostler_testkit::python();
    let script = PYTHON_OF_ANOTHER_VERSION.replace("PYTHON", &python.to_string_lossy());
    let wrapper = dir.join("python");
    let source = dir.join("python.py");
    fs::write(&source, script.replace("DIR", &dir.to_string_lossy())).unwrap();
    // Not by this process: a fork of another test that inherits it open would make it "text file busy".
    let install = Command::new("install").args(["-m", "755"]).args([&source, &wrapper]).status();
    assert!(install.unwrap().success());
    let server =
        Server::app("supervised:app").option("workers", 1).option("python", wrapper.display()).start();
    fs::write(dir.join("updated"), "").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("does not understand the server that runs", 1);
    server.wait_for("upgrade the server (SIGUSR2)", 1);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_reload_tells_what_a_start_tells_of_its_options() {
    let file = directory("told-at-reload").join("config");
    fs::write(&file, "").unwrap();
    let app = Server::app("supervised:app").option("workers", 1).option("port", 0);
    let server = app.option("config", file.display()).start();
    fs::write(&file, "reload-tick = 90\nloop = 'rloop'\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("an option has no effect, or not the one it seems to have option=\"--reload-tick", 1);
    server.wait_for("hostler's own event loop is used instead", 1);
    server.wait_for(" reloaded", 1);
    fs::write(&file, "worker = 2\n").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded: ", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("not reloaded: ")).unwrap();
    assert!(line.contains("did you mean") && line.contains("workers"), "{line}");
    server.stop();
}
