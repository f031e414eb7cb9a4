//! Numbers of workers that follow what there is to do.

use hostler_testkit::{Builder, Load, Server, directory, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{collections::BTreeSet, fs, path::PathBuf, thread};

/// A server with tasks, and a directory for its queue and what tasks write.
struct Site {
    dir: PathBuf,
    server: Server,
}

impl Site {
    fn new(name: &str, workers: &str) -> Self {
        let dir = directory(&format!("scaling-{name}"));
        let server = app(&dir, workers).start();
        Self { dir, server }
    }

    fn get(&self, path: &str) -> String {
        self.server.connect().get(path).text()
    }

    /// Enqueues a task that runs until its name is let go; its id.
    fn start(&self, name: &str) -> String {
        let path = self.dir.join(name);
        self.get(&format!("/start/wait_for/{}", path.to_str().unwrap().trim_start_matches('/')))
    }

    fn let_go(&self, name: &str) {
        fs::write(self.dir.join(format!("{name}.go")), "").unwrap();
    }

    /// The processes that have started tasks of this name.
    fn started(&self, name: &str) -> Vec<i32> {
        let said = fs::read_to_string(self.dir.join(format!("{name}.started"))).unwrap_or_default();
        said.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    fn workers(&self) -> Vec<i32> {
        processes(&self.server, "hostler: task worker")
    }

    fn changes(&self) -> Vec<String> {
        changes(&self.server, "number of task workers changed")
    }
}

fn app(dir: &std::path::Path, workers: &str) -> Builder {
    let app = Server::app("tasks_app:app").option("task-workers", workers).option("workers", 1);
    app.option("task-queue", dir.join("queue.db").display()).option("scale-down-after", 1)
}

/// The server's processes of this kind, by their titles.
fn processes(server: &Server, kind: &str) -> Vec<i32> {
    let children = proc::children(server.master());
    children.into_iter().filter(|pid| proc::title(*pid).starts_with(kind)).collect()
}

/// What the log says of changed numbers.
fn changes(server: &Server, message: &str) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter_map(|line| line.split_once(message));
    lines.map(|(_, fields)| fields.trim().to_owned()).collect()
}

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn a_burst_brings_task_workers_and_idle_ones_go() {
    let site = Site::new("burst", "1:8");
    wait_until("the first serves", || site.workers().len() == 1);
    let ids: Vec<String> = (0..24).map(|_| site.start("burst")).collect();
    wait_until("eight work", || site.started("burst").iter().collect::<BTreeSet<_>>().len() == 8);
    assert_eq!(site.workers().len(), 8);
    let up = site.changes();
    assert!(up[0].starts_with("from=1 to=4 reason=\"the oldest task has waited "), "{up:?}");
    site.let_go("burst");
    for id in &ids {
        assert_eq!(site.get(&format!("/result/{id}")), "waited");
    }
    let held = site.start("held");
    wait_until("one works on", || !site.started("held").is_empty());
    wait_until("others have gone", || site.workers().len() == 2);
    assert!(site.workers().contains(&site.started("held")[0]), "the worker with a task stays");
    site.let_go("held");
    assert_eq!(site.get(&format!("/result/{held}")), "waited");
    assert_eq!((site.started("burst").len(), site.started("held").len()), (24, 1), "each ran once");
    wait_until("the least serves", || site.workers().len() == 1);
    let down = site.changes();
    assert!(down.last().unwrap().contains("from=2 to=1 reason=\"no"), "{down:?}");
    let log = site.server.log();
    assert!(!log.contains("INFO worker exited"), "{log}");
    site.server.stop();
}

#[test]
fn without_task_workers_the_first_task_brings_one() {
    let site = Site::new("none", "0:2");
    for round in 1..=2 {
        assert!(site.workers().is_empty());
        let id = site.get("/start/double/4");
        assert_eq!(site.get(&format!("/result/{id}")), "8");
        site.server.wait_for("number of task workers changed from=0 to=1", round);
        site.server.wait_for("number of task workers changed from=1 to=0", round);
        wait_until("it has gone", || site.workers().is_empty());
    }
    // One that no worker knows does not bring workers again and again.
    let before = site.changes().len();
    let names = ["a", "b", "c"].map(|name| site.start(name));
    wait_until("two work", || site.workers().len() == 2);
    for name in ["a", "b", "c"] {
        site.let_go(name);
    }
    for id in names {
        assert_eq!(site.get(&format!("/result/{id}")), "waited");
    }
    assert!(site.changes().len() > before);
    site.server.stop();
}

#[test]
fn killed_workers_and_keepers_and_a_reload_change_no_number() {
    let site = Site::new("killed", "1:4");
    let ids: Vec<String> = (0..4).map(|_| site.start("held")).collect();
    wait_until("four work", || site.started("held").len() == 4);
    site.started("held").into_iter().take(3).for_each(kill_now);
    wait_until("all work again", || site.started("held").len() == 7);
    assert_eq!(site.workers().len(), 4);
    let children = proc::children(site.server.master());
    let keeper = children.into_iter().find(|pid| proc::title(*pid).starts_with("hostler: task queue"));
    kill_now(keeper.unwrap());
    site.server.wait_for("the keeper of the task queue exited", 1);
    site.server.signal(Signal::SIGHUP);
    site.server.wait_for(" reloaded ", 1);
    site.let_go("held");
    for id in &ids {
        assert_eq!(site.get(&format!("/result/{id}")), "waited");
    }
    let fourth = "generation=1";
    wait_until("four of the new generation serve", || {
        let log = site.server.log();
        log.lines().filter(|line| line.contains("worker ready task_worker=") && line.contains(fourth)).count()
            >= 4
    });
    site.server.wait_for("number of task workers changed from=2 to=1", 1);
    wait_until("one is left", || site.workers().len() == 1);
    site.server.stop();
}

/// Requests that block, one after another, from so many clients until they are told to end.
fn block(server: &Server, clients: usize, until: &str) {
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
                while !server.log().contains(until) {
                    assert!(std::time::Instant::now() < end, "{}", server.log());
                    assert_eq!(server.connect().get("/block?0.2").status, 200);
                }
            });
        }
    });
}

fn log_says_why(change: &str) -> bool {
    change.contains("were busy for") || change.contains(" waited ")
}

#[test]
fn web_workers_follow_requests_that_block() {
    let server = Server::app("asgi_app:app").option("workers", "1:3").option("scale-down-after", 1).start();
    block(&server, 6, "number of workers changed from=2 to=3");
    let up = changes(&server, "number of workers changed");
    assert!(up[0].starts_with("from=1 to=2 reason=") && log_says_why(&up[0]), "{up:?}");
    server.wait_for("number of workers changed from=2 to=1", 1);
    server.wait_for("worker exited", 2);
    let down = changes(&server, "number of workers changed");
    assert!(down.last().unwrap().contains("reason=\"n"), "{down:?}");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn no_request_is_lost_while_web_workers_come_and_go_and_killed_ones_come_back() {
    let app = Server::app("asgi_app:app").option("workers", "1:3").option("scale-down-after", 1);
    let server = app.arg("--preload").start();
    let address = server.address.unwrap();
    let web_workers = || processes(&server, "hostler: worker ");
    let busy = Load::start(address, "/block?0.2", 6);
    server.wait_for("number of workers changed from=2 to=3", 1);
    wait_until("three serve", || web_workers().len() == 3);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1 workers=3", 1);
    assert_eq!(busy.end().failures, [] as [String; 0]);
    // The clients of the last ones go over to the one that stays.
    let light = Load::start(address, "/slow?0.05", 4);
    server.wait_for("number of workers changed from=2 to=1", 1);
    wait_until("one serves", || web_workers().len() == 1);
    assert_eq!(light.end().failures, [] as [String; 0]);

    let busy = Load::start(address, "/block?0.2", 6);
    server.wait_for("number of workers changed from=2 to=3", 2);
    wait_until("three serve", || web_workers().len() == 3);
    let killed = web_workers()[0];
    kill_now(killed);
    wait_until("another serves instead", || {
        let workers = web_workers();
        workers.len() == 3 && !workers.contains(&killed)
    });
    let failures = busy.end().failures;
    assert!(failures.len() <= 6, "those of one process at most: {failures:?}");
    server.stop();
}

#[test]
fn kept_connections_go_to_the_workers_that_load_brings() {
    let server = Server::app("asgi_app:app").option("workers", "1:3").option("scale-down-after", 60).start();
    let third = "number of workers changed from=2 to=3";
    let mut pids = BTreeSet::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
                    while !server.log().contains(third) {
                        assert!(std::time::Instant::now() < end, "one is full: {}", server.log());
                        assert_eq!(client.get("/block?0.1").status, 200);
                    }
                    client.get("/pid").text()
                })
            })
            .collect();
        pids.extend(clients.into_iter().map(|client| client.join().unwrap()));
    });
    assert!(pids.len() > 1, "{pids:?}: {}", server.log());
    server.stop();
}

#[test]
fn an_upgrade_begins_with_as_many_workers_as_the_load_has_brought() {
    let app = Server::app("asgi_app:app").option("workers", "1:3").option("scale-down-after", 60);
    let mut server = app.start();
    let busy = Load::start(server.address.unwrap(), "/block?0.2", 6);
    server.wait_for("number of workers changed from=2 to=3", 1);
    wait_until("three serve", || processes(&server, "hostler: worker ").len() == 3);
    server.signal(Signal::SIGUSR2);
    server.wait_exit_of_master();
    assert_eq!(busy.end().failures, [] as [String; 0]);
    let log = server.log();
    let serving: Vec<&str> = log.lines().filter(|line| line.contains(" serving url=")).collect();
    assert!(serving[0].contains(" workers=1 ") && serving[1].contains(" workers=3 "), "{serving:?}");
    kill(Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
}

#[test]
fn users_move_the_least_number() {
    let server = Server::app("asgi_app:app").option("workers", "1:2").option("scale-down-after", 1).start();
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 2);
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1 workers=3", 1);
    server.signal(Signal::SIGTTOU);
    server.wait_for("signal=\"SIGTTOU\" from=3 to=2", 1);
    server.wait_for("worker exited", 4);
    assert!(!server.log().contains("reason=\"none had"), "two are the least now: {}", server.log());
    server.stop();
}
