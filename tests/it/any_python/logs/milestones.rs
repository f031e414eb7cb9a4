//! What an operator reads: a start, a stop, a reload and a worker that goes, in few lines.

use crate::support::Place;
use hostler_testkit::{Builder, Server, directory, get_unix, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, io::Write, os::unix::net::UnixStream};

fn app(target: &str) -> Builder {
    Server::app(target).option("log-level", "info")
}

/// The beginnings of all lines, behind time and level.
fn events(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split_once("Z ")?.1.trim_start().split_once(' '))
        .map(|(_, rest)| rest)
        .collect()
}

fn begin_as(log: &str, expected: &[&str]) {
    let events = events(log);
    assert_eq!(events.len(), expected.len(), "{log}");
    for (event, beginning) in events.iter().zip(expected) {
        assert!(event.starts_with(beginning), "{event:?} is not {beginning:?}:\n{log}");
    }
}

#[test]
fn a_start_has_five_lines_and_a_stop_has_one() {
    for (target, loaded) in [
        ("asgi_app:app", "application loaded app=\"asgi_app:app\" interface=\"asgi\""),
        ("wsgi_app:app", "at most 6 application calls at once workers=3 threads=2 app=\"wsgi_app:app\""),
    ] {
        let app = app(target)
            .option("workers", 3)
            .option("blocking-threads", if target.starts_with('w') { 2 } else { 1 });
        let mut server = app.start();
        assert_eq!(server.connect().get("/pid").status, 200);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_exit().code(), Some(0));
        let pid = server.master();
        begin_as(
            &server.log(),
            &[
                &format!(
                    "starting hostler version=\"{}\" pid={pid} app=\"{target}\" workers=3",
                    env!("CARGO_PKG_VERSION")
                ),
                "python chosen python=",
                "listening address=127.0.0.1:",
                loaded,
                &format!("serving url=http://{} workers=3 seconds=", server.address.unwrap()),
                "stopped requests=1 errors=0 signal=\"SIGTERM\" seconds=",
            ],
        );
    }
}

#[test]
fn the_url_is_that_of_each_address() {
    let dir = directory("log-urls");
    let socket = dir.join("socket");
    let mut server = app("asgi_app:app")
        .option("bind", "127.0.0.1:0")
        .option("bind", "[::1]:0")
        .option("bind", format!("unix:{}", socket.display()))
        .launch();
    server.wait_for("serving url=", 1);
    server.signal(Signal::SIGTERM);
    server.wait_exit();
    let log = server.log();
    let url = log.lines().find_map(|line| line.split_once("serving url=")).unwrap().1;
    assert!(url.starts_with("\"http://127.0.0.1:") && url.contains(", http://[::1]:"), "{url}");
    assert!(url.contains(&format!(", unix:{}\"", socket.display())), "{url}");
}

#[test]
fn a_start_that_fails_has_no_line_but_the_reason() {
    let (status, log) = app("nothing:app").option("workers", 3).fail();
    assert_eq!(status, Some(4));
    assert_eq!(log.matches("INFO").count(), 3, "{log}");
    assert_eq!(log.matches("Z ").count(), 3, "{log}");
    assert_eq!(log.matches("error: could not load `nothing:app`").count(), 1, "{log}");
    assert!(!log.contains("serving url=") && !log.contains("worker exited"), "{log}");
}

#[test]
fn a_worker_that_is_killed_has_a_line_and_its_successor_another() {
    let server = app("supervised:app").option("workers", 1).start();
    let worker: i32 = server.connect().get("/pid").text().parse().unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 1);
    let log = server.log();
    let after = log.lines().skip_while(|line| !line.contains("serving")).skip(1);
    // The response may have come before the worker has counted it.
    let lines: Vec<&str> = after.filter(|line| !line.contains("request lost")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let exited = format!("WARN worker exited worker=1 pid={worker} status=\"killed by SIGKILL\" served=");
    assert!(lines[0].contains(&exited), "{log}");
    assert!(lines[1].contains("INFO worker ready worker=1 generation=0 pid="), "{log}");
    server.stop();
}

#[test]
fn a_worker_that_is_replaced_has_a_line_with_the_reason() {
    let server = app("supervised:app").option("workers", 1).option("max-requests", 3).start();
    for _ in 0..3 {
        server.connect().get("/pid");
    }
    server.wait_for("worker exited", 1);
    let log = server.log();
    let lines: Vec<&str> = log.lines().skip_while(|line| !line.contains("serving")).skip(1).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("INFO worker exited worker=1 ")
            && lines[0].contains("reason=\"max-requests\" served=3"),
        "{log}"
    );
    server.stop();
}

#[test]
fn a_reload_has_two_lines() {
    let server = app("supervised:app").option("workers", 3).start();
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded generation=1 workers=3 seconds=", 1);
    let log = server.log();
    let lines: Vec<&str> = log.lines().skip_while(|line| !line.contains("serving")).skip(1).collect();
    assert_eq!(lines.len(), 2, "{log}");
    server.stop();
}

#[test]
fn a_long_boot_tells_what_it_waits_for() {
    for (name, preload, phase) in [
        ("log-boot", false, "workers load the application"),
        ("log-preload", true, "the application is imported (--preload)"),
    ] {
        let place = Place::new(name);
        fs::write(&place.state, "hang").unwrap();
        let app = place.app().option("log-level", "info").option("boot-timeout", 600);
        let app = if preload { app.arg("--preload") } else { app };
        let mut server = app.launch();
        server.wait_for(&format!("still starting phase=\"{phase}\" ready=0 workers="), 1);
        assert!(!server.log().contains("serving url="), "{}", server.log());
        server.signal(Signal::SIGTERM);
        server.wait_exit();
    }
}

#[test]
fn a_long_stop_tells_what_it_waits_for() {
    let dir = directory("log-stop-long");
    let socket = dir.join("socket");
    let mut server = app("supervised:app")
        .option("workers", 2)
        .option("uds", socket.display())
        .option("graceful-timeout", 600)
        .launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    let mut waits = UnixStream::connect(&socket).unwrap();
    waits.write_all(b"GET /wait/600 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    wait_until("answered", || get_unix(&socket, "/pid").is_ok());
    server.signal(Signal::SIGTERM);
    server.wait_for("still stopping workers=1 in_flight=1 sessions=0 signal=\"SIGTERM\" seconds=", 1);
    server.signal(Signal::SIGTERM);
    server.wait_exit();
}
