//! What belongs to a generation: its policy, its mold, its import. And many workers, and several listeners.

use crate::safety::directory;
use hostler_testkit::{Builder, Conn, LIMIT, Load, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::{Duration, Instant},
};

/// A directory with a configuration and a file that says how the import goes.
struct Place {
    config: PathBuf,
    state: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let dir = directory(name);
        let place = Self { config: dir.join("hostler.toml"), state: dir.join("state") };
        fs::write(&place.config, "").unwrap();
        fs::write(&place.state, "serve").unwrap();
        place
    }

    fn app(&self) -> Builder {
        Server::app("hanging:app")
            .option("config", self.config.display())
            .option("port", 0)
            .env("STATE_FILE", self.state.to_str().unwrap())
    }
}

/// Starts what has its number of workers from the configuration.
fn start(builder: Builder, workers: usize) -> (Server, SocketAddr) {
    let server = builder.launch();
    server.wait_for("worker ready", workers);
    let log = server.log();
    let address = log.split("address=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    (server, address.parse().unwrap())
}

fn eventually(what: &str, server: &Server, done: impl Fn() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "{what}:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a pipe said is gone: read again it would wait for ever, or say nothing.
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
fn what_a_reload_does_not_change_is_told() {
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
        "changed options take effect with an upgrade (SIGUSR2) or a start options=\"bind, backlog\"",
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
        server.wait_for("not reloaded: the running workers serve on", if wanted == 1 { 1 } else { 2 });
    }
    let load = Load::start(address, "/", 2);
    load.wait_for(100);
    assert!(!server.log().contains("worker retires"), "{}", server.log());
    // Master, mold and four workers.
    eventually("there are not six processes", &server, || server.processes().len() == 6);
    fs::write(&place.config, "workers = 2\n").unwrap();
    fs::write(&place.state, "serve").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=3", 1);
    server.wait_for("reason=\"reload\"", 4);
    eventually("there are not four processes", &server, || server.processes().len() == 4);
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
    server.wait_for("worker ended", 1);
    let load = Load::start(address, "/", 2);
    server.wait_for("reason=\"max-requests\"", 3);
    assert_eq!(load.end().failures, Vec::<String>::new());
    server.stop();
}

#[test]
fn an_import_that_hangs_is_replaced_by_a_later_reload() {
    for preload in ["--preload", "--no-preload"] {
        let place = Place::new(&format!("replace{preload}"));
        fs::write(&place.config, "workers = 2\n").unwrap();
        let (server, address) = start(place.app().arg(preload), 2);
        fs::write(&place.state, "hang").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("reloading generation=1", 1);
        // It hangs now, in the mold or in workers.
        if preload == "--no-preload" {
            server.wait_for("mold ready generation=1", 1);
        }
        fs::write(&place.state, "serve").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("a later reload replaces the one that was under way generation=1", 1);
        server.wait_for(" reloaded generation=2", 1);
        assert_eq!(Conn::to(address).get("/").status, 200);
        // What hung is gone as well: master, mold and two workers are left.
        eventually("somebody is left over", &server, || server.processes().len() == 4);
        server.stop();
    }
}

#[test]
fn the_boot_timeout_holds_for_an_import_in_the_mold() {
    let place = Place::new("moldboot");
    fs::write(&place.config, "workers = 1\n").unwrap();
    let (server, address) = start(place.app().arg("--preload").option("boot-timeout", 3), 1);
    fs::write(&place.state, "hang").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("the mold was not ready within the boot timeout, and is killed generation=1", 1);
    server.wait_for("not reloaded: the running workers serve on", 1);
    assert_eq!(Conn::to(address).get("/").status, 200);
    eventually("somebody is left over", &server, || server.processes().len() == 3);
    server.stop();

    let (code, log) = place.app().option("workers", 1).arg("--preload").option("boot-timeout", 2).fail();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("was not ready within --boot-timeout"), "{log}");
    assert_eq!(log.matches("error: ").count(), 1, "{log}");
}

#[test]
fn a_mold_that_stands_still_does_not_hold_up_a_stop_or_a_reload() {
    let place = Place::new("stillmold");
    fs::write(&place.config, "workers = 1\n").unwrap();
    let (mut server, address) = start(place.app(), 1);
    let mold = pid_in(&server.log(), "mold ready");
    kill(Pid::from_raw(mold), Signal::SIGSTOP).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    eventually("the stopped mold is left over", &server, || server.processes().len() == 3);
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
fn every_listener_is_accepted_from_whatever_comes_first() {
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = free.local_addr().unwrap();
    drop(free);
    let server = Server::app("supervised:app")
        .option("workers", 4)
        .option("accept", "per-worker")
        .option("bind", "fd://3")
        .option("bind", second)
        .descriptor(passed.try_clone().unwrap())
        .start();
    for address in [passed.local_addr().unwrap(), second] {
        let mut all: Vec<Conn> = (0..24).map(|_| Conn::to(address)).collect();
        for conn in &mut all {
            conn.send("GET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
        }
        for conn in &mut all {
            assert_eq!(conn.reply().unwrap().status, 200);
        }
    }
    server.stop();
}

#[test]
fn rsgi_applications_are_watched_for_slow_callbacks() {
    let server = Server::app("rsgi_blocking:app")
        .option("interface", "rsgi")
        .option("workers", 1)
        .option("slow-callback", 200)
        .start();
    assert_eq!(server.connect().get("/").text(), "blocked");
    server.wait_for("event loop blocked", 1);
    server.stop();
}

#[test]
fn a_worker_whose_mold_dies_before_it_tells_of_it_does_not_boot() {
    let file = directory("kill-the-mold").join("file");
    let builder = Server::app("dying_mold:app")
        .option("workers", 1)
        .arg("--preload")
        .env("KILL_FILE", file.to_str().unwrap());
    let server = builder.start();
    let serving = server.connect().get("/").text();
    fs::write(&file, "").unwrap();
    server.signal(Signal::SIGHUP);
    eventually("the mold does not die", &server, || !fs::exists(&file).unwrap());
    server.wait_for("not reloaded", 1);
    // Master, the mold of before and its worker.
    eventually("there are not three processes", &server, || server.processes().len() == 3);
    assert_eq!(server.connect().get("/").text(), serving);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=2", 1);
    eventually("there are not three processes again", &server, || server.processes().len() == 3);
    server.stop();
}

#[test]
fn a_worker_that_is_born_when_its_generation_is_over_leaves() {
    let server = Server::app("supervised:app").option("workers", 1).start();
    let mold = pid_in(&server.log(), "mold ready");
    kill(Pid::from_raw(mold), Signal::SIGSTOP).unwrap();
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for("worker ended", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    // It was told to fork another worker before anybody reloaded.
    kill(Pid::from_raw(mold), Signal::SIGCONT).unwrap();
    let end = Instant::now() + LIMIT;
    // The master, the new mold and its worker.
    while server.processes().len() != 3 {
        assert!(Instant::now() < end, "{:?}\n{}", server.processes(), server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
}
