//! Metrics of the task queue and of task workers.

use super::{
    collect::{Kind, Labels, Metrics, whole},
    format::Number,
};
use crate::respond::Observer;
use hostler_status::{Seen, Worker};
use hostler_wire::{TaskStats, Times};

/// States that are always there, so that what is rare has a zero to rise from.
const STATES: [&str; 6] = ["ready", "scheduled", "unknown", "running", "succeeded", "failed"];

/// Events of tasks, and what they mean.
const EVENTS: [(&str, &str); 8] = [
    ("enqueued", "Tasks that were accepted."),
    ("started", "Attempts that were started."),
    ("succeeded", "Tasks that have a result."),
    ("failed", "Tasks that have failed for good: dead letters."),
    ("retried", "Attempts that failed, and after which the task is tried again."),
    ("lost", "Attempts that ended with their worker."),
    ("cancelled", "Tasks that were cancelled."),
    ("expired", "Tasks that were not started in time."),
];

pub(super) fn write(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen) {
    let Some(tasks) = &observer.tasks else { return };
    let stats = tasks.last();
    let up = u8::from(stats.is_some()).into();
    metrics.gauge("hostler_task_queue_up", "1 if the keeper of the task queue answers.", up);
    if let Some(stats) = stats {
        queues(metrics, &stats);
        events(metrics, &stats);
        keeper(metrics, &stats);
    }
    workers(metrics, observer, seen);
}

fn queues(metrics: &mut Metrics<'_>, stats: &TaskStats) {
    metrics.metric(Kind::Gauge, "hostler_task_queue_tasks", "Tasks in the queue, by state.");
    for (queue, it) in &stats.queues {
        for state in STATES {
            let count = it.tasks.get(state).copied().unwrap_or(0);
            metrics.sample("", &[("queue", queue), ("state", state)], whole(count));
        }
    }
    let help = "For how long the task has waited that has waited longest, of those that could start; 0 if none could.";
    metrics.metric(Kind::Gauge, "hostler_task_queue_oldest_wait_seconds", help);
    for (queue, it) in &stats.queues {
        metrics.sample("", &[("queue", queue)], it.oldest_wait.unwrap_or(0.0));
    }
    let help = "How long tasks waited from when they were due until they were started.";
    metrics.metric(Kind::Histogram, "hostler_task_wait_seconds", help);
    for (queue, it) in stats.queues.iter().filter(|(_, it)| !it.waits.buckets.is_empty()) {
        histogram(metrics, &it.waits, &[("queue", queue)]);
    }
}

fn events(metrics: &mut Metrics<'_>, stats: &TaskStats) {
    for (event, help) in EVENTS {
        metrics.metric(Kind::Counter, &format!("hostler_tasks_{event}"), help);
        for it in &stats.tasks {
            let count = it.events.get(event).copied().unwrap_or(0);
            metrics.sample("_total", &[("queue", &it.queue), ("task", &it.name)], whole(count));
        }
    }
    let help = "How long attempts ran, whatever their end.";
    metrics.metric(Kind::Histogram, "hostler_task_run_seconds", help);
    for it in stats.tasks.iter().filter(|it| it.runs.count > 0) {
        histogram(metrics, &it.runs, &[("queue", &it.queue), ("task", &it.name)]);
    }
}

fn keeper(metrics: &mut Metrics<'_>, stats: &TaskStats) {
    let help = "Task workers that are connected to the queue, those of other servers and programs included.";
    metrics.gauge("hostler_task_workers_connected", help, stats.workers.into());
    metrics.metric(Kind::Histogram, "hostler_task_keeper_turn_seconds", "How long the keeper's turns took.");
    histogram(metrics, &stats.turns, &[]);
    let help = "How long the keeper waited for the disk.";
    metrics.metric(Kind::Histogram, "hostler_task_keeper_sync_seconds", help);
    histogram(metrics, &stats.syncs, &[]);
}

fn histogram(metrics: &mut Metrics<'_>, times: &Times, labels: Labels<'_>) {
    let mut below = 0;
    for (bound, count) in &times.buckets {
        below += count;
        let le = Number(*bound).to_string();
        metrics.sample("_bucket", &[labels, &[("le", &le)]].concat(), whole(below));
    }
    metrics.sample("_bucket", &[labels, &[("le", "+Inf")]].concat(), whole(times.count));
    metrics.sample("_sum", labels, times.sum);
    metrics.sample("_count", labels, whole(times.count));
}

/// A number of a task worker, if it is known.
type Value = fn(&Worker) -> Option<f64>;

fn workers(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen) {
    let workers = hostler_status::task_workers(seen, |pid| observer.measured.of(pid));
    let gauges: [(&str, &str, Value); 5] = [
        ("serving", "1 if it takes tasks.", |it| Some(u8::from(it.state.name() == "serving").into())),
        ("tasks", "Tasks that it runs.", |it| Some(whole(it.traffic.in_flight))),
        ("age_seconds", "How long ago it was started.", |it| Some(it.age_seconds)),
        ("blocked_seconds", "For how long its event loop has been busy without a pause.", |it| {
            Some(it.blocked_seconds)
        }),
        ("memory_bytes", "Its memory: the proportional share (PSS), or the resident set.", |it| {
            it.usage.memory_bytes.map(whole)
        }),
    ];
    // One of each slot: while one is replaced, the later one.
    let slots: std::collections::BTreeMap<u32, &Worker> = workers.iter().map(|it| (it.slot, it)).collect();
    for (name, help, value) in gauges {
        metrics.metric(Kind::Gauge, &format!("hostler_task_worker_{name}"), help);
        for (slot, worker) in &slots {
            if let Some(value) = value(worker) {
                metrics.sample("", &[("worker", &slot.to_string())], value);
            }
        }
    }
    metrics.metric(Kind::Counter, "hostler_task_worker_cpu_seconds", "Its processor time.");
    for (slot, worker) in &slots {
        if let Some(used) = worker.usage.cpu_seconds {
            metrics.sample("_total", &[("worker", &slot.to_string())], used);
        }
    }
}
