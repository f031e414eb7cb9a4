//! Upgrades that go wrong: stops, crashes and other versions meanwhile.

use crate::safety::directory;
use hostler_testkit::{Builder, LIMIT, Load, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

fn slow_import() -> Builder {
    Server::app("supervised:app").option("workers", 1).env("IMPORT_SECONDS", "1")
}

/// Tells the server to upgrade; the process id of the new one.
fn upgrade(server: &Server) -> i32 {
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgrading: another server is started", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("another server is started")).unwrap();
    line.rsplit_once("pid=").unwrap().1.parse().unwrap()
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// A request that keeps a server draining for so long.
fn long_request(server: &Server, seconds: u32) -> hostler_testkit::Conn {
    let mut conn = server.connect();
    conn.send(format!("GET /wait/{seconds} HTTP/1.1\r\nhost: t\r\n\r\n"));
    // Another one is answered only when this one is begun, for there is one worker.
    assert_eq!(server.connect().get("/pid").status, 200);
    conn
}

#[test]
fn a_server_that_drains_longer_than_its_successor_leaves_the_socket_to_the_one_after() {
    let socket = directory("two-upgrades").join("socket");
    let server = Server::app("supervised:app").option("workers", 1).option("bind", "127.0.0.1:0");
    let mut server = server.option("bind", format!("unix:{}", socket.display())).start();
    let mut conn = long_request(&server, 3);
    let second = upgrade(&server);
    server.wait_for("upgraded: the other server serves", 1);
    signal(second, Signal::SIGUSR2);
    // The second leaves before the first, which still answers.
    server.wait_for("the other server ended", 1);
    assert_eq!(conn.reply().unwrap().status, 200);
    server.wait_exit_of_master();
    assert!(crate::safety::get(&socket, "/pid").is_ok(), "{}", server.log());
    let third = server.processes().into_iter().min().unwrap();
    signal(third, Signal::SIGTERM);
    server.wait_empty();
    assert!(!socket.exists(), "{}", server.log());
}

#[test]
fn a_stop_during_an_upgrade_stops_both() {
    for stop in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        // Before the new server listens to the old one, and while its workers boot.
        for stage in ["upgrading", "mold ready"] {
            let mut server = slow_import().start();
            upgrade(&server);
            server.wait_for(stage, if stage == "mold ready" { 2 } else { 1 });
            server.signal(stop);
            assert_eq!(server.wait_exit().code(), Some(0), "{stop} {stage}:\n{}", server.log());
            assert!(server.processes().is_empty(), "{stop} {stage}:\n{}", server.log());
            assert!(!server.log().contains("upgraded"), "{stop} {stage}:\n{}", server.log());
        }
    }
}

#[test]
fn a_stop_of_the_old_server_while_it_drains_stops_the_new_one_too() {
    let server = slow_import().start();
    let mut long = long_request(&server, 4);
    upgrade(&server);
    server.wait_for("upgraded: the other server serves", 1);
    server.signal(Signal::SIGTERM);
    // It is no second request to stop: what is in flight is answered.
    assert_eq!(long.reply().unwrap().text(), "waited");
    server.wait_for("stopped", 2);
    server.wait_empty();
}

#[test]
fn a_successor_that_is_killed_during_the_next_upgrade_leaves_one_service() {
    let mut server = slow_import().start();
    let mut long = long_request(&server, 5);
    let second = upgrade(&server);
    server.wait_for("upgraded: the other server serves", 1);
    signal(second, Signal::SIGUSR2);
    server.wait_for("mold ready", 3);
    signal(second, Signal::SIGKILL);
    server.wait_for("left its place to another one", 1);
    server.wait_for("this server serves; the one before it leaves", 2);
    assert_eq!(long.reply().unwrap().text(), "waited");
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("serves again"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    let third = server.processes().into_iter().min().unwrap();
    signal(third, Signal::SIGTERM);
    server.wait_empty();
}

/// As deployments do: `current` is a link to the release.
#[test]
fn an_upgrade_follows_the_link_that_the_program_was_started_by() {
    let dir = directory("releases");
    let built = hostler_testkit::hostler();
    for release in ["1", "2"] {
        fs::create_dir(dir.join(release)).unwrap();
        for file in ["hostler", "libhostler_python.so"] {
            fs::hard_link(built.with_file_name(file), dir.join(release).join(file)).unwrap();
        }
    }
    let (current, next) = (dir.join("current"), dir.join("next"));
    std::os::unix::fs::symlink("1", &current).unwrap();
    let script = format!("shift; exec {}/hostler \"$@\"", current.display());
    let mut server = slow_import().wrapped(&["sh", "-c", &script, "sh"]).start();
    std::os::unix::fs::symlink("2", &next).unwrap();
    fs::rename(&next, &current).unwrap();
    let successor = upgrade(&server);
    server.wait_for("this server serves; the one before it leaves", 1);
    assert_eq!(fs::read_link(format!("/proc/{successor}/exe")).unwrap(), dir.join("2/hostler"));
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    signal(successor, Signal::SIGTERM);
    server.wait_empty();
}

#[test]
fn a_stopped_successor_is_killed_when_the_server_is_told_to_stop() {
    let mut server = slow_import().option("graceful-timeout", 1).option("workers-kill-timeout", 1).start();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(successor, Signal::SIGSTOP);
    server.signal(Signal::SIGTERM);
    server.wait_for("the other server is killed", 1);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    server.wait_empty();
}

#[test]
fn a_successor_that_is_killed_before_it_serves_changes_nothing_and_leaves_nothing() {
    let server = slow_import().start();
    let load = Load::start(server.address.unwrap(), "/pid", 2);
    let mut before = server.processes();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(successor, Signal::SIGKILL);
    server.wait_for("not upgraded: the other server ended; this one goes on", 1);
    let limit = Instant::now() + LIMIT;
    before.sort_unstable();
    loop {
        let mut now = server.processes();
        now.sort_unstable();
        if now == before {
            break;
        }
        assert!(Instant::now() < limit, "{before:?} {now:?}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    load.wait_for(50);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn when_the_successor_crashes_the_draining_server_takes_the_service_back() {
    let dir = directory("takeback");
    let (manager, pid_file, socket) = (dir.join("notify"), dir.join("pid"), dir.join("s.sock"));
    let manager_socket = UnixDatagram::bind(&manager).unwrap();
    let mut server = slow_import()
        .option("bind", "127.0.0.1:0")
        .option("bind", format!("unix:{}", socket.display()))
        .option("pid-file", pid_file.display())
        .env("NOTIFY_SOCKET", manager.to_str().unwrap())
        .start();
    let mut long = long_request(&server, 10);
    let mut idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let successor = upgrade(&server);
    server.wait_for("upgraded: the other server serves", 1);
    receive(&manager_socket, &format!("MAINPID={successor}"));
    for conn in &mut idle {
        assert_eq!(conn.get("/pid").status, 200);
    }
    signal(successor, Signal::SIGKILL);
    server.wait_for("this one serves again", 1);
    server.wait_for("worker ready", 3);
    assert_eq!(server.connect().get("/pid").status, 200);
    let said = receive(&manager_socket, &format!("MAINPID={}", server.master()));
    assert!(!said.contains("STOPPING"), "{said}");
    let said = receive(&manager_socket, "READY=1");
    assert!(said.contains("1 of 1 workers serve"), "{said}");
    let limit = Instant::now() + LIMIT;
    while fs::read_to_string(&pid_file).unwrap_or_default().trim() != server.master().to_string() {
        assert!(Instant::now() < limit);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", server.master())).unwrap().flatten();
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let pid_files =
        targets.filter(|target| target.to_string_lossy().starts_with(&*pid_file.to_string_lossy()));
    assert_eq!(pid_files.count(), 1);
    assert_eq!(long.reply().unwrap().text(), "waited");
    // It can be upgraded again.
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgraded: the other server serves", 2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let last: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    signal(last, Signal::SIGTERM);
    server.wait_empty();
    assert!(!socket.exists() && !pid_file.exists());
}

/// systemd takes what any process of the unit says for the state of the service.
#[test]
fn a_new_server_that_fails_says_nothing_to_the_service_manager() {
    let dir = directory("quiet");
    let (path, state, config) = (dir.join("notify"), dir.join("state"), dir.join("hostler.toml"));
    let manager = UnixDatagram::bind(&path).unwrap();
    fs::write(&state, "serve").unwrap();
    fs::write(&config, "").unwrap();
    let server = Server::app("hanging:app")
        .option("workers", 1)
        .option("config", config.display())
        .env("STATE_FILE", state.to_str().unwrap())
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    receive(&manager, "READY=1");
    fs::write(&state, "fail").unwrap();
    upgrade(&server);
    server.wait_for("not upgraded: the other server ended; this one goes on", 1);
    // A reload that fails before it begins ends for the service manager, too.
    fs::write(&config, "workers = \"many\"\n").unwrap();
    server.signal(Signal::SIGHUP);
    let said = receive(&manager, "RELOADING=1");
    assert!(!said.contains("STOPPING") && !said.contains("READY"), "{said}");
    let said = receive(&manager, "READY=1");
    assert!(said.contains("1 of 1 workers serve"), "{said}");
    server.stop();
}

#[test]
fn when_the_successor_is_told_to_stop_the_old_server_does_not_come_back() {
    let mut server = slow_import().start();
    let mut long = long_request(&server, 4);
    let successor = upgrade(&server);
    server.wait_for("upgraded: the other server serves", 1);
    signal(successor, Signal::SIGTERM);
    server.wait_for("the other server ended", 1);
    assert_eq!(long.reply().unwrap().text(), "waited");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("serves again"), "{}", server.log());
    assert!(server.processes().is_empty());
}

#[test]
fn a_master_that_is_killed_during_an_upgrade_is_replaced_all_the_same() {
    let mut server = slow_import().start();
    let successor = upgrade(&server);
    server.wait_for("mold ready", 2);
    signal(server.master(), Signal::SIGKILL);
    server.wait_exit_of_master();
    server.wait_for("worker ready", 2);
    assert_eq!(server.connect().get("/pid").status, 200);
    signal(successor, Signal::SIGTERM);
    server.wait_empty();
}

#[test]
fn a_program_of_another_version_refuses_and_the_old_server_goes_on() {
    use hostler_sys::{channel::Channel, message};
    use std::{io::IoSlice, os::fd::AsFd};
    let (ours, theirs) = Channel::pair().unwrap();
    let left = br#"{"version": 99, "unheard": ["of"]}"#;
    message::send(ours.as_fd(), &[IoSlice::new(left)], &[theirs.as_fd(), theirs.as_fd()]).unwrap();
    let (code, log) = Server::app("supervised:app")
        .option("port", 0)
        .env("HOSTLER_UPGRADE", "1")
        .descriptor(theirs.into_fd())
        .fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("it speaks version 99 of the upgrade and this program speaks"), "{log}");
    assert!(log.contains("stop it, then start this one"), "{log}");
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
