//! Limits of tasks and of the workers that run them.

use hostler_testkit::{Server, directory, proc, wait_until};
use std::{fs, path::PathBuf, thread, time::Duration};

struct Site {
    dir: PathBuf,
    server: Server,
}

impl Site {
    /// A server with these options beside those of tasks.
    fn new(name: &str, workers: u16, options: &[(&str, &str)]) -> Self {
        let dir = directory(&format!("task-limits-{name}"));
        let app = Server::app("tasks_app:app").option("task-workers", workers).option("workers", 1);
        let app = app.option("task-queue", dir.join("queue.db").display());
        let server = options.iter().fold(app, |app, (option, value)| app.option(option, value)).start();
        Self { dir, server }
    }

    fn get(&self, path: &str) -> String {
        self.server.connect().get(path).text()
    }

    fn start(&self, task: &str, argument: &str) -> String {
        self.get(&format!("/start/{task}/{argument}"))
    }

    /// Enqueues a task that runs until its name is let go, and waits until it runs; its id.
    fn start_waiting(&self, task: &str, name: &str) -> String {
        let path = self.dir.join(name);
        let id = self.start(task, path.to_str().unwrap().trim_start_matches('/'));
        wait_until("the task has started", || self.starts(name) == 1);
        id
    }

    fn starts(&self, name: &str) -> usize {
        let said = fs::read_to_string(self.dir.join(format!("{name}.started"))).unwrap_or_default();
        said.lines().count()
    }

    fn let_go(&self, name: &str) {
        fs::write(self.dir.join(format!("{name}.go")), "").unwrap();
    }

    fn result(&self, id: &str) -> String {
        self.get(&format!("/result/{id}"))
    }

    fn processes(&self, title: &str) -> Vec<i32> {
        let children = proc::children(self.server.master());
        children.into_iter().filter(|pid| proc::title(*pid).starts_with(title)).collect()
    }
}

#[test]
fn a_task_worker_with_too_much_memory_finishes_its_task_first() {
    let options = [("task-max-rss", "150"), ("rss-sample-interval", "1"), ("graceful-timeout", "1")];
    let site = Site::new("memory", 1, &options);
    let id = site.start_waiting("hold_memory", "held");
    let worker = site.processes("hostler: task worker");
    site.server.wait_for("worker exceeds its memory limit", 1);
    // Longer than the grace that a worker has that is told to drain.
    thread::sleep(Duration::from_secs(3));
    let next = site.start("pid", "-");
    assert_eq!(site.processes("hostler: task worker"), worker);
    site.let_go("held");
    assert_eq!((site.result(&id), site.starts("held")), ("waited".into(), 1));
    assert_ne!(site.result(&next), worker[0].to_string(), "it takes nothing new");
    site.server.wait_for("reason=\"max-rss\"", 1);
    assert_eq!(site.server.log().matches("worker exceeds its memory limit").count(), 1);
    site.server.stop();
}

#[test]
fn tasks_without_a_timeout_have_that_of_the_server() {
    let site = Site::new("timeout", 1, &[("task-timeout", "1")]);
    let id = site.start_waiting("wait_for", "late");
    assert!(site.result(&id).starts_with("TaskTimeout"), "{}", site.result(&id));
    site.server.wait_for("task tasks_app.wait_for failed", 1);
    assert!(site.server.log().contains("in wait_for"), "{}", site.server.log());
    assert_eq!(site.result(&site.start("double", "6")), "12");
    site.server.stop();
}

#[test]
fn a_task_that_lets_nothing_else_run_costs_its_worker_and_has_timed_out() {
    let site = Site::new("gil", 2, &[("graceful-timeout", "2")]);
    let id = site.start("keep_gil", "-");
    wait_until("it runs", || site.get(&format!("/status/{id}")).starts_with("running"));
    for number in 0..5 {
        let other = site.start("double", &number.to_string());
        assert_eq!(site.result(&other), (2 * number).to_string(), "the other worker goes on");
    }
    let result = site.result(&id);
    assert_eq!(result, "TaskTimeout: the task did not end: its worker was killed");
    site.server.wait_for("a task did not end after its timeout and lets nothing else run", 1);
    assert!(site.server.log().contains("in keep_gil"), "{}", site.server.log());
    wait_until("there are two again", || site.processes("hostler: task worker").len() == 2);
    assert!(site.get(&format!("/status/{id}")).ends_with(" 1"), "it is not tried again");
    site.server.stop();
}

#[test]
fn a_task_worker_whose_loop_is_blocked_is_reported_and_replaced() {
    let site = Site::new("stall", 1, &[("stall-timeout", "1"), ("graceful-timeout", "2")]);
    let id = site.start_waiting("block_loop", "blocked");
    site.server.wait_for("worker is stuck: it is replaced and terminated", 1);
    assert!(site.server.log().contains("in block_loop"), "{}", site.server.log());
    wait_until("it runs again", || site.starts("blocked") == 2);
    site.let_go("blocked");
    assert_eq!(site.result(&id), "waited");
    site.server.stop();
}

/// The nice value of a process (proc(5), field 19 of `stat`).
fn nice(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().nth(16).unwrap_or_default().to_owned()
}

#[test]
fn task_workers_have_a_lower_priority_than_the_server() {
    for (options, expected) in [(&[][..], 5), (&[("task-nice", "0")], 0), (&[("task-nice", "19")], 19)] {
        let site = Site::new(&format!("nice-{expected}"), 1, options);
        let pid: i32 = site.result(&site.start("pid", "-")).parse().unwrap();
        let own: i32 = nice(std::process::id().cast_signed()).parse().unwrap();
        assert_eq!(nice(pid), (own + expected).min(19).to_string());
        assert_eq!(nice(site.processes("hostler: worker")[0]), own.to_string());
        site.server.stop();
    }
}
