//! Reloads that change how lines look: all processes change at once, those that drain as well.

use crate::support::Place;
use hostler_testkit::{Conn, Server, directory, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, net::SocketAddr, path::Path};

/// Reads its configuration from a file, and has an observer.
fn configured(file: &Path, options: &str) -> (Server, SocketAddr) {
    fs::write(file, format!("workers = 1\n{options}")).unwrap();
    let end = file.with_extension("end");
    let server = Server::app("logging_app:app")
        .option("config", file.display())
        .option("port", 0)
        .option("admin", "127.0.0.1:0")
        .env("END", end.to_str().unwrap())
        // The file says it.
        .env("HOSTLER_LOG_LEVEL", "")
        .launch();
    server.wait_for("serving url", 1);
    let address = server.logged_address().unwrap();
    (server, address)
}

fn reload(server: &Server, file: &Path, options: &str) {
    fs::write(file, format!("workers = 1\n{options}")).unwrap();
    server.signal(Signal::SIGHUP);
}

fn is_json(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object())
}

/// A line of text begins with the time.
fn is_text(line: &str) -> bool {
    line.starts_with("20") && line.contains("Z ")
}

#[test]
fn a_reload_changes_the_form_of_all_lines_at_once() {
    let file = directory("log-form").join("hostler.toml");
    let (mut server, address) = configured(&file, "log-level = 'debug'\nprocess-name = 'shop'\n");
    let (master, old) = (server.master(), server.workers());
    let title = |pid: i32, expected: &str| {
        wait_until("it has its title", || proc::title(pid).trim() == expected);
    };
    title(master, "shop");
    // Before the reload ends, lines are text.
    let mut late = Conn::to(address);
    late.send("GET /late HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_until("the request runs", || proc::state(old[0]).is_some());
    reload(&server, &file, "log-level = 'debug'\nlog-format = 'json'\nprocess-name = 'new'\n");
    server.wait_for("\"message\":\"reloaded\"", 1);
    let told = server.log().len();
    title(master, "new");
    let observer = proc::children(master).into_iter().find(|pid| proc::title(*pid).contains("observer"));
    title(observer.unwrap(), "new observer");
    // The worker from before, and the one that serves now.
    fs::write(file.with_extension("end"), "").unwrap();
    assert_eq!(late.reply().unwrap().status, 500);
    Conn::to(address).get("/raise");
    server.wait_for("the ASGI application raised", 2);
    server.wait_until("the old worker is gone", || proc::state(old[0]).is_none());
    // The master's, of a death that was not asked for.
    let new = proc::children(master).into_iter().find(|pid| proc::title(*pid).starts_with("new worker-1"));
    kill(Pid::from_raw(new.unwrap()), Signal::SIGKILL).unwrap();
    server.wait_for("\"message\":\"worker ready\"", 1);
    let log = server.log();
    let first = log.lines().position(is_json).unwrap();
    for (index, line) in log.lines().enumerate() {
        assert!(if index < first { !is_json(line) } else { is_json(line) }, "line {index}, {line}:\n{log}");
    }
    let drained = log[told..].lines().any(|line| line.contains("\"message\":\"drained\""));
    assert!(drained, "the old worker said nothing:\n{log}");
    // And back.
    reload(&server, &file, "log-level = 'debug'\n");
    server.wait_for(" reloaded generation=2", 1);
    server.wait_for(" worker exited", 1);
    title(master, "hostler: master logging_app:app");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    let last = log.lines().count() - log.lines().rev().position(is_json).unwrap();
    assert!(log.lines().skip(last).all(is_text), "{log}");
    assert!(log.lines().nth(last).unwrap().contains("reloaded"), "{log}");
}

#[test]
fn a_reload_turns_lines_off_and_on_and_changes_their_level() {
    let file = directory("log-level").join("hostler.toml");
    let (server, address) = configured(&file, "");
    let old = server.workers()[0];
    reload(&server, &file, "log = false\n");
    server.wait_for("reloading generation=1", 1);
    server.wait_until("replaced", || proc::state(old).is_none());
    Conn::to(address).get("/raise");
    reload(&server, &file, "log-level = 'debug'\n");
    server.wait_for(" reloaded generation=2", 1);
    server.wait_for("DEBUG drained", 1);
    for silent in ["reloaded generation=1", "division by zero", "DEBUG mold ready"] {
        assert!(!server.log().contains(silent), "{silent}: {}", server.log());
    }
    server.stop();
}

#[test]
fn a_reload_that_fails_changes_no_line() {
    let place = Place::new("log-unchanged");
    let server = place.app().option("workers", 1).launch();
    server.wait_for("worker ready", 1);
    fs::write(&place.config, "log-format = 'json'\nlog-level = 'debug'\n").unwrap();
    fs::write(&place.state, "fail").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded: the running workers keep serving", 1);
    assert!(server.log().lines().all(|line| !is_json(line)), "{}", server.log());
    server.stop();
}

/// Where lines go does not change: what would take an upgrade is not half applied by a reload.
#[test]
fn options_that_wait_for_an_upgrade_change_no_new_worker() {
    let file = directory("log-kept").join("hostler.toml");
    let (server, address) = configured(&file, "");
    let nowhere = file.with_extension("socket");
    reload(&server, &file, &format!("log-target = 'unix:{}'\naccess-log = true\n", nowhere.display()));
    server.wait_for("take effect with an upgrade (SIGUSR2) or a start options=\"log-target, access-log\"", 1);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_until("the new worker serves", || {
        Conn::to(address).get("/raise");
        server.log().contains("division by zero")
    });
    assert!(!server.log().contains("GET /raise"), "an access log: {}", server.log());
    server.stop();
}
