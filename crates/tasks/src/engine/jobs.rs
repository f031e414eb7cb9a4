//! What changes so many tasks that it takes more than one turn.

use super::{Engine, Result, waits};
use crate::{Answer, ClientId, Millis, State, TaskId};
use std::collections::VecDeque;

/// How many tasks are changed in a turn.
const MOST: u32 = 500;

#[derive(Clone, Debug)]
pub(super) struct Job {
    client: ClientId,
    n: u64,
    kind: Kind,
    changed: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    /// These tasks, or all that have failed.
    Retry(Option<VecDeque<TaskId>>),
    Purge(State, Option<String>),
}

impl Job {
    pub(super) fn retry(client: ClientId, n: u64, ids: Option<VecDeque<TaskId>>) -> Self {
        Self { client, n, kind: Kind::Retry(ids), changed: 0 }
    }

    pub(super) fn purge(client: ClientId, n: u64, state: State, queue: Option<String>) -> Self {
        Self { client, n, kind: Kind::Purge(state, queue), changed: 0 }
    }
}

impl Engine {
    /// Works on the oldest job.
    pub(super) fn work_on_jobs(&mut self, now: Millis) -> Result<()> {
        let Some(job) = self.live.jobs.front() else { return Ok(()) };
        let (client, n) = (job.client, job.n);
        let (ids, state) = match &job.kind {
            Kind::Retry(Some(ids)) => (ids.iter().take(MOST as usize).copied().collect(), State::Failed),
            Kind::Retry(None) => (self.store.ids(State::Failed, None, MOST)?, State::Failed),
            Kind::Purge(state, queue) => (self.store.ids(*state, queue.as_deref(), MOST)?, *state),
        };
        let is_purge = matches!(job.kind, Kind::Purge(..));
        let mut changed = 0;
        for id in &ids {
            changed += u64::from(match is_purge {
                true => self.purge(now, *id, state)?,
                false => self.retry(*id)?,
            });
        }
        let is_last = ids.len() < MOST as usize || (is_purge && changed == 0);
        let job = self.live.jobs.front_mut().expect("it was there");
        if let Kind::Retry(Some(left)) = &mut job.kind {
            left.drain(..ids.len());
        }
        job.changed += changed;
        let count = job.changed;
        if is_last {
            self.live.jobs.pop_front();
            self.send(client, Answer::Changed { n, count }, Vec::new());
        }
        Ok(())
    }

    /// Tries a dead letter again, as if it were new.
    fn retry(&mut self, id: TaskId) -> Result<bool> {
        let Some(mut task) = self.store.find(id)?.filter(|task| task.state == State::Failed) else {
            return Ok(false);
        };
        (task.attempts, task.losses) = (0, 0);
        self.put_back(&task, None, None)?;
        Ok(true)
    }

    fn purge(&mut self, now: Millis, id: TaskId, state: State) -> Result<bool> {
        let Some(task) = self.store.find(id)?.filter(|task| task.state == state) else { return Ok(false) };
        if waits(state) {
            self.cancel_now(now, &task)?;
        } else if state.is_final() {
            self.store.delete(task.seq)?;
            self.live.counts.remove(&task.queue, state);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}
