//! What looks at or changes so many tasks that it takes more than one turn: each turn does a step of one of them, so that others go on.

use super::{Engine, Result, waits};
use crate::{Answer, ClientId, Filter, Millis, Shown, State, TaskId, store::Walk};
use std::collections::VecDeque;

/// How many tasks are changed in a turn.
const MOST_CHANGED: usize = 500;
/// How many are looked at.
const MOST_SEEN: u32 = 2000;
/// How many are listed at once.
const MOST_LISTED: u32 = 500;

#[derive(Clone, Debug)]
pub(super) struct Job {
    client: ClientId,
    n: u64,
    kind: Kind,
    changed: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    List { walk: Walk, limit: usize, found: Vec<Shown> },
    RetryThese(VecDeque<TaskId>),
    Retry(Walk),
    Purge(Walk),
}

impl Job {
    fn new(client: ClientId, n: u64, kind: Kind) -> Self {
        Self { client, n, kind, changed: 0 }
    }

    pub(super) fn list(
        client: ClientId,
        n: u64,
        filter: Filter,
        (newest, after, limit): (bool, Option<i64>, u32),
    ) -> Self {
        let limit = limit.min(MOST_LISTED) as usize;
        let walk = Walk { filter, newest, after, look: MOST_SEEN };
        Self::new(client, n, Kind::List { walk, limit, found: Vec::new() })
    }

    pub(super) fn retry_these(client: ClientId, n: u64, ids: &[TaskId]) -> Self {
        Self::new(client, n, Kind::RetryThese(ids.iter().copied().collect()))
    }

    pub(super) fn retry(client: ClientId, n: u64, filter: Filter) -> Self {
        let filter = Filter { states: vec![State::Failed], ..filter };
        Self::new(client, n, Kind::Retry(Walk { filter, newest: false, after: None, look: MOST_SEEN }))
    }

    pub(super) fn purge(client: ClientId, n: u64, filter: Filter) -> Self {
        Self::new(client, n, Kind::Purge(Walk { filter, newest: false, after: None, look: MOST_SEEN }))
    }

    /// Whether it changes something, or only looks.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.kind, Kind::List { .. })
    }

    /// Who has asked for it, and by which question.
    pub(super) fn question(&self) -> (ClientId, u64) {
        (self.client, self.n)
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }
}

impl Engine {
    /// A step of the job whose turn it is.
    pub(super) fn work_on_jobs(&mut self, now: Millis) -> Result<()> {
        let Some(mut job) = self.live.jobs.pop_front() else { return Ok(()) };
        let is_done = match &mut job.kind {
            Kind::List { walk, limit, found } => self.list_on(walk, *limit, found)?,
            Kind::RetryThese(ids) => {
                let some: Vec<TaskId> = ids.drain(..ids.len().min(MOST_CHANGED)).collect();
                for id in some {
                    job.changed += u64::from(self.retry(id)?);
                }
                ids.is_empty()
            }
            Kind::Retry(walk) => {
                let (ids, is_end) = self.step(walk, MOST_CHANGED)?;
                for id in ids {
                    job.changed += u64::from(self.retry(id)?);
                }
                is_end
            }
            Kind::Purge(walk) => {
                let (ids, is_end) = self.step(walk, MOST_CHANGED)?;
                for id in ids {
                    job.changed += u64::from(self.purge(now, id)?);
                }
                is_end
            }
        };
        if !is_done {
            self.live.jobs.push_back(job);
            return Ok(());
        }
        let (n, count) = (job.n, job.changed);
        let answer = match job.kind {
            Kind::List { limit, mut found, .. } => {
                let more = found.len() > limit;
                found.truncate(limit);
                Answer::Tasks { n, tasks: found, more }
            }
            _ => Answer::Changed { n, count },
        };
        self.send(job.client, answer, Vec::new());
        Ok(())
    }

    /// The next tasks of a walk, and whether there are no more.
    fn step(&self, walk: &mut Walk, most: usize) -> Result<(Vec<TaskId>, bool)> {
        let seqs = self.store.walk(walk, most)?;
        let ids = seqs.found.iter().map(|seq| self.store.id(*seq)).collect::<Result<Vec<_>>>()?;
        Ok((ids.into_iter().flatten().collect(), seqs.is_end))
    }

    /// Whether all are found that are there or wanted. It looks for one more than is wanted, to tell that there are more.
    fn list_on(&self, walk: &mut Walk, limit: usize, found: &mut Vec<Shown>) -> Result<bool> {
        let there = self.live.counts.of_filter(&walk.filter);
        let wanted = there.map_or(limit + 1, |there| there.min(limit + 1));
        if found.len() >= wanted {
            return Ok(true);
        }
        let step = self.store.walk(walk, wanted - found.len())?;
        for seq in &step.found {
            if let Some((mut task, owner)) = self.store.listed(*seq)? {
                task.pid = self.pid_of(owner);
                found.push(task);
            }
        }
        Ok(step.is_end || found.len() >= wanted)
    }

    /// Tries a dead letter again, as if it were new; not while another one has its key.
    fn retry(&mut self, id: TaskId) -> Result<bool> {
        let Some(mut task) = self.store.find(id)?.filter(|task| task.state == State::Failed) else {
            return Ok(false);
        };
        if self.store.has_its_key_taken(task.seq)? {
            return Ok(false);
        }
        (task.attempts, task.losses) = (0, 0);
        self.put_back(&task, None, None)?;
        Ok(true)
    }

    fn purge(&mut self, now: Millis, id: TaskId) -> Result<bool> {
        let Some(task) = self.store.find(id)? else { return Ok(false) };
        if waits(task.state) {
            self.cancel_now(now, &task)?;
        } else if task.state.is_final() {
            self.store.delete(task.seq)?;
            self.live.counts.remove(&task.queue, task.state);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}
