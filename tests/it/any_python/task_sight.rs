//! What operators see of tasks, and do about them: `hostler ctl tasks`, with a server and without; metrics, the status, the log.

use hostler_testkit::{Builder, Conn, Server, directory, hostler, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
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

    fn keeper(&self) -> Pid {
        let children = proc::children(self.server.master());
        let is_keeper = |pid: &&i32| proc::title(**pid).starts_with("hostler: task queue");
        Pid::from_raw(*children.iter().find(is_keeper).unwrap())
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
    assert_eq!(site.ids("--state done,dead --queue mail"), [&*bad]);
    assert_eq!(site.ids("--state waiting"), [&*waits]);
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
    let keeper = site.keeper();
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

/// A server that is observed, and where.
fn observed(name: &str) -> (Site, SocketAddr) {
    let site = Site::new(name, |server| server.option("admin", "127.0.0.1:0"));
    site.server.wait_for("observer listening", 1);
    let log = site.server.log();
    let address = log.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    (site, address.parse().unwrap())
}

fn look(address: SocketAddr, path: &str) -> String {
    let reply = Conn::to(address).request("GET", path, "connection: close\r\n", b"");
    assert_eq!(reply.status, 200, "{path}");
    reply.text()
}

/// The value of a metric with these labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn status(address: SocketAddr) -> Value {
    serde_json::from_str(&look(address, "/status.json")).unwrap()
}

#[test]
fn metrics_and_status_have_queues_tasks_and_task_workers() {
    let (site, address) = observed("metrics");
    let good = site.start("double", "21");
    assert_eq!(site.get(&format!("/result/{good}")), "42");
    let bad = site.start("fails", &site.path("it"));
    assert!(site.get(&format!("/result/{bad}")).contains("ValueError"));
    site.start("works", &site.path("end"));
    let waits = site.start("double", "1");
    site.get("/later/double/2");
    let is_running =
        || metric(&look(address, "/metrics"), "hostler_task_worker_tasks{worker=\"1\"}") == Some(1.0);
    wait_until("it runs", is_running);

    let text = look(address, "/metrics");
    let double = "{queue=\"default\",task=\"sight_app.double\"}";
    let fails = "{queue=\"mail\",task=\"sight_app.fails\"}";
    for (name, value) in [
        ("hostler_task_queue_up".into(), 1.0),
        ("hostler_task_queue_tasks{queue=\"default\",state=\"ready\"}".into(), 1.0),
        ("hostler_task_queue_tasks{queue=\"default\",state=\"scheduled\"}".into(), 1.0),
        ("hostler_task_queue_tasks{queue=\"mail\",state=\"failed\"}".into(), 1.0),
        (format!("hostler_tasks_enqueued_total{double}"), 3.0),
        (format!("hostler_tasks_succeeded_total{double}"), 1.0),
        (format!("hostler_tasks_failed_total{fails}"), 1.0),
        (format!("hostler_tasks_retried_total{fails}"), 0.0),
        ("hostler_task_wait_seconds_count{queue=\"default\"}".into(), 2.0),
        (format!("hostler_task_run_seconds_count{double}"), 1.0),
        ("hostler_task_workers_connected".into(), 1.0),
    ] {
        assert_eq!(metric(&text, &name), Some(value), "{name}\n{text}");
    }
    for name in ["hostler_task_keeper_turn_seconds_count", "hostler_task_keeper_sync_seconds_count"] {
        assert!(metric(&text, name) > Some(3.0), "{name}\n{text}");
    }
    let oldest =
        || metric(&look(address, "/metrics"), "hostler_task_queue_oldest_wait_seconds{queue=\"default\"}");
    wait_until("the oldest waits", || oldest() > Some(0.05));
    assert!(metric(&text, "hostler_task_worker_memory_bytes{worker=\"1\"}") > Some(1e6), "{text}");

    let now = status(address);
    assert_eq!(now["tasks"]["answers"], true, "{now}");
    let queue = &now["tasks"]["queues"][0];
    assert_eq!((&queue["queue"], &queue["tasks"]["ready"]), (&"default".into(), &1.into()), "{now}");
    let worker = &now["task_workers"][0];
    assert_eq!((&worker["slot"], &worker["state"]), (&1.into(), &"serving".into()), "{now}");
    assert_eq!(worker["handling"][0]["path"], "sight_app.works", "{now}");
    assert_eq!(worker["handling"][0]["kind"], "task", "{now}");
    assert_eq!(now["server"]["task_queue"], site.dir.join("queue.db").to_str().unwrap());
    let ctl = |line: &str| {
        let socket = site.dir.join("control.sock");
        let output =
            Command::new(hostler()).arg("ctl").arg(line).arg("--socket").arg(socket).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = ctl("workers");
    assert!(text.contains(" t1 ") && text.contains("sight_app.works"), "{text}");
    let text = ctl("status");
    assert!(text.contains("1 task workers serve, 1 tasks run"), "{text}");
    let text = ctl("stacks");
    assert!(text.contains("Task worker 1") && text.contains("in works"), "{text}");
    std::fs::write(site.dir.join("end"), "").unwrap();
    assert_eq!(site.get(&format!("/result/{waits}")), "2");
}

#[test]
fn a_keeper_that_is_stopped_holds_no_scrape_up_and_one_that_is_killed_is_found_again() {
    let (site, address) = observed("scrapes");
    let id = site.start("double", "21");
    assert_eq!(site.get(&format!("/result/{id}")), "42");
    let up = || metric(&look(address, "/metrics"), "hostler_task_queue_up");
    assert_eq!(up(), Some(1.0));
    let keeper = site.keeper();
    kill(keeper, Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    assert_eq!(up(), Some(0.0));
    // The next ones do not wait at all.
    (0..20).for_each(|_| assert_eq!(up(), Some(0.0)));
    let took = began.elapsed();
    let text = look(address, "/metrics");
    assert!(!text.contains("hostler_tasks_enqueued_total{"), "old numbers: {text}");
    assert_eq!(status(address)["tasks"]["answers"], false);
    kill(keeper, Signal::SIGCONT).unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
    wait_until("it is asked again", || up() == Some(1.0));
    kill(keeper, Signal::SIGKILL).unwrap();
    site.server.wait_for("the keeper of the task queue exited", 1);
    let enqueued = "hostler_tasks_enqueued_total{queue=\"default\",task=\"sight_app.double\"}";
    wait_until("the next keeper counts on", || metric(&look(address, "/metrics"), enqueued) == Some(1.0));
}

/// A task that blocks the loop is told of in the log, with its stack, and the worker is replaced at last.
#[test]
fn a_task_that_blocks_its_worker_is_in_the_log() {
    let site = Site::new("stalls", |server| server.option("stall-timeout", 2).option("slow-callback", 300));
    site.start("blocks", "60");
    site.server.wait_for("event loop blocked", 1);
    site.server.wait_for("worker is stuck: it is replaced and terminated", 1);
    let log = site.server.log();
    let stuck = log.lines().find(|line| line.contains("worker is stuck")).unwrap();
    assert!(stuck.contains("task_worker=1") && stuck.contains("sight_app.blocks"), "{log}");
    assert!(log.contains("in blocks"), "{log}");
    // What the worker writes itself, and what is written of its tasks.
    for text in [
        "event loop blocked",
        "request in an event loop that is blocked",
        "request in a worker that is stuck",
    ] {
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        assert!(line.contains(" task_worker=1 ") && !line.contains(" worker="), "{line}");
    }
}

#[test]
fn a_file_that_can_be_no_queue_fails_the_start() {
    let dir = directory("sight-no-queue");
    let text = dir.join("text.db");
    std::fs::write(&text, "no database ".repeat(1000)).unwrap();
    for (file, words) in
        [(&text, "the file is damaged"), (&dir.join("none").join("queue.db"), "No such file")]
    {
        for check in [false, true] {
            let mut command = Command::new(hostler());
            let options = ["--task-workers", "1", "--port", "0", "--task-queue"];
            command.args(check.then_some("check")).arg("sight_app:app").args(options).arg(file);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!output.status.success() && said.contains("cannot open the task queue"), "{said}");
            assert!(said.contains(words), "{said}");
        }
    }
}

/// A task worker is called `t1`; a number alone is a worker for requests.
#[test]
fn one_task_worker_is_replaced_and_told_of_by_its_name() {
    let site = Site::new("restart", |server| server.option("task-workers", 2).option("workers", 1));
    let ctl = |line: &str| {
        let mut command = Command::new(hostler());
        let command = command.arg("ctl").args(line.split_ascii_whitespace());
        let output = command.arg("--socket").arg(site.dir.join("control.sock")).output().unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let process = |name: &str| {
        let (_, text) = ctl("workers");
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    wait_until("both serve", || ctl("status").1.contains("2 task workers serve"));
    let before = ["t1 ", "t2 ", "1 "].map(process);
    assert_eq!(ctl("restart t2"), (Some(0), "task worker 2 was replaced\n".into()));
    let after = ["t1 ", "1 "].map(process);
    assert_eq!([&before[0], &before[2]], [&after[0], &after[1]]);
    wait_until("the old one is gone", || process("t2 ") != before[1]);
    assert_eq!(ctl("drain t1"), (Some(0), "task worker 1 was replaced, and its process has ended\n".into()));
    assert_ne!(process("t1 "), before[0]);
    let (code, text) = ctl("stacks t1");
    assert!(code == Some(0) && text.contains("Task worker 1 ") && !text.contains("worker 2 "), "{text}");
    assert!(!text.contains("\nWorker 1"), "{text}");
    let (code, text) = ctl("restart t3");
    assert!(
        code == Some(2) && text.contains("there is no task worker 3") && text.contains("2 task workers"),
        "{text}"
    );
    let id = site.start("double", "21");
    assert_eq!(site.get(&format!("/result/{id}")), "42");
}

/// As `logrotate` does it.
#[test]
fn keeper_and_observer_write_to_the_log_that_was_reopened() {
    let dir = directory("tasks-reopen");
    let (log, old) = (dir.join("server.log"), dir.join("server.log.1"));
    let server = Server::app("tasks_app:app").option("task-workers", 1).option("workers", 1);
    let server = server.option("task-queue", dir.join("queue.db").display()).option("admin", "127.0.0.1:0");
    let server =
        server.option("log-file", log.display()).option("control-socket", dir.join("control.sock").display());
    let server = server.launch();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    wait_until("the observer listens", || read(&log).contains("observer listening"));
    let said = read(&log);
    let address = said.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    wait_until("it answers", || look(address, "/metrics").contains("hostler_task_queue_up 1.0"));
    std::fs::rename(&log, &old).unwrap();
    server.signal(Signal::SIGUSR1);
    wait_until("the log is another file", || read(&log).contains("log file reopened"));
    // The keeper refuses what is no message of its own, and the observer says that a keeper that stands still does not answer.
    let socket = dir.join("queue.db.sock");
    std::io::Write::write_all(&mut std::os::unix::net::UnixStream::connect(socket).unwrap(), &[0xff; 64])
        .unwrap();
    wait_until("the keeper has told it", || read(&log).contains("a connection to the task queue was closed"));
    let children = proc::children(server.master());
    let keeper =
        children.into_iter().find(|pid| proc::title(*pid).starts_with("hostler: task queue")).unwrap();
    kill(Pid::from_raw(keeper), Signal::SIGSTOP).unwrap();
    look(address, "/metrics");
    kill(Pid::from_raw(keeper), Signal::SIGCONT).unwrap();
    wait_until("the observer has told it", || {
        read(&log).contains("the keeper of the task queue does not answer")
    });
    assert!(!read(&old).contains("does not answer") && !read(&old).contains("was closed"), "{}", read(&old));
}
