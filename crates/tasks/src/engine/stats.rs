//! How the queue stands, in numbers; and all that is known of one task.

use super::{Engine, Result, clients::no_such_task};
use crate::{Answer, ClientId, Millis, State, TaskId, store::Known};
use hostler_wire::{QueueStats, TaskStats, Times};
use std::collections::BTreeMap;

/// How many queues are told apart.
const MOST: usize = 100;
/// The name of all others together.
const OTHER: &str = "(other)";

impl Engine {
    pub(super) fn stats(&mut self, now: Millis, client: ClientId, n: u64) -> Result<()> {
        let stats = TaskStats {
            queues: self.queue_stats(now)?,
            tasks: self.tallies.totals(),
            workers: u32::try_from(self.live.workers.len()).unwrap_or(u32::MAX),
            turns: self.turns.clone(),
            syncs: self.store.syncs.clone(),
        };
        self.send(client, Answer::Stats { n, stats }, Vec::new());
        Ok(())
    }

    fn queue_stats(&self, now: Millis) -> Result<BTreeMap<String, QueueStats>> {
        let mut found: Vec<(&str, BTreeMap<State, u64>)> = self.live.counts.queues().collect();
        found.sort_by_key(|(_, tasks)| std::cmp::Reverse(tasks.values().sum::<u64>()));
        let mut queues: BTreeMap<String, QueueStats> =
            self.tallies.queues().map(|queue| (queue.to_owned(), QueueStats::default())).collect();
        for (index, (queue, tasks)) in found.into_iter().enumerate() {
            let name = if index < MOST || queues.contains_key(queue) { queue } else { OTHER };
            let oldest = match tasks.contains_key(&State::Ready) {
                true => self.store.oldest_ready(queue)?,
                false => None,
            };
            let stats = queues.entry(name.to_owned()).or_default();
            for (state, count) in tasks {
                *stats.tasks.entry(state.name().to_owned()).or_default() += count;
            }
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of years fit")]
            let waited = oldest.map(|oldest| (now - oldest).max(0) as f64 / 1000.0);
            stats.oldest_wait = [stats.oldest_wait, waited].into_iter().flatten().reduce(f64::max);
        }
        for (queue, stats) in &mut queues {
            stats.waits = self.tallies.waits(queue).map_or_else(Times::default, Times::clone);
        }
        Ok(queues)
    }

    /// All that is known of a task.
    pub(super) fn show(&mut self, client: ClientId, n: u64, id: TaskId) -> Result<()> {
        let Some(Known { mut task, owner, details, body }) = self.store.details(id)? else {
            self.send(client, no_such_task(n, id), Vec::new());
            return Ok(());
        };
        task.pid = self.pid_of(owner);
        self.send(client, Answer::Details { n, task, details }, body);
        Ok(())
    }

    /// The process of a worker, if it is connected and has said it.
    pub(super) fn pid_of(&self, owner: Option<i64>) -> Option<i32> {
        self.live.workers.values().find(|worker| Some(worker.owner) == owner)?.pid
    }
}
