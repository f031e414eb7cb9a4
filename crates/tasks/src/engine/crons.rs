//! Schedules: each fires once a tick for the whole queue, however many applications and workers have registered one of its name, and as long as a
//! worker has it. Where there is no worker at all, as with `--task-workers 0:4`, those fire that the last ones had.

use super::{Engine, Result};
use crate::{
    Answer, ClientId, CronEntry, Millis, NewTask, Refused, Schedule, TaskId,
    store::{CronRow, Inserted},
};
use std::{collections::BTreeSet, sync::Arc};

/// How long after its start the keeper waits for the first worker that says which schedules there are still: those of the last deployment may be gone.
const QUIET: Millis = 10_000;

pub(super) struct Cron {
    source: String,
    entry: CronEntry,
    schedule: Schedule,
    next: Option<Millis>,
    is_live: bool,
}

/// What a worker has registered.
#[derive(Debug)]
pub(super) struct Registered {
    /// By its application.
    source: String,
    names: BTreeSet<String>,
}

impl Cron {
    fn is_as(&self, entry: &CronEntry) -> bool {
        let timing = |entry: &CronEntry| (entry.expression.clone(), entry.zone.clone());
        self.entry.name == entry.name && timing(&self.entry) == timing(entry)
    }
}

impl Engine {
    /// What an application enqueues by the clock. A schedule that is as it was keeps its next time. Those that are none are named, and the others kept.
    pub(super) fn set_crons(
        &mut self,
        now: Millis,
        client: ClientId,
        n: u64,
        source: &str,
        entries: &[CronEntry],
    ) -> Result<()> {
        self.scratch.crons_changed = true;
        self.quiet_until = Some(now);
        let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
        for entry in entries {
            match Schedule::new(&entry.expression, &entry.zone) {
                Ok(schedule) if schedule.next(now).is_none() => {
                    let (name, expression) = (&entry.name, &entry.expression);
                    wrong.push(format!("the schedule of `{name}` is never due: `{expression}`"));
                }
                Ok(schedule) => {
                    names.insert(entry.name.clone());
                    self.set_cron(now, source, entry, schedule)?;
                }
                Err(text) => wrong.push(format!("the schedule of `{}` cannot be kept: {text}", entry.name)),
            }
        }
        let count = names.len() as u64;
        let registered = Arc::new(Registered { source: source.to_owned(), names });
        self.with_worker(client, |worker| worker.schedules = Some(registered));
        self.check_crons()?;
        let answer = match wrong.is_empty() {
            true => Answer::Changed { n, count },
            false => Answer::Refused { n: Some(n), why: Refused::Malformed, text: wrong.join("; ") },
        };
        self.send(client, answer, Vec::new());
        Ok(())
    }

    fn set_cron(&mut self, now: Millis, source: &str, entry: &CronEntry, schedule: Schedule) -> Result<()> {
        let before = self.crons.iter().find(|old| old.is_as(entry));
        let next = before.map_or_else(|| schedule.next(now), |old| old.next);
        self.store.set_cron(source, entry, next)?;
        self.crons.retain(|old| old.source != source || old.entry.name != entry.name);
        for other in self.crons.iter_mut().filter(|other| other.entry.name == entry.name) {
            (other.entry, other.next) = (entry.clone(), next);
            // It is one that was read already.
            if let Ok(schedule) = Schedule::new(&entry.expression, &entry.zone) {
                other.schedule = schedule;
            }
        }
        let (source, entry) = (source.to_owned(), entry.clone());
        self.crons.push(Cron { source, entry, schedule, next, is_live: true });
        Ok(())
    }

    /// A worker has registered its schedules, or is gone: those of others do not fire until one comes that has them. Those that an application had, and has
    /// no more by what its workers say, are removed.
    pub(super) fn check_crons(&mut self) -> Result<()> {
        let registered: Vec<Arc<Registered>> =
            self.live.workers.values().filter_map(|worker| worker.schedules.clone()).collect();
        if registered.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(self.crons.len());
        for mut cron in std::mem::take(&mut self.crons) {
            self.scratch.crons_changed = true;
            let name = &cron.entry.name;
            let its: Vec<_> = registered.iter().filter(|it| it.source == cron.source).collect();
            if !its.is_empty() && !its.iter().any(|it| it.names.contains(name)) {
                self.store.remove_cron(&cron.source, name)?;
                continue;
            }
            let is_live = registered.iter().any(|it| it.names.contains(name));
            if is_live != cron.is_live {
                self.store.set_live(name, is_live)?;
                cron.is_live = is_live;
            }
            kept.push(cron);
        }
        self.crons = kept;
        Ok(())
    }

    /// Enqueues what schedules say. Ticks that were missed are one.
    pub(super) fn fire(&mut self, now: Millis) -> Result<()> {
        let quiet_until = *self.quiet_until.get_or_insert(now + QUIET);
        if quiet_until > now && quiet_until <= now + QUIET {
            return Ok(());
        }
        loop {
            let is_due = |cron: &&Cron| cron.is_live && cron.next.is_some_and(|next| next <= now);
            let Some(cron) = self.crons.iter().find(is_due) else { return Ok(()) };
            let (entry, due, next) = (cron.entry.clone(), cron.next.unwrap_or(now), cron.schedule.next(now));
            self.scratch.crons_changed = true;
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
            self.store.set_next_tick(&entry.name, next)?;
            for cron in self.crons.iter_mut().filter(|cron| cron.entry.name == entry.name) {
                cron.next = next;
            }
        }
    }

    /// None fires later than it would by the clock as it is.
    pub(super) fn plan_crons(&mut self, now: Millis) -> Result<()> {
        for cron in &mut self.crons {
            let next = cron.schedule.next(now);
            if next.is_some() && next < cron.next {
                self.scratch.crons_changed = true;
                self.store.set_next_tick(&cron.entry.name, next)?;
                cron.next = next;
            }
        }
        Ok(())
    }

    /// When the next one fires.
    pub(super) fn next_tick(&self) -> Option<Millis> {
        let next = self.crons.iter().filter(|cron| cron.is_live).filter_map(|cron| cron.next).min();
        next.max(next.and(self.quiet_until))
    }

    pub(super) fn read_crons(&mut self) -> Result<()> {
        let crons = self.store.crons()?.into_iter();
        self.crons = crons
            .filter_map(|CronRow { source, entry, next, is_live }| {
                let schedule = Schedule::new(&entry.expression, &entry.zone).ok()?;
                Some(Cron { source, entry, schedule, next, is_live })
            })
            .collect();
        Ok(())
    }

    /// A UUID of version 7 (RFC 9562, 5.7).
    fn new_id(&mut self, time: Millis) -> TaskId {
        let random = u128::from(self.random()) << 64 | u128::from(self.random());
        let bits = (u128::from(time.unsigned_abs()) << 80) | (random & ((1 << 80) - 1));
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x7 << 76) | (0x2 << 62);
        TaskId(bits.to_be_bytes())
    }
}
