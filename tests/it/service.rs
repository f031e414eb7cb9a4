//! What a service manager, a container and an operator expect.

use crate::safety::directory;
use hostler_testkit::{LIMIT, Server, python};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::PathBuf,
    time::Instant,
};

/// Whether this machine lets us make namespaces, as root outside of a container does; says so if not.
#[expect(clippy::print_stderr, reason = "a test that is left out should be noticed")]
pub(crate) fn can_make_namespaces() -> bool {
    let tried = std::process::Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("left out: it needs root and the right to make namespaces");
    }
    can
}

/// Receives until a message has `text`; all that came.
fn receive(manager: &UnixDatagram, text: &str) -> String {
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut all = String::new();
    while !all.contains(text) {
        let mut block = [0; 4096];
        let count =
            manager.recv(&mut block).unwrap_or_else(|error| panic!("no {text:?} in {all:?}: {error}"));
        all.push_str(&String::from_utf8_lossy(&block[..count]));
        all.push('\n');
    }
    all
}

#[test]
fn systemd_is_told_of_readiness_reload_health_and_stop() {
    let path = directory("readiness").join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let server = Server::app("supervised:app")
        .option("workers", 2)
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000")
        .wrapped(&["sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"])
        .start();
    let said = receive(&manager, "READY=1");
    assert!(said.contains("STATUS=2 of 2 workers serve"), "{said}");
    receive(&manager, "WATCHDOG=1");
    server.signal(Signal::SIGHUP);
    let said = receive(&manager, "RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    receive(&manager, "READY=1");
    server.signal(Signal::SIGUSR2);
    receive(&manager, "MAINPID=");
    let mut server = server;
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let successor = server.processes().into_iter().min().unwrap();
    // What the old one said while it left is about itself, and would be taken for the service's state.
    let left = received(&manager);
    assert!(!left.contains("STOPPING"), "{left}");
    // The new one has the watchdog, although the variable named the old one.
    let said = receive(&manager, "WATCHDOG=1");
    assert!(!said.contains("STOPPING"), "{said}");
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    receive(&manager, "STOPPING=1");
    server.wait_empty();
}

/// All that has come.
fn received(manager: &UnixDatagram) -> String {
    manager.set_nonblocking(true).unwrap();
    let mut all = String::new();
    let mut block = [0; 4096];
    while let Ok(count) = manager.recv(&mut block) {
        all.push_str(&String::from_utf8_lossy(&block[..count]));
        all.push('\n');
    }
    manager.set_nonblocking(false).unwrap();
    all
}

#[test]
fn a_socket_of_systemd_is_served_and_not_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .wrapped(&["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"])
        .descriptor(listener.try_clone().unwrap())
        .start();
    assert_eq!(server.address, Some(address));
    assert_eq!(server.connect().get("/pid").status, 200);
    let seen = server.connect().get("/inherited").text();
    assert_eq!(seen, "LISTEN_FDS=None children=[]");
    server.stop();
    // It was never ours to close.
    assert!(std::net::TcpStream::connect(address).is_ok());
}

#[test]
fn a_descriptor_that_is_no_socket_is_refused() {
    let file = fs::File::open("/dev/null").unwrap();
    let (code, log) = Server::app("supervised:app")
        .wrapped(&["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"])
        .descriptor(file)
        .fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on fd://3") && log.contains("not a socket"), "{log}");
}

#[test]
fn as_pid_1_orphans_of_anybody_are_reaped_and_nothing_else_happens() {
    if !can_make_namespaces() {
        return;
    }
    let server = Server::app("supervised:app")
        .option("workers", 2)
        .wrapped(&["unshare", "--pid", "--fork", "--mount-proc"])
        .start();
    // No handler is to take longer than a client waits.
    for _ in 0..20 {
        assert_eq!(server.connect().get("/orphans/50").text(), "50 orphans");
    }
    let limit = Instant::now() + LIMIT;
    let zombies = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let states = all.filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
            let (state, group) = (fields.next()?.to_owned(), fields.nth(1)?.to_owned());
            Some((state, group))
        });
        states.filter(|(state, group)| state == "Z" && *group == server.master().to_string()).count()
    };
    while zombies() > 0 {
        assert!(Instant::now() < limit, "{} zombies", zombies());
    }
    assert_eq!(server.log().matches("worker ready").count(), 2, "{}", server.log());
    assert!(!server.log().contains("worker ended"), "{}", server.log());
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    server.wait_for("stopped", 1);
    server.wait_empty();
}

#[test]
fn an_upgrade_as_pid_1_leaves_somebody_to_pass_signals_on() {
    if !can_make_namespaces() {
        return;
    }
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .wrapped(&["unshare", "--pid", "--fork", "--mount-proc"])
        .start();
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
    server.wait_for("stays to pass signals on", 1);
    assert_eq!(server.connect().get("/pid").status, 200);
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    server.wait_for("stopped", 2);
    server.wait_empty();
}

/// A server that is PID 1 of a namespace, upgraded once and drained; and its number outside.
fn upgraded_as_pid_1() -> (Server, i32) {
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .wrapped(&["unshare", "--pid", "--fork", "--mount-proc"])
        .start();
    let first = server.child_of(server.master()).unwrap();
    kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
    server.wait_for("stays to pass signals on", 1);
    (server, first)
}

/// Stops what is left of the upgrades of a server that is PID 1 of a namespace.
fn stop_pid_1(mut server: Server, first: i32) {
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    server.wait_empty();
}

/// The child of a process that is a master, and no mold that is about to leave.
fn master_below(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let title = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut children = children.split_ascii_whitespace().map(|pid| pid.parse().unwrap());
    children.find(|pid| title(pid).contains("master")).unwrap()
}

/// The second successor was the child of the first: with that one's end PID 1 ended, and so did everybody.
#[test]
fn as_pid_1_one_upgrade_follows_another() {
    if !can_make_namespaces() {
        return;
    }
    let (server, first) = upgraded_as_pid_1();
    for upgrades in 2..=3 {
        kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
        server.wait_for("upgraded: the other server serves", upgrades);
        server.wait_for("left its place to another one", upgrades - 1);
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    kill(Pid::from_raw(first), Signal::SIGHUP).unwrap();
    server.wait_for("reloaded", 1);
    stop_pid_1(server, first);
}

#[test]
fn as_pid_1_a_drained_server_takes_the_service_back() {
    if !can_make_namespaces() {
        return;
    }
    let (server, first) = upgraded_as_pid_1();
    for crashes in 1..=2 {
        kill(Pid::from_raw(master_below(first)), Signal::SIGKILL).unwrap();
        server.wait_for("this one serves again", crashes);
        server.wait_for("worker ready", 2 * crashes + 1);
        assert_eq!(server.connect().get("/pid").status, 200);
        if crashes == 1 {
            kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
            server.wait_for("stays to pass signals on", 2);
        }
    }
    stop_pid_1(server, first);
}

/// What is to be reached by the pid file is reached, if not at once.
#[test]
fn a_pid_file_that_cannot_be_written_is_written_later() {
    let (dir, away) = (directory("late-pid"), directory("late-pid-away"));
    fs::remove_dir(&away).unwrap();
    let file = dir.join("pid");
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .option("port", 0)
        .option("pid-file", file.display())
        .env("IMPORT_SECONDS", "1")
        .launch();
    server.wait_for("mold ready", 1);
    fs::rename(&dir, &away).unwrap();
    server.wait_for("the pid file could not be written", 1);
    fs::rename(&away, &dir).unwrap();
    server.wait_for("the pid file is written", 1);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), server.master().to_string());
    server.stop();
    assert!(!file.exists());
}

/// Makes a Python below a private home readable for everybody, where only the server sees it.
pub(crate) const READABLE: &str = r#"
home=$(dirname "$HOME/.")
if ! setpriv --reuid 65534 --clear-groups test -x "$0"; then
    mount --make-rprivate / && mkdir -p /mnt/home && mount --bind "$home" /mnt/home
    mount -t tmpfs -o mode=755 tmpfs "$home"
    for entry in $(ls -A /mnt/home); do
        [ -d "/mnt/home/$entry" ] && mkdir "$home/$entry" && mount --bind "/mnt/home/$entry" "$home/$entry"
    done
fi
exec "$@"
"#;

#[test]
fn workers_run_as_another_user_and_the_master_does_not() {
    if !can_make_namespaces() {
        return;
    }
    let base = fs::canonicalize(python()).unwrap();
    let dir = directory("user");
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .option("user", 65534)
        .option("umask", "027")
        .wrapped(&["unshare", "--mount", "sh", "-c", READABLE, base.to_str().unwrap()])
        .start();
    let who = server.connect().get("/who").text();
    assert!(who.ends_with(" 65534"), "{who}");
    assert_eq!(fs::metadata(format!("/proc/{}", server.master())).unwrap().uid(), 0);
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let written = dir.join("file");
    assert_eq!(server.connect().get(&format!("/write{}", written.display())).text(), "written");
    let file = fs::metadata(&written).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (65534, 0o640));
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.stop();
}

#[test]
fn users_groups_and_masks_that_do_not_exist_are_refused() {
    for (option, value, text) in [
        ("user", "nobody-of-that-name", "there is no such user"),
        ("group", "nobody-of-that-name", "there is no such group"),
        ("umask", "999", "octal"),
    ] {
        let (code, log) = Server::app("supervised:app").option(option, value).fail();
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(text) && log.contains(value), "{log}");
    }
}

#[test]
fn contradictory_limits_are_refused() {
    let app = || Server::app("supervised:app");
    let refused = [
        app().option("max-requests", 10).option("max-requests-jitter", 10),
        app().option("max-requests-jitter", 5),
        app().option("graceful-timeout", 5).option("workers-kill-timeout", 6),
    ];
    for builder in refused {
        let (code, log) = builder.fail();
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains("contradict each other"), "{log}");
    }
}

#[test]
fn the_log_goes_to_a_file_that_is_opened_again() {
    let dir = directory("log");
    let (file, moved) = (dir.join("log"), dir.join("log.1"));
    let mut server = Server::app("supervised:app")
        .option("workers", 1)
        .option("port", 0)
        .option("log-file", file.display())
        .option("log-format", "json")
        .launch();
    let limit = Instant::now() + LIMIT;
    let wait = |path: &PathBuf, text: &str| {
        while !fs::read_to_string(path).unwrap_or_default().contains(text) {
            assert!(Instant::now() < limit, "no {text:?}: {:?}", fs::read_to_string(path));
        }
    };
    wait(&file, "worker ready");
    for line in fs::read_to_string(&file).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["message"].is_string() && event["timestamp"].is_string(), "{line}");
    }
    fs::rename(&file, &moved).unwrap();
    server.signal(Signal::SIGUSR1);
    wait(&file, "log file reopened");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = fs::read_to_string(&file).unwrap();
    // The worker's and the master's last words both are in the new file.
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
    assert!(!fs::read_to_string(&moved).unwrap().contains("stopped"));
}

#[test]
fn a_pid_file_of_a_running_server_is_respected_and_a_stale_one_is_not() {
    let file = directory("pid").join("pid");
    fs::write(&file, "999999\n").unwrap();
    let server =
        Server::app("supervised:app").option("workers", 1).option("pid-file", file.display()).start();
    let limit = Instant::now() + LIMIT;
    while fs::read_to_string(&file).unwrap().trim() != server.master().to_string() {
        assert!(Instant::now() < limit);
    }
    let (code, log) =
        Server::app("supervised:app").option("port", 0).option("pid-file", file.display()).fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("is running"), "{log}");
    server.stop();
    assert!(!file.exists());
    let (code, log) =
        Server::app("supervised:app").option("port", 0).option("pid-file", "/nowhere/pid").fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("cannot use the pid file"), "{log}");
}

#[test]
fn the_number_of_workers_comes_from_the_platform() {
    let server = Server::app("supervised:app")
        .arg("--workers=auto")
        .option("port", 0)
        .wrapped(&["taskset", "--cpu-list", "0"])
        .launch();
    server.wait_for("worker ready", 1);
    server.wait_for("one worker for each processor that may be used workers=1", 1);
    let server = Server::app("supervised:app").option("port", 0).env("WEB_CONCURRENCY", "3").launch();
    server.wait_for("worker ready", 3);
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
