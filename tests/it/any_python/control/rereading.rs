//! Configurations that are programs: while one runs, the server does all that it does otherwise.

use super::{begin, ctl, done, end, socket};
use hostler_testkit::{Conn, Server, directory, proc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A server of a gunicorn.conf.py that goes on when the second file is gone; it has a control socket there.
fn serving(name: &str, socket: &Path) -> (Server, PathBuf, PathBuf) {
    let dir = directory(name);
    let (conf, halt) = (dir.join("gunicorn.conf.py"), dir.join("halt"));
    configure(&conf, &halt, "");
    let line = format!("gunicorn -c {} --log-level debug", conf.display());
    let server = Server::peer(&line).env("HOSTLER_CONTROL_SOCKET", socket.to_str().unwrap()).launch();
    server.wait_for("worker ready", 1);
    (server, conf, halt)
}

fn configure(conf: &Path, halt: &Path, more: &str) {
    let text = "import os, time\nbind = '127.0.0.1:0'\nwsgi_app = 'wsgi_app:app'\nworkers = 1\n";
    let wait = format!("while os.path.exists('{}'): time.sleep(0.02)\n", halt.display());
    fs::write(conf, format!("{text}{more}\n{wait}")).unwrap();
}

/// The process that reads the configuration.
fn reader(server: &Server) -> i32 {
    let mut found = None;
    server.wait_until("the configuration is read", || {
        let children = proc::children(server.master());
        found = children.into_iter().find(|pid| proc::title(*pid).contains("reading the configuration"));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn workers_and_clients_are_looked_after_while_the_configuration_is_read() {
    let path = socket("ctl-rereading");
    let (server, conf, halt) = serving("rereading", &path);
    fs::write(&halt, "").unwrap();
    configure(&conf, &halt, "max_requests = 7");
    let (reload, changes) = (begin(&path, "reload"), begin(&path, "config --changes"));
    let reader = reader(&server);
    let before = server.workers()[0];
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 2);
    assert_eq!(Conn::to(server.logged_address().unwrap()).get("/pid").status, 200);
    assert!(done(&server, &path, "status").contains("reloading"), "{}", server.log());
    let (code, text) = ctl(&path, "restart");
    assert!(code == Some(6) && text.contains("a reload is under way"), "{text}");
    assert!(!server.log().contains("reloading generation"), "{}", server.log());
    // It holds nothing of the master's that its end should close.
    assert_eq!(proc::sockets(reader), 0, "{:?}", proc::descriptors(reader));
    fs::remove_file(&halt).unwrap();
    assert_eq!(end(reload), (Some(0), "reloaded: generation 1 serves, with 1 worker\n".into()));
    let (code, text) = end(changes);
    assert!(code == Some(0) && text.contains("max-requests"), "{text}");
    server.stop();
}

#[test]
fn a_stop_waits_for_no_configuration() {
    let path = socket("ctl-rereading-stop");
    let (mut server, _, halt) = serving("rereading-stop", &path);
    fs::write(&halt, "").unwrap();
    let (reload, changes) = (begin(&path, "reload"), begin(&path, "config --changes"));
    reader(&server);
    // That may be the other one's.
    server.wait_for("control command command=\"reload\"", 1);
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for refused in [reload, changes] {
        let (code, text) = end(refused);
        assert!(code == Some(1) && text.contains("the server is stopping"), "{text}");
    }
    server.wait_empty();
}

#[test]
fn another_signal_has_the_configuration_read_anew_and_both_share_the_outcome() {
    let path = socket("ctl-rereading-again");
    let (server, conf, halt) = serving("rereading-again", &path);
    fs::write(&halt, "").unwrap();
    let reload = begin(&path, "reload");
    let first = reader(&server);
    configure(&conf, Path::new("/nowhere"), "");
    server.signal(Signal::SIGHUP);
    assert_eq!(end(reload), (Some(0), "reloaded: generation 1 serves, with 1 worker\n".into()));
    server.wait_until("the first is gone", || proc::state(first).is_none());
    assert_eq!(server.log().matches(" reloaded ").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn a_reader_that_is_killed_changes_nothing_and_the_next_one_does() {
    let path = socket("ctl-rereading-killed");
    let (server, _, halt) = serving("rereading-killed", &path);
    fs::write(&halt, "").unwrap();
    let (reload, next) = (begin(&path, "reload"), reader(&server));
    kill(Pid::from_raw(next), Signal::SIGKILL).unwrap();
    let (code, text) = end(reload);
    assert!(code == Some(1) && text.contains("the configuration could not be read again"), "{text}");
    server.wait_for("not reloaded: the configuration could not be read again", 1);
    fs::remove_file(&halt).unwrap();
    done(&server, &path, "reload");
    server.stop();
}

/// Killed with it, and what it has started as well.
#[test]
fn nothing_that_reads_outlives_a_killed_master() {
    let path = socket("ctl-rereading-orphan");
    let (server, _, halt) = serving("rereading-orphan", &path);
    fs::write(&halt, "").unwrap();
    server.signal(Signal::SIGHUP);
    let reader = reader(&server);
    server.wait_until("it executes the file", || !proc::children(reader).is_empty());
    kill(Pid::from_raw(server.master()), Signal::SIGKILL).unwrap();
    server.wait_empty();
}
