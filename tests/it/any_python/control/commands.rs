//! Each command waits for its outcome, and says what it was.

use super::{begin, controlled, ctl, done, end, result, socket};
use crate::support::{Place, load_on, nothing_failed, slow_import};
use hostler_testkit::{Server, directory, proc, wait_until};
use nix::sys::signal::Signal;
use std::{fs, net::TcpStream};

#[test]
fn a_reload_is_over_when_the_command_returns() {
    let path = socket("ctl-reload");
    let server = controlled(slow_import(), &path).start();
    assert_eq!(done(&server, &path, "reload"), "reloaded: generation 1 serves, with 1 worker\n");
    assert!(server.log().contains(" reloaded generation=1"), "{}", server.log());
    server.wait_for("control command command=\"reload\" client_pid=", 1);
    let told = result(&server, &path, "reload");
    assert_eq!((&told["generation"], &told["workers"]), (&2.into(), &1.into()));
    server.stop();
}

#[test]
fn a_reload_that_fails_says_why_and_changes_nothing() {
    let (place, path) = (Place::new("ctl-fails"), socket("ctl-fails-socket"));
    let server = controlled(place.app(), &path).option("boot-timeout", "2s").start();
    let serves = || assert_eq!(server.connect().get("/").status, 200);
    fs::write(&place.state, "fail").unwrap();
    let (code, text) = ctl(&path, "reload");
    assert_eq!(code, Some(1), "{text}");
    for words in ["not reloaded: the running workers keep serving", "could not", "RuntimeError: not today"] {
        assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    }
    serves();
    fs::write(&place.state, "hang").unwrap();
    let (code, text) = ctl(&path, "reload");
    assert!(code == Some(1) && text.contains("not ready within --boot-timeout"), "{text}");
    serves();
    fs::write(&place.config, "backlog = \"many\"\n").unwrap();
    let (code, text) = ctl(&path, "reload");
    assert!(code == Some(1) && text.contains("for --backlog (file"), "{text}");
    serves();
    server.stop();
}

#[test]
fn reloads_that_are_asked_for_during_a_reload_share_the_next_one() {
    let path = socket("ctl-reloads");
    let server = controlled(slow_import(), &path).start();
    let first = begin(&path, "reload --json");
    server.wait_for("reloading generation=1", 1);
    let later = [begin(&path, "reload --json"), begin(&path, "reload --json")];
    server.wait_for("command=\"reload\"", 3);
    let (code, text) = ctl(&path, "restart");
    assert!(code == Some(6) && text.contains("a reload is under way, to generation 1"), "{text}");
    assert!(end(first).1.contains("\"generation\":1"));
    for one in later {
        let (code, text) = end(one);
        assert!(code == Some(0) && text.contains("\"generation\":2"), "{text}\n{}", server.log());
    }
    // A signal does not wait: it takes the place of what is under way.
    let overtaken = begin(&path, "reload --json");
    server.wait_for("reloading generation=3", 1);
    server.signal(Signal::SIGHUP);
    let (code, text) = end(overtaken);
    assert!(code == Some(0) && text.contains("\"generation\":4"), "{text}\n{}", server.log());
    server.stop();
}

#[test]
fn workers_are_replaced_one_after_another_without_a_lost_request() {
    let path = socket("ctl-restart");
    let server = controlled(Server::app("supervised:app"), &path).option("respawn-interval", "0").start();
    let load = load_on(&server);
    let before = server.workers();
    let told = result(&server, &path, "restart");
    assert_eq!((&told["replaced"], &told["serving"]), (&serde_json::json!([1, 2]), &2.into()));
    server.wait_for("worker told to drain worker=1", 1);
    server.wait_for("reason=\"restart\"", 2);
    let first = server.workers()[2..].to_vec();
    assert_eq!(first.len(), 2, "{}", server.log());
    assert_eq!(done(&server, &path, "drain 2"), "worker 2 was replaced, and its process has ended\n");
    let after = server.workers();
    assert!(after.len() == 5 && before.iter().all(|pid| !after[2..].contains(pid)), "{}", server.log());
    nothing_failed(&load.end());
    let (code, text) = ctl(&path, "restart 3");
    assert!(code == Some(2) && text.contains("there is no worker 3"), "{text}");
    server.stop();
}

#[test]
fn a_restart_whose_successor_does_not_boot_keeps_the_old_workers() {
    let (place, path) = (Place::new("ctl-boot"), socket("ctl-boot-socket"));
    let server = controlled(place.app(), &path).option("respawn-interval", "0").start();
    fs::write(&place.state, "fail").unwrap();
    let (code, text) = ctl(&path, "restart");
    assert!(
        code == Some(1) && text.contains("its successor did not boot") && text.contains("not today"),
        "{text}"
    );
    fs::write(&place.state, "serve").unwrap();
    assert!(!server.log().contains("reason=\"restart\""), "{}", server.log());
    assert_eq!(server.connect().get("/").status, 200);
    done(&server, &path, "restart");
    server.stop();
}

#[test]
fn the_number_of_workers_is_reached_when_the_command_returns() {
    let (place, path) = (Place::new("ctl-scale"), socket("ctl-scale-socket"));
    let server = controlled(place.app(), &path).option("workers", 1).start();
    let text = done(&server, &path, "scale 3");
    assert!(text.starts_with("3 workers serving, until the server is started anew"), "{text}");
    assert_eq!(server.workers().len(), 3);
    done(&server, &path, "scale 1");
    let alive = |pid: &i32| !matches!(proc::state(*pid), None | Some('Z'));
    assert_eq!(server.workers().iter().filter(|pid| alive(pid)).count(), 1, "{}", server.log());
    let (code, text) = ctl(&path, "scale 1025");
    assert!(code == Some(2) && text.contains("no more than 1024"), "{text}");
    fs::write(&place.state, "fail").unwrap();
    let (code, text) = ctl(&path, "scale 2");
    assert!(code == Some(1) && text.contains("1 of 2 workers serve") && text.contains("not today"), "{text}");
    server.stop();
}

#[test]
fn a_stop_is_over_when_the_command_returns() {
    for line in ["stop", "stop --now"] {
        let path = socket("ctl-stop");
        let mut server = controlled(Server::app("supervised:app"), &path).start();
        let told = result(&server, &path, line);
        assert_eq!(told["exit_code"], 0);
        assert!(TcpStream::connect(server.address.unwrap()).is_err() && !path.exists(), "{}", server.log());
        assert_eq!(server.wait_exit().code(), Some(0));
        let (code, text) = ctl(&path, line);
        assert!(code == Some(5) && text.contains("does the server run?"), "{text}");
    }
}

#[test]
fn during_a_stop_others_are_told_so_and_a_second_stop_waits_as_well() {
    let path = socket("ctl-stopping");
    let mut server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("GET /wait/3 HTTP/1.1\r\nhost: t\r\n\r\n");
    let reload = begin(&path, "reload");
    server.wait_for(" reloading generation=1", 1);
    let first = begin(&path, "stop");
    server.wait_for("control command command=\"stop\"", 1);
    let second = begin(&path, "stop");
    server.wait_for("control command command=\"stop\"", 2);
    let (code, text) = ctl(&path, "scale 2");
    assert!(code == Some(6) && text.contains("the server is stopping"), "{text}");
    let (code, text) = end(reload);
    assert!(code == Some(1) || code == Some(0), "{text}");
    assert_eq!(conn.reply().unwrap().status, 200, "the second stop is not a quick one:\n{}", server.log());
    for stop in [first, second] {
        let (code, text) = end(stop);
        assert!(code == Some(0) && text.starts_with("stopped after"), "{text}");
    }
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn an_upgrade_leaves_the_socket_to_the_new_server() {
    let path = socket("ctl-upgrade");
    let mut server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let told = result(&server, &path, "upgrade");
    assert_eq!(told["pid"], server.successor());
    // At no moment is there no server behind the path.
    assert!(done(&server, &path, "log-level").starts_with("the level is debug"));
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    done(&server, &path, "reload");
    done(&server, &path, "stop");
    server.wait_empty();
    assert!(!path.exists());
}

#[test]
fn an_upgrade_that_fails_says_so_and_the_socket_stays() {
    let (place, path) = (Place::new("ctl-upgrade-fails"), socket("ctl-upgrade-socket"));
    let server = controlled(place.app(), &path).start();
    fs::write(&place.state, "fail").unwrap();
    let (code, text) = ctl(&path, "upgrade");
    assert!(code == Some(1) && text.contains("not upgraded: this server keeps serving"), "{text}");
    assert!(text.contains("the application could not be imported"), "{text}\n{}", server.log());
    fs::write(&place.config, "backlog = 'many'\n").unwrap();
    let (code, text) = ctl(&path, "upgrade");
    assert!(code == Some(1) && text.contains("its configuration is wrong"), "{text}\n{}", server.log());
    assert!(done(&server, &path, "log-level").contains("debug"));
    assert_eq!(server.connect().get("/").status, 200);
    server.stop();
}

#[test]
fn the_level_of_the_log_changes_in_all_processes_and_stays() {
    let path = socket("ctl-level");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1);
    let server = server.env("HOSTLER_LOG_LEVEL", "info").start();
    let text = done(&server, &path, "log-level error");
    assert_eq!(
        text,
        "the level is error, until the server is started anew or upgraded, or reloaded with another --log-level\n"
    );
    let first = server.workers()[0];
    done(&server, &path, "reload");
    assert!(!server.log().contains("reloading"), "{}", server.log());
    server.wait_until("the first worker gone", || proc::state(first).is_none());
    let told = result(&server, &path, "log-level debug");
    assert_eq!((&told["level"], &told["configured"]), (&"debug".into(), &"info".into()));
    // Of the master, and of a worker that was forked before.
    server.wait_for("log level changed", 1);
    done(&server, &path, "drain 1");
    server.wait_for("DEBUG drained", 1);
    done(&server, &path, "reload");
    done(&server, &path, "drain 1");
    server.wait_for("DEBUG drained", 3);
    done(&server, &path, "log-level configured");
    done(&server, &path, "drain 1");
    // One of the four was replaced by the reload.
    server.wait_for("worker exited", 4);
    assert_eq!(server.log().matches("DEBUG drained").count(), 3, "{}", server.log());
    server.stop();
}

#[test]
fn the_running_configuration_is_told_with_its_sources() {
    let (file, path) = (directory("ctl-config").join("hostler.toml"), socket("ctl-config-socket"));
    fs::write(&file, "workers = 1\nbacklog = 128\n").unwrap();
    let server =
        controlled(Server::app("supervised:app"), &path).option("config", file.display()).option("port", 0);
    let server = server.env("HOSTLER_LOG_LEVEL", "debug").launch();
    server.wait_for("worker ready", 1);
    let line = |text: &str, name: &str| {
        let found = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    let text = done(&server, &path, "config");
    let of_file = format!("# file {}, line 1", file.display());
    assert!(line(&text, "workers").contains(" 1 ") && line(&text, "workers").ends_with(&of_file), "{text}");
    assert!(line(&text, "log-level").ends_with("# environment variable HOSTLER_LOG_LEVEL"), "{text}");
    assert!(line(&text, "umask").ends_with("# default"), "{text}");
    assert_eq!(done(&server, &path, "config --changes"), "a reload would find no option changed\n");
    fs::write(&file, "workers = 2\nbacklog = 256\n").unwrap();
    let changes = done(&server, &path, "config --changes");
    assert!(changes.starts_with("-workers") || changes.contains("\n-workers"), "{changes}");
    done(&server, &path, "reload");
    let text = done(&server, &path, "config");
    assert!(line(&text, "workers").contains(" 2 "), "{text}");
    assert!(line(&text, "backlog").contains(" 128 "), "a reload does not change it: {text}");
    fs::write(&file, "workers = -1\n").unwrap();
    let (code, text) = ctl(&path, "config --changes");
    assert!(code == Some(1) && text.contains("a reload would fail"), "{text}");
    server.stop();
}

#[test]
fn an_outcome_that_is_not_awaited_comes_nevertheless() {
    let path = socket("ctl-timeout");
    let server = controlled(slow_import(), &path).start();
    let (code, text) = ctl(&path, "reload --timeout 200ms");
    assert!(code == Some(7) && text.contains("what has begun goes on"), "{text}");
    server.wait_for(" reloaded generation=1", 1);
    let gone = begin(&path, "reload");
    server.wait_for("reloading generation=2", 1);
    let mut gone = gone;
    gone.kill().unwrap();
    gone.wait().unwrap();
    server.wait_for(" reloaded generation=2", 1);
    let (master, before) = (server.master(), 40);
    wait_until("its descriptor closed", || proc::descriptors(master).len() < before);
    server.stop();
}
