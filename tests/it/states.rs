//! Each signal, a kill and a stop of each process, in each state of a server: it serves on or ends, and nothing is left.

use hostler_testkit::{Conn, LIMIT, Server, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

const SIGNALS: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGWINCH,
    Signal::SIGCHLD,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Booting,
    HungBoot,
    Serving,
    Reloading,
    HungReload,
    Upgrading,
    Draining,
}

/// A server in a state.
struct Scene {
    server: Server,
    address: SocketAddr,
    /// A request in flight, where that makes the state.
    _long: Option<Conn>,
}

fn state_file(name: &str) -> PathBuf {
    let dir = root().join("target/tmp");
    fs::create_dir_all(&dir).unwrap();
    dir.join(format!("state-{name}-{}", std::process::id()))
}

impl Scene {
    /// Brings a server there; `name` is the test's.
    fn set(state: State, name: &str) -> Self {
        let file = state_file(name);
        let write = |text| fs::write(&file, text).unwrap();
        write(if state == State::HungBoot { "hang" } else { "serve" });
        let server = Server::app("hanging:app")
            .option("port", 0)
            .option("workers", 1)
            .option("graceful-timeout", 3)
            .option("workers-kill-timeout", 3)
            .env("STATE_FILE", file.to_str().unwrap())
            .launch();
        server.wait_for("mold ready", 1);
        let log = server.log();
        let address = log.split("address=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
        let address = address.parse().unwrap();
        if !matches!(state, State::Booting | State::HungBoot) {
            server.wait_for("worker ready", 1);
        }
        let mut long = None;
        match state {
            State::Booting | State::HungBoot | State::Serving => {}
            State::Reloading | State::HungReload => {
                write(if state == State::HungReload { "hang" } else { "serve" });
                server.signal(Signal::SIGHUP);
                server.wait_for("mold ready generation=1", 1);
                write("serve");
            }
            State::Upgrading => {
                server.signal(Signal::SIGUSR2);
                // Not before: a process that is stopped between fork and exec has no parent to die with yet.
                server.wait_for("python chosen", 2);
            }
            State::Draining => {
                let mut conn = Conn::to(address);
                conn.send("GET /wait/1 HTTP/1.1\r\nhost: t\r\n\r\n");
                assert_eq!(Conn::to(address).get("/").status, 200);
                server.signal(Signal::SIGTERM);
                server.wait_for("worker draining", 1);
                long = Some(conn);
            }
        }
        Self { server, address, _long: long }
    }

    fn masters(&self) -> Vec<i32> {
        let is_master =
            |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("hostler"));
        self.server.processes().into_iter().filter(is_master).collect()
    }

    /// The children of masters: molds, workers, successors. Not who lives for a moment between two forks; if that is
    /// stopped, nobody can tell it from a process of the application.
    fn children(&self) -> Vec<i32> {
        let masters = self.masters();
        let parent = |pid: i32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        let all = self.server.processes().into_iter();
        let mut children: Vec<i32> =
            all.filter(|pid| parent(*pid).is_some_and(|parent| masters.contains(&parent))).collect();
        children.sort_unstable();
        children
    }

    /// How many workers there are, ready or not.
    fn hung(&self) -> usize {
        let title = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        self.server.processes().into_iter().filter(|pid| title(*pid).contains("hostler: worker")).count()
    }

    /// Whether somebody answers; false when the server has ended instead.
    fn is_served(&mut self, what: &str) -> bool {
        let limit = Instant::now() + LIMIT;
        loop {
            if self.masters().is_empty() {
                return false;
            }
            if Conn::try_to(self.address).is_ok_and(|mut conn| answers(&mut conn)) {
                return true;
            }
            assert!(Instant::now() < limit, "{what}: nobody answers\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whatever happened, it can be stopped, and nothing is left.
    fn ends(&mut self, what: &str) {
        for _ in 0..2 {
            for pid in self.masters() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            // Two signals at once are one.
            std::thread::sleep(Duration::from_millis(50));
        }
        let limit = Instant::now() + LIMIT;
        while !self.server.processes().is_empty() {
            let left: Vec<_> = self.server.processes().into_iter().map(describe).collect();
            assert!(Instant::now() < limit, "{what}: {left:?} are left\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = self.server.wait_exit_of_master().code();
        // 3: the start failed, for what was killed was part of it.
        assert!(matches!(status, Some(0 | 3)), "{what}: {status:?}\n{}", self.server.log());
    }
}

/// For the message of a test that fails.
fn describe(pid: i32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let lines = status.lines().filter(|line| line.starts_with("State") || line.starts_with("PPid"));
    format!("{pid} {:?} {:?}", lines.collect::<Vec<_>>(), read("cmdline").trim_end_matches('\0'))
}

fn answers(conn: &mut Conn) -> bool {
    conn.try_get("/", false).is_ok_and(|reply| reply.status == 200)
}

fn signals_in(state: State) {
    for signal in SIGNALS {
        let what = format!("{signal} while {state:?}");
        let mut scene = Scene::set(state, &format!("signals-{state:?}"));
        scene.server.signal(signal);
        let stops = matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT);
        let served = !stops
            && signal != Signal::SIGWINCH
            && !matches!(state, State::HungBoot | State::HungReload | State::Draining);
        if served {
            assert!(scene.is_served(&what), "{what}: it ended\n{}", scene.server.log());
        }
        scene.ends(&what);
    }
}

#[test]
fn signals_while_booting() {
    signals_in(State::Booting);
}

#[test]
fn signals_while_a_boot_hangs() {
    signals_in(State::HungBoot);
}

#[test]
fn signals_while_serving() {
    signals_in(State::Serving);
}

#[test]
fn signals_while_reloading() {
    signals_in(State::Reloading);
}

#[test]
fn signals_while_a_reload_hangs() {
    signals_in(State::HungReload);
}

#[test]
fn signals_while_upgrading() {
    signals_in(State::Upgrading);
}

#[test]
fn signals_while_draining() {
    signals_in(State::Draining);
}

/// One signal after the other, or in the same moment.
#[test]
fn pairs_of_signals() {
    use Signal::{SIGHUP, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR2};
    let stops =
        [(SIGTERM, SIGUSR2), (SIGUSR2, SIGTERM), (SIGTERM, SIGHUP), (SIGHUP, SIGTERM), (SIGTERM, SIGTERM)];
    for (first, second) in stops {
        let what = format!("{first}, then {second}");
        let mut scene = Scene::set(State::Serving, "pairs");
        scene.server.signal(first);
        scene.server.signal(second);
        assert_eq!(scene.server.wait_exit().code(), Some(0), "{what}\n{}", scene.server.log());
        scene.ends(&what);
    }
    let others =
        [(SIGHUP, SIGUSR2), (SIGUSR2, SIGHUP), (SIGUSR2, SIGUSR2), (SIGTTIN, SIGHUP), (SIGHUP, SIGTTOU)];
    for (first, second) in others {
        for state in [State::Booting, State::Serving, State::Reloading] {
            let what = format!("{first}, then {second} while {state:?}");
            let mut scene = Scene::set(state, "pairs");
            scene.server.signal(first);
            scene.server.signal(second);
            assert!(scene.is_served(&what), "{what}: it ended\n{}", scene.server.log());
            scene.ends(&what);
        }
    }
}

/// A worker that nobody wants any more is no failure of the start.
#[test]
fn who_is_told_to_leave_before_anything_served_fails_nothing() {
    for signals in [[Signal::SIGTTIN, Signal::SIGTTOU], [Signal::SIGHUP, Signal::SIGHUP]] {
        let mut scene = Scene::set(State::HungBoot, "nofault");
        for signal in signals {
            scene.server.signal(signal);
            let told = if signal == Signal::SIGHUP { "reloading" } else { "number of workers changed" };
            scene.server.wait_for(told, 1);
            if signal != Signal::SIGTTOU {
                // Another one hangs by now: in its import, as a worker of its own.
                let limit = Instant::now() + LIMIT;
                while scene.hung() < 2 {
                    assert!(Instant::now() < limit, "{}", scene.server.log());
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        scene.server.wait_for("worker ended", 1);
        fs::write(state_file("nofault"), "serve").unwrap();
        scene.server.signal(Signal::SIGHUP);
        assert!(scene.is_served("a corrected application"), "{}", scene.server.log());
        scene.ends("after that");
    }
}

const STATES: [State; 7] = [
    State::Booting,
    State::HungBoot,
    State::Serving,
    State::Reloading,
    State::HungReload,
    State::Upgrading,
    State::Draining,
];

/// Does something to each process but the master, newest first, in each state.
fn to_each_process(name: &str, signal: Signal) {
    for state in STATES {
        let processes = {
            let mut scene = Scene::set(state, name);
            let count = scene.children().len();
            scene.ends("as it is");
            count
        };
        for number in 0..processes {
            let what = format!("{signal} to process {number} while {state:?}");
            let mut scene = Scene::set(state, name);
            let all = scene.children();
            let Some(pid) = all.get(number) else { continue };
            let _ = kill(Pid::from_raw(*pid), signal);
            let hangs = matches!(state, State::HungBoot | State::HungReload | State::Draining);
            if signal == Signal::SIGKILL && !hangs {
                scene.is_served(&what);
            }
            scene.ends(&what);
        }
    }
}

#[test]
fn each_process_is_killed_in_each_state() {
    to_each_process("kills", Signal::SIGKILL);
}

#[test]
fn each_process_is_stopped_in_each_state() {
    to_each_process("stops", Signal::SIGSTOP);
}

#[test]
fn the_master_is_killed_in_each_state() {
    for state in STATES {
        let mut scene = Scene::set(state, "masters");
        scene.server.signal(Signal::SIGKILL);
        scene.server.wait_exit_of_master();
        if state == State::Upgrading {
            assert!(scene.is_served("the successor") || scene.masters().is_empty());
            for pid in scene.masters() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let limit = Instant::now() + LIMIT;
        while !scene.server.processes().is_empty() {
            assert!(
                Instant::now() < limit,
                "{state:?}: {:?} are left\n{}",
                scene.server.processes(),
                scene.server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
