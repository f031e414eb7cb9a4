//! What happens by itself.

use super::{AGAIN, Engine, Result, error_text};
use crate::{
    Millis, State,
    store::{Found, Outcome},
    task::DAY,
};

/// How many tasks change their state by the clock in a turn.
const MOST_DUE: u32 = 1000;
/// How often to look whether workers live that are not connected.
const ORPHANS: Millis = 500;

impl Engine {
    pub(super) fn tick(&mut self, now: Millis) -> Result<()> {
        self.heed_clock(now)?;
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
        self.expire_old(now)?;
        self.fire(now)
    }

    /// If the clock was ahead for a while, before this process began or since: what was planned by it is planned again.
    fn heed_clock(&mut self, now: Millis) -> Result<()> {
        let before = self.live.last_turn.replace(now);
        if before.is_some_and(|before| before <= now.saturating_add(AGAIN)) {
            return Ok(());
        }
        self.plan_crons(now)?;
        self.live.rates.clear();
        for queue in self.store.take_slots_back()? {
            self.live.counts.change(&queue, State::Scheduled, State::Ready);
        }
        Ok(())
    }

    /// Those that were not started in time end, whether a worker would take them or not.
    fn expire_old(&mut self, now: Millis) -> Result<()> {
        if self.live.next_expiry.is_none_or(|next| next > now) {
            return Ok(());
        }
        for task in self.store.expired(now, MOST_DUE)? {
            self.expire(now, &task)?;
        }
        self.live.next_expiry = self.store.next_expiry()?;
        Ok(())
    }

    /// A task waits that is not to be started after then.
    pub(super) fn may_expire(&mut self, expires: Option<Millis>) {
        self.live.next_expiry = self.live.next_expiry.into_iter().chain(expires).min();
    }

    fn expire(&mut self, now: Millis, task: &Found) -> Result<()> {
        let error = error_text("hostler.tasks.Expired", "the task was not started in time");
        let outcome =
            Outcome { state: State::Expired, result: None, error: Some(&error), keep_until: now + DAY };
        self.finish(now, task, &outcome)
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
        let file = [self.store.next_due(), self.store.next_removal()];
        let file = file.into_iter().filter_map(|at| at.unwrap_or(Some(now + AGAIN)));
        let known = [deferred, orphans, self.next_tick(), self.live.next_expiry, self.sync_at];
        file.chain(known.into_iter().flatten()).min()
    }
}
