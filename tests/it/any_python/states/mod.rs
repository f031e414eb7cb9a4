//! Each signal, a kill and a stop of each process, in each state of a server: it serves on or exits, and no process or file is left.
//! Here: how a server is brought into a state, and looked at.

mod deaths;
mod signals;

use hostler_testkit::{Conn, Server, proc, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

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

const STATES: [State; 7] = [
    State::Booting,
    State::HungBoot,
    State::Serving,
    State::Reloading,
    State::HungReload,
    State::Upgrading,
    State::Draining,
];

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
    /// stopped, it cannot be distinguished from a process of the application.
    fn children(&self) -> Vec<i32> {
        let masters = self.masters();
        let is_child = |pid: &i32| proc::parent(*pid).is_some_and(|parent| masters.contains(&parent));
        let mut children: Vec<i32> = self.server.processes().into_iter().filter(is_child).collect();
        children.sort_unstable();
        children
    }

    /// How many workers there are, ready or not.
    fn workers(&self) -> usize {
        let is_worker = |pid: &i32| proc::title(*pid).contains("hostler: worker");
        self.server.processes().into_iter().filter(is_worker).count()
    }

    /// Waits until a request is served, or the server has exited; whether it is served.
    fn is_served(&self, what: &str) -> bool {
        let mut served = false;
        self.server.wait_until(&format!("served after {what}"), || {
            served = Conn::try_to(self.address).is_ok_and(|mut conn| answers(&mut conn));
            served || self.masters().is_empty()
        });
        served
    }

    /// Stops it, and checks that nothing is left.
    fn ends(&mut self, what: &str) {
        for _ in 0..2 {
            for pid in self.masters() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            // Two pending signals are one, and no event shows that a starting server has taken the first.
            std::thread::sleep(Duration::from_millis(50));
        }
        self.server.wait_empty();
        let status = self.server.wait_exit_of_master().code();
        // 3: the start failed, as the killed process was part of it.
        assert!(matches!(status, Some(0 | 3)), "{what}: {status:?}\n{}", self.server.log());
    }
}

fn answers(conn: &mut Conn) -> bool {
    conn.try_get("/", false).is_ok_and(|reply| reply.status == 200)
}
