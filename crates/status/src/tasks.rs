//! The task queue and its workers, as operators are shown them.

use crate::{Seen, Usage, Worker, read::worker};
use hostler_wire::{TaskStats, Times};
use serde::Serialize;
use std::collections::BTreeMap;

/// The task queue of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskQueue {
    /// Whether its keeper answers; if it does not, the rest is empty.
    pub answers: bool,
    /// How many task workers are connected to it.
    pub workers_connected: u32,
    /// The queues, by name.
    pub queues: Vec<Queue>,
    /// What has happened since the file was made, by queue and name.
    pub tasks: Vec<Totals>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queue {
    /// Its name.
    pub queue: String,
    /// How many tasks are in which state; those of which there are none are missing.
    pub tasks: BTreeMap<String, u64>,
    /// For how long the task has waited that has waited longest, of those that could start; `null` if none could.
    pub oldest_wait_seconds: Option<f64>,
    /// How many were started since the keeper started.
    pub starts: u64,
    /// How long all of these waited together.
    pub wait_seconds: f64,
}

/// What has happened to tasks of a name in a queue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// The queue.
    pub queue: String,
    /// The name.
    pub task: String,
    /// Events and their counts.
    #[serde(flatten)]
    pub events: BTreeMap<String, u64>,
    /// How many attempts have ended since the keeper started.
    pub runs: u64,
    /// How long all of these ran together.
    pub run_seconds: f64,
}

impl TaskQueue {
    /// By what its keeper has said, if it has.
    #[must_use]
    pub fn of(stats: Option<&TaskStats>) -> Self {
        let Some(TaskStats { queues, tasks, workers, .. }) = stats else { return Self::default() };
        let queues = queues.iter().map(|(name, it)| {
            let Times { count, sum, .. } = it.waits;
            let (queue, tasks) = (name.clone(), it.tasks.clone());
            Queue { queue, tasks, oldest_wait_seconds: it.oldest_wait, starts: count, wait_seconds: sum }
        });
        let tasks = tasks.iter().map(|it| {
            let (queue, task, events) = (it.queue.clone(), it.name.clone(), it.events.clone());
            Totals { queue, task, events, runs: it.runs.count, run_seconds: it.runs.sum }
        });
        Self { answers: true, workers_connected: *workers, queues: queues.collect(), tasks: tasks.collect() }
    }
}

/// The task workers. `measure` says what a process uses.
#[must_use]
pub fn task_workers(seen: &Seen, mut measure: impl FnMut(i32) -> Usage) -> Vec<Worker> {
    seen.task_workers.iter().map(|(seat, page)| worker(seen.now, seat, page, &mut measure)).collect()
}
