//! `hostler.tasks`: programs that enqueue, keepers, workers, and their deaths; the workers and the keeper of a server.

use crate::support::succeeds;
use hostler_testkit::{Builder, Server, directory, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

#[test]
fn tasks_run_whatever_dies() {
    assert!(succeeds(&["use_tasks.py"]).contains("all well"));
}

#[test]
fn odd_values_and_functions_cost_no_worker_and_nothing_runs_twice() {
    assert!(succeeds(&["use_odd_tasks.py"]).contains("all well"));
}

#[test]
fn tests_run_tasks_without_a_queue() {
    assert!(succeeds(&["use_tasks_testing.py"]).contains("all well"));
}

/// A server with tasks, and a directory for its queue and what tasks write.
struct Site {
    dir: PathBuf,
    server: Server,
}

impl Site {
    fn new(name: &str, workers: u16) -> Self {
        let dir = directory(&format!("tasks-{name}"));
        let server = app(&dir, workers).start();
        Self { dir, server }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Enqueues a task; its id.
    fn start(&self, task: &str, argument: &str) -> String {
        self.server.connect().get(&format!("/start/{task}/{argument}")).text()
    }

    fn result(&self, id: &str) -> String {
        self.server.connect().get(&format!("/result/{id}")).text()
    }

    fn status(&self, id: &str) -> String {
        self.server.connect().get(&format!("/status/{id}")).text()
    }

    /// The processes that have said that this task has started.
    fn started(&self, name: &str) -> Vec<String> {
        let said = fs::read_to_string(self.dir.join(format!("{name}.started"))).unwrap_or_default();
        said.lines().map(str::to_owned).collect()
    }

    /// Enqueues a task that runs until it is let go; its id.
    fn start_waiting(&self, name: &str) -> String {
        let id = self.start("wait_for", self.path(name).trim_start_matches('/'));
        wait_until("the task has started", || !self.started(name).is_empty());
        id
    }

    fn let_go(&self, name: &str) {
        fs::write(self.dir.join(format!("{name}.go")), "").unwrap();
    }

    fn processes(&self, title: &str) -> Vec<i32> {
        let children = proc::children(self.server.master());
        children.into_iter().filter(|pid| proc::title(*pid).starts_with(title)).collect()
    }
}

fn app(dir: &std::path::Path, workers: u16) -> Builder {
    let app = Server::app("tasks_app:app").option("task-workers", workers).option("workers", 1);
    app.option("task-queue", dir.join("queue.db").display()).option("graceful-timeout", "2s")
}

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn a_server_runs_tasks_in_workers_of_their_own() {
    let site = Site::new("own", 2);
    let id = site.start("double", "21");
    assert_eq!(site.result(&id), "42");
    let pid = site.result(&site.start("pid", "-"));
    wait_until("both serve", || site.processes("hostler: task worker").len() == 2);
    let workers = site.processes("hostler: task worker");
    assert!(workers.iter().any(|worker| worker.to_string() == pid), "{pid} {workers:?}");
    assert_eq!(site.processes("hostler: worker").len(), 1);
    let Site { mut server, .. } = site;
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit().success());
}

#[test]
fn killed_workers_and_keepers_lose_no_task() {
    let site = Site::new("killed", 1);
    let id = site.start_waiting("killed");
    kill_now(site.started("killed")[0].parse().unwrap());
    wait_until("it runs again", || site.started("killed").len() == 2);
    let keeper = site.processes("hostler: task queue")[0];
    kill_now(keeper);
    wait_until("there is another keeper", || {
        site.processes("hostler: task queue").iter().any(|pid| *pid != keeper)
    });
    assert_eq!(site.status(&id), "running 2");
    site.let_go("killed");
    assert_eq!(site.result(&id), "waited");
    assert_eq!(site.started("killed").len(), 2);
    let mold = site.processes("hostler: mold")[0];
    kill_now(mold);
    assert_eq!(site.result(&site.start("double", "4")), "8");
}

#[test]
fn reloads_and_upgrades_run_no_task_twice() {
    let site = Site::new("replaced", 1);
    let id = site.start_waiting("reload");
    site.server.signal(Signal::SIGHUP);
    site.server.wait_for("reloaded", 1);
    let other = site.start("double", "3");
    assert_eq!(site.result(&other), "6");
    site.let_go("reload");
    assert_eq!((site.result(&id), site.started("reload").len()), ("waited".into(), 1));
    let id = site.start_waiting("upgrade");
    site.server.signal(Signal::SIGUSR2);
    site.server.wait_for("upgraded", 1);
    site.let_go("upgrade");
    assert_eq!((site.result(&id), site.started("upgrade").len()), ("waited".into(), 1));
    assert_eq!(site.result(&site.start("double", "5")), "10");
    kill(Pid::from_raw(site.server.successor()), Signal::SIGTERM).unwrap();
    site.server.wait_empty();
}

#[test]
fn a_task_that_a_stop_cuts_is_run_by_the_next_server() {
    let site = Site::new("stopped", 1);
    let id = site.start_waiting("stopped");
    site.server.signal(Signal::SIGTERM);
    let Site { dir, mut server } = site;
    assert!(server.wait_exit().success(), "{}", server.log());
    let site = Site { server: app(&dir, 1).start(), dir };
    wait_until("it runs again", || site.started("stopped").len() == 2);
    assert_eq!(site.status(&id), "running 1");
    site.let_go("stopped");
    assert_eq!(site.result(&id), "waited");
}

#[test]
fn a_task_that_does_not_end_after_its_timeout_costs_its_worker_only() {
    let site = Site::new("bears", 1);
    let id = site.start("bears_it", "-");
    assert!(site.result(&id).starts_with("TaskTimeout"), "{}", site.result(&id));
    site.server.wait_for("did not end after its timeout: its worker exits", 1);
    assert!(site.server.log().contains("in bears_it"), "{}", site.server.log());
    assert_eq!(site.result(&site.start("double", "6")), "12");
}

/// Also when it takes short tasks ahead.
#[test]
fn a_task_worker_runs_no_more_tasks_than_its_limit() {
    let dir = directory("tasks-limit");
    let site = Site { server: app(&dir, 1).option("task-max-tasks", 30).start(), dir };
    let ids: Vec<String> = (0..100).map(|_| site.start("pid", "-")).collect();
    let mut ran: BTreeMap<String, u32> = BTreeMap::new();
    for id in &ids {
        *ran.entry(site.result(id)).or_default() += 1;
    }
    assert!(ran.values().all(|count| *count <= 30), "{ran:?}: {}", site.server.log());
    site.server.stop();
    // They are replaced when they are done, and not one every few seconds.
    let site = Site {
        server: app(&site.dir, 2).option("task-max-tasks", 1).option("respawn-interval", "1h").start(),
        dir: site.dir.clone(),
    };
    let ids: Vec<String> = (0..10).map(|_| site.start("pid", "-")).collect();
    let ran: BTreeSet<String> = ids.iter().map(|id| site.result(id)).collect();
    assert_eq!(ran.len(), 10);
}
