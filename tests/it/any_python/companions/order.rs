//! The order in which companions and workers start and stop, and when a companion is ready.

use super::{Site, pid};
use hostler_testkit::Server;
use nix::sys::signal::Signal;
use std::{
    fs,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

#[track_caller]
fn in_order(server: &Server, events: &[&str]) {
    let log = server.log();
    let places: Vec<_> =
        events.iter().map(|event| log.find(event).unwrap_or_else(|| panic!("no {event}:\n{log}"))).collect();
    assert!(places.is_sorted(), "{events:?} at {places:?}:\n{log}");
}

#[test]
fn companions_start_when_those_before_them_are_ready_and_stop_in_the_reverse_order() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "front"
        command = "sleep 1000"
        after = ["workers"]
        [[companion]]
        name = "second"
        command = ["python3", "-c", "import os,socket,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); n=os.environ['NOTIFY_SOCKET']; time.sleep(.3); s.sendto(b'STATUS=up\\nREADY=1', '\\0'+n[1:]); time.sleep(1000)"]
        ready = "notify"
        after = ["first"]
        before-workers = true
        [[companion]]
        name = "first"
        command = ["sh", "-c", "sleep 0.3; touch DIR/up; exec sleep 1000"]
        ready = "exec:test -e DIR/up"
        "#,
    );
    let mut server = site.builder().start();
    server.wait_for("companion started companion=\"front\"", 1);
    in_order(
        &server,
        &[
            "companion started companion=\"first\"",
            "companion ready companion=\"first\"",
            "companion started companion=\"second\"",
            "companion ready companion=\"second\"",
            "INFO serving",
            "companion started companion=\"front\"",
        ],
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    in_order(
        &server,
        &[
            "companion exited companion=\"front\"",
            "companion stopping companion=\"second\"",
            "companion exited companion=\"second\"",
            "companion stopping companion=\"first\"",
        ],
    );
}

/// The names of abstract sockets can be seen and used by all users of the network namespace, of other containers too.
#[test]
fn nobody_else_can_say_that_a_companion_is_ready() {
    let says = "import os,socket; socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM).sendto(b'READY=1', chr(0)+os.environ['NOTIFY_SOCKET'][1:])";
    let site = Site::new(&format!(
        r#"
        [[companion]]
        name = "a"
        command = ["sh", "-c", "echo $NOTIFY_SOCKET; until test -e DIR/go; do sleep 0.05; done; python3 -c \"$SAYS\"; exec sleep 1000"]
        env = {{ SAYS = "{says}" }}
        ready = "notify"
        "#,
    ));
    let server = site.builder().start();
    server.wait_for("a | @hostler-companion-", 1);
    let log = server.log();
    let name = log.split("a | @").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let watcher = super::watcher(pid(&server, "a", 1));
    assert_ne!(
        name,
        format!("hostler-companion-{watcher}"),
        "it can be guessed, and is taken in another PID namespace"
    );
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &address).unwrap();
    server.wait_for(
        &format!(
            "another process says that a companion is ready: it is not believed companion=\"a\" pid={}",
            std::process::id()
        ),
        1,
    );
    assert!(!server.log().contains("companion ready"), "{}", server.log());
    // One that it has started, and that has ended by the time.
    fs::write(site.path("go"), "").unwrap();
    server.wait_for("companion ready companion=\"a\"", 1);
    server.stop();
}

#[test]
fn addresses_and_urls_are_asked_until_they_answer() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tcp, http) = (free(), free());
    let site = Site::new(&format!(
        r#"
        [[companion]]
        name = "tcp"
        command = "python3 -m http.server {tcp} --bind 127.0.0.1"
        ready = "tcp:127.0.0.1:{tcp}"
        before-workers = true
        [[companion]]
        name = "http"
        command = "python3 -m http.server {http} --bind 127.0.0.1 --directory DIR"
        ready = "http://127.0.0.1:{http}/hostler.toml"
        before-workers = true
        [[companion]]
        name = "unix"
        command = ["python3", "-c", "import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('DIR/s'); time.sleep(.2); s.listen(); time.sleep(1000)"]
        ready = "unix:DIR/s"
        before-workers = true
        "#
    ));
    let server = site.builder().start();
    for name in ["tcp", "http", "unix"] {
        in_order(&server, &[&format!("companion ready companion=\"{name}\""), "INFO serving"]);
    }
    server.stop();
}

/// As a step of the start: migrations.
#[test]
fn workers_wait_for_what_is_ready_when_it_has_exited() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "migrate"
        command = "sh -c 'sleep 0.3; echo migrated'"
        ready = "exit"
        restart = "never"
        before-workers = true
        "#,
    );
    let server = site.builder().start();
    in_order(&server, &["migrate | migrated", "companion exited companion=\"migrate\"", "INFO serving"]);
    assert_eq!(server.log().matches("companion started").count(), 1);
    server.stop();
}

#[test]
fn a_start_fails_if_what_workers_wait_for_fails() {
    for (command, keys, text) in [
        ("sh -c 'echo no database; exit 7'", "ready = \"exit\"\nrestart = \"never\"", "exited with code 7"),
        ("sh -c 'exit 7'", "ready = \"tcp:1\"", "ends again and again"),
        (
            "sleep 1000",
            "ready = \"tcp:127.0.0.1:1\"\nready-timeout = 0.5",
            "was not ready within 0.5 s: 127.0.0.1:1 does not accept connections",
        ),
        ("sleep 1000", "ready = \"notify\"\nready-timeout = 0.5", "did not say READY=1"),
    ] {
        let site = Site::new(&format!(
            "[[companion]]\nname = \"db\"\ncommand = \"{command}\"\nbefore-workers = true\n{keys}\n"
        ));
        let (code, log) = site.builder().fail();
        assert_eq!(code, Some(3), "{log}");
        assert!(
            log.contains("error: companion `db`, which workers wait for") && log.contains(text),
            "{text}: {log}"
        );
    }
}

#[test]
fn one_that_is_late_and_that_nobody_waits_for_is_stopped_and_started_again() {
    let site = Site::new(
        "[[companion]]\nname = \"a\"\ncommand = \"sleep 1000\"\nready = \"unix:/nowhere\"\nready-timeout = 0.3\n",
    );
    let server = site.builder().start();
    server.wait_for("companion is not ready in time: it is stopped", 2);
    assert!(server.log().contains("found=\"/nowhere does not accept connections"), "{}", server.log());
    server.stop();
}

#[test]
fn mistakes_are_told_in_the_users_terms() {
    for (tables, texts) in [
        (
            "companion = [\"a=no-such-program x\"]",
            &["companion `a`: there is no program `no-such-program` in PATH"][..],
        ),
        ("companion = [\"a=./nothing\"]", &["there is no program `./nothing`"]),
        ("companion = [\"a=true\", \"a=false\"]", &["there are two companions called `a`"]),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\nafter = [\"b\"]",
            &["companion `a` is to start after `b`, which there is none of"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\nafter = [\"workers\"]\nbefore-workers = true",
            &["these wait for one another: a after workers after a"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\nuser = \"nobody-here\"",
            &["companion `a`: there is no user `nobody-here`"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\ndirectory = \"/no/such\"",
            &["there is no directory `/no/such`"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\nready = \"exit\"",
            &["it would be started again and again"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncommand = \"true\"\nlisten = [\"127.0.0.1:7001\"]\nready = \"tcp:127.0.0.1:7001\"",
            &["its `ready` asks an address that hostler listens on for it"],
        ),
        (
            "[[companion]]\nname = \"a\"\ncomand = \"true\"",
            &["it must be NAME=COMMAND, or a table with name, command"],
        ),
    ] {
        let site = Site::new(tables);
        let (code, log) = site.builder().fail();
        assert_eq!(code, Some(78), "{log}");
        for text in texts {
            assert!(log.contains(text), "{text}: {log}");
        }
    }
}

#[test]
fn a_companion_has_the_environment_user_and_directory_that_it_is_given() {
    let site = Site::new(
        r#"
        env = ["SHARED=1", "BOTH=server"]
        [[companion]]
        name = "a"
        command = ["sh", "-c", "echo $SHARED $BOTH $OWN $(umask) $(nice) $(id -u):$(id -g) $HOME $(pwd) ${NOTIFY_SOCKET-none} > DIR/out; exec sleep 1000"]
        directory = "DIR"
        umask = "077"
        nice = 7
        env = { BOTH = "own", OWN = "yes no" }
        "#,
    );
    let root = nix::unistd::geteuid().is_root();
    if root {
        let text = fs::read_to_string(site.path("hostler.toml")).unwrap() + "user = \"nobody\"\n";
        fs::write(site.path("hostler.toml"), text).unwrap();
        std::os::unix::fs::chown(site.directory.path(), Some(65534), Some(65534)).unwrap();
    }
    let server = site.builder().start();
    pid(&server, "a", 1);
    let mut text = String::new();
    server.wait_until("written", || {
        text = fs::read_to_string(site.path("out")).unwrap_or_default();
        text.ends_with('\n')
    });
    assert!(text.starts_with("1 own yes no 0077 7 "), "{text}");
    let directory = site.directory.path().canonicalize().unwrap();
    assert!(text.contains(&format!("{} none", directory.display())), "{text}");
    assert!(!root || text.contains(" 65534:65534 "), "{text}");
    server.stop();
}
