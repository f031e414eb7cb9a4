//! What happens by itself.

use super::{AGAIN, Cron, Engine, Result};
use crate::{Millis, NewTask, Schedule, State, TaskId, store::Inserted};

/// How many tasks change their state by the clock in a turn.
const MOST_DUE: u32 = 1000;
/// How often to look whether workers live that are not connected.
const ORPHANS: Millis = 500;

impl Engine {
    pub(super) fn tick(&mut self, now: Millis) -> Result<()> {
        for queue in self.store.release_due(now, MOST_DUE)? {
            self.live.counts.change(&queue, State::Scheduled, State::Ready);
        }
        for (queue, state) in self.store.remove_old(now, MOST_DUE)? {
            self.live.counts.remove(&queue, state);
        }
        let dead: Vec<i64> =
            self.live.orphans.keys().copied().filter(|owner| !(self.is_alive)(*owner)).collect();
        for owner in dead {
            self.lose(now, owner)?;
        }
        self.fire(now)
    }

    /// Enqueues what schedules say. Ticks that were missed are one.
    fn fire(&mut self, now: Millis) -> Result<()> {
        for index in 0..self.crons.len() {
            let cron = &self.crons[index];
            let Some(due) = cron.next.filter(|next| *next <= now) else { continue };
            self.scratch.crons_changed = true;
            let (entry, source, next) = (cron.entry.clone(), cron.source.clone(), cron.schedule.next(now));
            let id = self.new_id(due);
            let task = NewTask {
                id,
                name: entry.task.clone(),
                queue: entry.queue.clone(),
                priority: entry.priority,
                due: None,
                expires: None,
                key: None,
                options: entry.options.clone(),
            };
            if let Inserted::New(state) = self.store.insert(&task, b"", now)? {
                self.enqueued(&task, state);
            }
            self.store.set_cron(&source, &entry, next)?;
            self.crons[index].next = next;
        }
        Ok(())
    }

    /// A UUID of version 7 (RFC 9562, 5.7).
    fn new_id(&mut self, time: Millis) -> TaskId {
        let random = u128::from(self.random()) << 64 | u128::from(self.random());
        let bits = (u128::from(time.unsigned_abs()) << 80) | (random & ((1 << 80) - 1));
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x7 << 76) | (0x2 << 62);
        TaskId(bits.to_be_bytes())
    }

    pub(super) fn read_crons(&mut self) -> Result<()> {
        let crons = self.store.crons()?.into_iter();
        self.crons = crons
            .filter_map(|(source, entry, next)| {
                let schedule = Schedule::new(&entry.expression, &entry.zone).ok()?;
                Some(Cron { source, entry, schedule, next })
            })
            .collect();
        Ok(())
    }

    /// When the next turn is due, if nothing comes before; `failed` is whether the store could not do all of the last one.
    pub fn next_turn(&self, now: Millis, failed: bool) -> Option<Millis> {
        if failed {
            return Some(now + AGAIN);
        }
        if !self.live.jobs.is_empty() {
            return Some(now);
        }
        let deferred = (!self.deferred.is_empty()).then_some(self.deferred_until);
        let orphans = (!self.live.orphans.is_empty()).then_some(now + ORPHANS);
        let crons = self.crons.iter().filter_map(|cron| cron.next).min();
        let file = [self.store.next_due(), self.store.next_removal()];
        let file = file.into_iter().filter_map(|at| at.unwrap_or(Some(now + AGAIN)));
        file.chain(deferred).chain(orphans).chain(crons).chain(self.sync_at).min()
    }
}
