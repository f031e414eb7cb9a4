//! What operators see of tasks, and do about them: `hostler ctl tasks`, with a server and without.

use hostler_testkit::{Builder, Server, directory, hostler, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A server with tasks, and where its files are.
struct Site {
    dir: PathBuf,
    server: Server,
}

impl Site {
    fn new(name: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let dir = directory(&format!("sight-{name}"));
        let server = Server::app("sight_app:app").option("task-workers", 1).option("workers", 1);
        let server = server.option("task-queue", dir.join("queue.db").display());
        let server = server.option("control-socket", dir.join("control.sock").display());
        Self { server: change(server).option("graceful-timeout", "2s").start(), dir }
    }

    fn get(&self, path: &str) -> String {
        self.server.connect().get(path).text()
    }

    /// Enqueues a task; its id.
    fn start(&self, task: &str, argument: &str) -> String {
        self.get(&format!("/start/{task}/{argument}"))
    }

    /// A path of this test that a task is told, without the first slash.
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().trim_start_matches('/').to_owned()
    }

    fn tasks(&self, line: &str) -> (Option<i32>, String) {
        tasks(&format!("{line} --socket {}", self.dir.join("control.sock").display()))
    }

    fn done(&self, line: &str) -> String {
        let (code, text) = self.tasks(line);
        assert_eq!(code, Some(0), "{line}: {text}\n{}", self.server.log());
        text
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} --json"))).unwrap()
    }

    fn ids(&self, line: &str) -> Vec<String> {
        let listed = self.json(&format!("list {line}"));
        let ids = listed["tasks"].as_array().unwrap().iter();
        ids.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_for_state(&self, id: &str, state: &str) {
        wait_until(state, || self.json(&format!("show {id}"))["state"] == state);
    }
}

/// Runs `hostler ctl tasks …`; its exit code and what it printed.
fn tasks(line: &str) -> (Option<i32>, String) {
    let mut command = Command::new(hostler());
    command.args(["ctl", "tasks"]).args(line.split_ascii_whitespace()).stdin(Stdio::null());
    command.env_remove("HOSTLER_TASK_QUEUE").env_remove("HOSTLER_CONTROL_SOCKET");
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn tasks_are_listed_shown_tried_again_cancelled_and_purged() {
    let site = Site::new("ctl", |server| server);
    let good = site.start("double", "21");
    assert_eq!(site.get(&format!("/result/{good}")), "42");
    let bad = site.start("fails", &site.path("it"));
    assert!(site.get(&format!("/result/{bad}")).contains("ValueError"));
    let runs = site.start("works", &site.path("end"));
    wait_until("its progress", || site.done(&format!("show {runs}")).contains("25 % a quarter"));
    let waits = site.start("double", "1");
    let later = site.get("/later/double/2");

    assert_eq!(site.ids(""), [&later, &waits, &runs, &bad, &good].map(String::clone));
    assert_eq!(site.ids("--oldest --limit 2"), [&good, &bad].map(String::clone));
    assert_eq!(site.ids("--state done,dead --queue mail"), [bad.clone()]);
    assert_eq!(site.ids("--state waiting"), [waits.clone()]);
    let text = site.done("list --state failed --state running --limit 1");
    assert!(text.contains(" in process ") && text.contains("there are more: --limit"), "{text}");
    let text = site.done("list --name sight_app.fails");
    assert!(text.contains("ValueError: there is no "), "{text}");

    let shown = site.json(&format!("show {runs}"));
    assert_eq!((&shown["state"], &shown["attempts"]), (&"running".into(), &1.into()));
    let workers = site.server.workers();
    assert!(shown["pid"].as_i64().is_some_and(|pid| pid > 0) && !workers.is_empty(), "{shown}");
    let text = site.done(&format!("show {bad}"));
    assert!(text.contains("in fails") && text.contains("attempts     1 of 1"), "{text}");
    assert!(text.contains(&format!("arguments    [[\"{}\"],{{}}]", site.path("it"))), "{text}");
    assert_eq!(site.json(&format!("show {good}"))["result"], 42);

    std::fs::write(site.dir.join("it"), "").unwrap();
    assert_eq!(site.done("retry --queue mail"), "1 task was put back into the queue\n");
    assert_eq!(site.done(&format!("cancel {waits} {later}")).lines().count(), 2);
    assert!(site.get(&format!("/result/{waits}")).contains("TaskCancelled"));
    assert!(site.done(&format!("cancel {runs}")).contains("its worker is told"));
    site.wait_for_state(&runs, "cancelled");
    site.wait_for_state(&bad, "succeeded");

    let (code, text) = site.tasks("purge --all-queues --state done");
    assert!(code == Some(2) && text.contains("2 tasks are in these states: succeeded"), "{text}");
    assert_eq!(site.done("purge --queue mail --state done --yes"), "1 task was cancelled or removed\n");
    let (code, text) = site.tasks(&format!("show {bad}"));
    assert!(code == Some(1) && text.contains("there is no task"), "{text}");
    let text = site.done("queues");
    assert!(text.contains("default") && text.contains("1 task workers are connected"), "{text}");
    let queues = site.json("queues");
    let of = |name: &str| {
        queues["tasks"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of("sight_app.fails")["events"]["failed"], 1, "{queues}");
    assert_eq!(of("sight_app.fails")["events"]["started"], 2, "{queues}");
}

#[test]
fn a_queue_without_a_server_is_looked_at_by_its_file() {
    let site = Site::new("file", |server| server);
    let later = site.get("/later/double/2");
    let Site { dir, mut server } = site;
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit().success(), "{}", server.log());
    let file = dir.join("queue.db");
    let (code, text) = tasks(&format!("list --task-queue {}", file.display()));
    assert!(code == Some(0) && text.contains(&later) && text.contains("due in "), "{text}");
    let (code, text) = tasks(&format!("purge --task-queue {} --all-queues --yes", file.display()));
    assert_eq!((code, text.as_str()), (Some(0), "1 task was cancelled or removed\n"));
    // The keeper that was started for it ends, and leaves no socket.
    wait_until("the keeper has ended", || !exists(&dir.join("queue.db.sock")));
    let (code, text) = tasks(&format!("list --task-queue {}", dir.join("none.db").display()));
    assert!(code == Some(1) && text.contains("there is no task queue"), "{text}");
    assert!(!exists(&dir.join("none.db")), "a file was made by looking for it");
    std::fs::write(dir.join("text.db"), "no database ".repeat(1000)).unwrap();
    let (code, text) = tasks(&format!("list --task-queue {}", dir.join("text.db").display()));
    assert!(code == Some(1) && text.contains("damaged"), "{text}");
}

#[test]
fn a_keeper_that_does_not_answer_is_told_of() {
    let site = Site::new("stopped", |server| server);
    let children = hostler_testkit::proc::children(site.server.master());
    let title = |pid: &&i32| hostler_testkit::proc::title(**pid).starts_with("hostler: task queue");
    let keeper = Pid::from_raw(*children.iter().find(title).unwrap());
    kill(keeper, Signal::SIGSTOP).unwrap();
    let (code, text) = site.tasks("queues --timeout 0.3");
    kill(keeper, Signal::SIGCONT).unwrap();
    assert!(code == Some(7) && text.contains("does not answer"), "{text}");
    assert!(site.done("queues").contains("0 task workers") || site.done("queues").contains("1 task workers"));
    let plain = Server::app("sight_app:app").option("control-socket", site.dir.join("plain.sock").display());
    let plain = plain.option("workers", 1).start();
    let (code, text) = tasks(&format!("queues --socket {}", site.dir.join("plain.sock").display()));
    assert!(code == Some(1) && text.contains("keeps no task queue"), "{text}");
    drop(plain);
}
