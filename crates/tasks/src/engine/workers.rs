//! What workers report.

use super::{Engine, Result, crons::Registered, error_text, tallies::Event};
use crate::{
    Answer, Ask, ClientId, Frame, Millis, State, TaskId,
    store::{Found, Outcome},
    task::DAY,
};
use std::{collections::BTreeSet, sync::Arc};

/// How long failed tasks are kept: dead letters, which somebody is to look at.
pub(super) const KEEP_FAILED: Millis = 30 * DAY;
/// A task whose worker died this many times while it ran is the reason, most likely.
const MOST_LOSSES: u32 = 5;

/// A worker that is connected.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) owner: i64,
    /// Its process.
    pub(super) pid: Option<i32>,
    pub(super) knows: Arc<Known>,
    /// Its schedules, once it has said them.
    pub(super) schedules: Option<Arc<Registered>>,
    /// How many it runs at once, and how many it takes beyond these; none before it has said so.
    pub(super) takes: Option<(u32, u32)>,
    /// It takes nothing new.
    pub(super) leaves: bool,
    /// What it was given and has not reported, in this order. It has begun no more than it runs at once.
    pub(super) given: Vec<Given>,
}

/// A task that a worker has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) id: TaskId,
    /// When it was begun: those that were taken ahead are when one before them is reported.
    pub(super) begun: Option<Millis>,
}

impl Worker {
    /// How many more it may be given: to be begun at once, or also ahead.
    pub(super) fn room(&self, is_ahead: bool) -> usize {
        let (slots, ahead) = self.takes.filter(|_| !self.leaves).unwrap_or_default();
        let most = slots.saturating_add(if is_ahead { ahead } else { 0 });
        (most as usize).saturating_sub(self.given.len())
    }

    /// It goes on with what it has.
    pub(super) fn begin(&mut self, now: Millis) {
        let begun = self.takes.map_or(usize::MAX, |(slots, _)| slots as usize);
        for given in self.given.iter_mut().take(begun) {
            given.begun.get_or_insert(now);
        }
    }

    /// What it has not begun.
    fn waiting(&self) -> BTreeSet<TaskId> {
        let begun = self.takes.map_or(usize::MAX, |(slots, _)| slots as usize);
        self.given.iter().skip(begun).map(|given| given.id).collect()
    }
}

/// What a worker can run.
#[derive(Debug)]
pub(super) struct Known {
    /// None is all.
    pub(super) queues: BTreeSet<String>,
    pub(super) names: BTreeSet<String>,
}

impl Known {
    pub(super) fn consumes(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.contains(queue)
    }
}

impl Engine {
    pub(super) fn asked(&mut self, now: Millis, client: ClientId, frame: &Frame<Ask>) -> Result<()> {
        match &frame.message {
            Ask::Work { owner, queues, names, running, pid, timeout } => {
                self.timeout = *timeout;
                let known = Known {
                    queues: queues.iter().cloned().collect(),
                    names: names.iter().cloned().collect(),
                };
                self.work(now, client, (*owner, *pid), known, running)
            }
            Ask::Ready { slots, ahead } => {
                self.with_worker(client, |worker| {
                    worker.takes = Some((*slots, *ahead));
                    worker.leaves = false;
                });
                Ok(())
            }
            Ask::Leave => {
                self.with_worker(client, |worker| worker.leaves = true);
                Ok(())
            }
            Ask::Done { id, attempt } => self.done(now, client, (*id, *attempt), &frame.body),
            Ask::Failed { id, attempt, error, again, after } => {
                self.failed(now, client, (*id, *attempt), error, again.then_some(*after))
            }
            Ask::Cancelled { id, attempt } => self.cancelled(now, client, (*id, *attempt)),
            Ask::GiveBack { id, attempt } => self.give_back(now, client, (*id, *attempt)),
            Ask::Progress { id, fraction, text } => {
                self.store.set_progress(*id, fraction.clamp(0.0, 1.0), text)
            }
            _ => self.question(now, client, frame),
        }
    }

    /// A worker is there, for the first time or again.
    fn work(
        &mut self,
        now: Millis,
        client: ClientId,
        (owner, pid): (i64, Option<i32>),
        known: Known,
        running: &[(TaskId, u32)],
    ) -> Result<()> {
        self.live.orphans.remove(&owner);
        let mut has = BTreeSet::new();
        for mut task in self.store.owned(owner)? {
            if running.contains(&(task.id, task.attempts)) {
                has.insert(task.id);
                if task.is_cancelled {
                    // It may not have heard of it.
                    self.send(client, Answer::Cancel { id: task.id }, Vec::new());
                }
            } else if task.is_cancelled {
                self.cancel_now(now, &task)?;
            } else {
                // It was given, and did not arrive.
                task.attempts = task.attempts.saturating_sub(1);
                self.put_back(&task, None, None)?;
            }
        }
        for (id, _) in running.iter().filter(|(id, _)| !has.contains(id)) {
            self.send(client, Answer::Lost { id: *id }, Vec::new());
        }
        for name in
            self.unknown.iter().filter(|name| known.names.contains(*name)).cloned().collect::<Vec<_>>()
        {
            for queue in self.store.release_known(&name)? {
                self.live.counts.change(&queue, State::Unknown, State::Ready);
            }
        }
        let given = running.iter().filter(|(id, _)| has.contains(id));
        // When it began them is not known: as it was given them.
        let given = given.map(|(id, _)| Given { id: *id, begun: Some(0) }).collect();
        let knows = Arc::new(known);
        self.known_last = Some(Arc::clone(&knows));
        let worker = Worker { owner, pid, knows, schedules: None, takes: None, leaves: false, given };
        self.live.workers.insert(client, worker);
        Ok(())
    }

    pub(super) fn with_worker(&mut self, client: ClientId, change: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.live.workers.get_mut(&client) {
            change(worker);
        }
    }

    /// The task that is reported, if this worker runs this attempt of it.
    fn its(&mut self, now: Millis, client: ClientId, (id, attempt): (TaskId, u32)) -> Result<Option<Found>> {
        self.send(client, Answer::Noted { id, attempt }, Vec::new());
        let Some(worker) = self.live.workers.get_mut(&client) else { return Ok(None) };
        let begun = worker.given.iter().find(|given| given.id == id).and_then(|given| given.begun);
        worker.given.retain(|given| given.id != id);
        worker.begin(now);
        let owner = Some(worker.owner);
        let found = self.store.find(id)?.map(|task| Found { started: task.started.max(begun), ..task });
        Ok(found.filter(|it| it.state == State::Running && it.owner == owner && it.attempts == attempt))
    }

    fn done(&mut self, now: Millis, client: ClientId, which: (TaskId, u32), result: &[u8]) -> Result<()> {
        let Some(task) = self.its(now, client, which)? else { return Ok(()) };
        let keep = Millis::try_from(task.options.keep).unwrap_or(Millis::MAX);
        let outcome = Outcome {
            state: State::Succeeded,
            result: Some(result),
            error: None,
            keep_until: now.saturating_add(keep),
        };
        self.finish(now, &task, &outcome)
    }

    /// `again` is whether it may be tried again, and the pause that the task asks for.
    fn failed(
        &mut self,
        now: Millis,
        client: ClientId,
        which: (TaskId, u32),
        error: &str,
        again: Option<Option<u64>>,
    ) -> Result<()> {
        match self.its(now, client, which)? {
            Some(task) if task.is_cancelled => self.cancel_now(now, &task),
            Some(task) => self.fail_or_retry(now, &task, error, again),
            None => Ok(()),
        }
    }

    fn fail_or_retry(
        &mut self,
        now: Millis,
        task: &Found,
        error: &str,
        again: Option<Option<u64>>,
    ) -> Result<()> {
        let tries = task.attempts.saturating_sub(task.losses);
        match again {
            Some(after) if tries <= task.options.retries => {
                let random = self.fraction();
                let after = after.map(|after| Millis::try_from(after).unwrap_or(Millis::MAX));
                let pause = after.unwrap_or_else(|| task.options.backoff.pause(tries, random));
                self.tallies.happens(Event::Retried, &task.queue, &task.name);
                self.ran(now, task);
                self.put_back(task, Some(now.saturating_add(pause)), Some(error))
            }
            _ => self.fail(now, task, error),
        }
    }

    /// It is a dead letter.
    fn fail(&mut self, now: Millis, task: &Found, error: &str) -> Result<()> {
        let outcome = Outcome {
            state: State::Failed,
            result: None,
            error: Some(error),
            keep_until: now.saturating_add(KEEP_FAILED),
        };
        self.finish(now, task, &outcome)
    }

    fn cancelled(&mut self, now: Millis, client: ClientId, which: (TaskId, u32)) -> Result<()> {
        let Some(task) = self.its(now, client, which)? else { return Ok(()) };
        self.cancel_now(now, &task)
    }

    fn give_back(&mut self, now: Millis, client: ClientId, which: (TaskId, u32)) -> Result<()> {
        let Some(mut task) = self.its(now, client, which)? else { return Ok(()) };
        if task.is_cancelled {
            return self.cancel_now(now, &task);
        }
        task.attempts = task.attempts.saturating_sub(1);
        self.put_back(&task, None, None)
    }

    pub(super) fn cancel_now(&mut self, now: Millis, task: &Found) -> Result<()> {
        let error = error_text("hostler.tasks.Cancelled", "the task was cancelled");
        let outcome =
            Outcome { state: State::Cancelled, result: None, error: Some(&error), keep_until: now + DAY };
        self.finish(now, task, &outcome)
    }

    pub(super) fn finish(&mut self, now: Millis, task: &Found, outcome: &Outcome<'_>) -> Result<()> {
        self.store.finish(task.seq, outcome, now)?;
        self.live.counts.change(&task.queue, task.state, outcome.state);
        if outcome.keep_until <= now {
            self.live.counts.remove(&task.queue, outcome.state);
        }
        let event = match outcome.state {
            State::Succeeded => Event::Succeeded,
            State::Cancelled => Event::Cancelled,
            State::Expired => Event::Expired,
            _ => Event::Failed,
        };
        self.tallies.happens(event, &task.queue, &task.name);
        self.ran(now, task);
        self.scratch.finished.push(task.id);
        Ok(())
    }

    /// An attempt has ended, if it ran.
    fn ran(&mut self, now: Millis, task: &Found) {
        if let (State::Running, Some(started)) = (task.state, task.started) {
            self.tallies.ran(&task.queue, &task.name, now - started);
        }
    }

    pub(super) fn put_back(&mut self, task: &Found, due: Option<Millis>, error: Option<&str>) -> Result<()> {
        self.store.put_back(task, due, error)?;
        let to = if due.is_some() { State::Scheduled } else { State::Ready };
        self.may_expire(task.expires);
        self.live.counts.change(&task.queue, task.state, to);
        Ok(())
    }

    /// A connection has ended; or the worker's process, whatever others it has forked, which may hold its lock.
    pub(super) fn gone(&mut self, now: Millis, client: ClientId, has_exited: bool) -> Result<()> {
        self.forget_waiter(client);
        let Some(worker) = self.live.workers.remove(&client) else { return Ok(()) };
        self.live.orphans.insert(worker.owner, worker.waiting());
        self.check_crons()?;
        if !has_exited && (self.is_alive)(worker.owner) {
            return Ok(());
        }
        self.lose(now, worker.owner)
    }

    fn has_outlived_its_timeout(&self, now: Millis, task: &Found) -> bool {
        let own = Some(task.options.timeout).filter(|own| *own > 0).unwrap_or(self.timeout);
        let limit = Millis::try_from(own).unwrap_or(Millis::MAX);
        limit > 0 && task.started.is_some_and(|started| now - started > limit)
    }

    /// A worker has died: what it ran is tried again, unless it is what kills workers.
    pub(super) fn lose(&mut self, now: Millis, owner: i64) -> Result<()> {
        let waiting = self.live.orphans.remove(&owner).unwrap_or_default();
        for mut task in self.store.owned(owner)? {
            if task.is_cancelled {
                self.cancel_now(now, &task)?;
                continue;
            }
            if waiting.contains(&task.id) {
                task.attempts = task.attempts.saturating_sub(1);
                self.put_back(&task, None, None)?;
                continue;
            }
            if self.has_outlived_its_timeout(now, &task) {
                // That is why its worker was ended.
                let error =
                    error_text("hostler.tasks.TaskTimeout", "the task did not end: its worker was killed");
                self.fail_or_retry(now, &task, &error, Some(None))?;
                continue;
            }
            task.losses += 1;
            self.tallies.happens(Event::Lost, &task.queue, &task.name);
            let error = error_text("hostler.tasks.WorkerLost", "the worker died while it ran the task");
            if task.losses >= MOST_LOSSES {
                self.fail(now, &task, &error)?;
                continue;
            }
            // The first time at once: it was the worker's fault, most likely.
            let random = self.fraction();
            let pause = task.options.backoff.pause(task.losses - 1, random);
            let due = (task.losses > 1).then(|| now.saturating_add(pause));
            self.put_back(&task, due, Some(&error))?;
        }
        Ok(())
    }
}
