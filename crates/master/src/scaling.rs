//! The number of workers where it follows what there is to do (`--workers 2:8`, `--task-workers 0:4`): what they do, as the
//! scoreboard and the keeper of the task queue show it, for `arbiter::Scaler`; and what that decides.

use crate::{GenerationSpec, fleet::Fleet, run::Master};
use hostler_arbiter::{Arbiter, Bounds, Change, Event, Load, Need, Scaler};
use hostler_sys::clock;
use hostler_wire::{FromKeeper, GroupId, SlotId, TasksWaiting};
use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};
use tracing::{debug, info};

/// The groups whose number of processes may follow their load.
const GROUPS: [GroupId; 2] = [GroupId::HTTP, GroupId::TASKS];

/// The groups whose number of processes does.
#[derive(Default)]
pub(crate) struct Scaling {
    groups: Vec<Scaled>,
    /// What the keeper said last.
    waiting: TasksWaiting,
}

struct Scaled {
    id: GroupId,
    /// What the options say; a user may have said otherwise since.
    configured: Bounds,
    scaler: Scaler,
    /// On the scoreboard's clock.
    sampled_at: u64,
}

impl Scaling {
    /// Goes by what a generation says. Bounds that it does not change stay as the user set them last.
    pub(crate) fn follow(&mut self, spec: &GenerationSpec, now: Duration) {
        let before = std::mem::take(&mut self.groups);
        for id in GROUPS {
            let configured = spec.bounds(id);
            if configured.is_fixed() {
                continue;
            }
            let old = before.iter().find(|old| old.id == id && old.configured == configured);
            let bounds = old.map(|old| old.scaler.bounds()).filter(|bounds| bounds.most > 0);
            let need = if id == GroupId::TASKS { Need::Waiting } else { Need::Busy };
            let scaler = Scaler::new(need, bounds.unwrap_or(configured), spec.limits().scale_down_after, now);
            self.groups.push(Scaled { id, configured, scaler, sampled_at: clock::now() });
        }
    }

    /// Whether the number of processes of this group follows its load.
    pub(crate) fn follows(&self, id: GroupId) -> bool {
        self.groups.iter().any(|group| group.id == id)
    }

    /// How many processes there are to be in groups whose number follows their load, for the server that replaces this one.
    pub(crate) fn numbers(&self, arbiter: &Arbiter) -> Vec<(GroupId, u16)> {
        self.groups.iter().map(|group| (group.id, arbiter.slots(group.id))).collect()
    }

    /// The user wants this many at least, or none.
    pub(crate) fn user_wants(&mut self, id: GroupId, count: u16, now: Duration) {
        if let Some(group) = self.groups.iter_mut().find(|group| group.id == id) {
            group.scaler.set_bounds(group.configured.at_least(count), now);
        }
    }

    /// When the next sample is due. A fleet that stops is not scaled.
    pub(crate) fn next(&self, arbiter: &Arbiter, started: Instant) -> Option<Instant> {
        if arbiter.is_stopping() {
            return None;
        }
        let next = self.groups.iter().filter_map(|group| group.scaler.next_sample(arbiter.slots(group.id)));
        next.min().map(|due| started + due)
    }

    /// The keeper said this; None if it has gone.
    pub(crate) fn hear(&mut self, waiting: Option<TasksWaiting>) {
        self.waiting = waiting.unwrap_or_default();
    }

    /// What is to be changed: of all groups whose sample is due, and by what the keeper has just said.
    fn decide(
        &mut self,
        arbiter: &Arbiter,
        fleet: &mut Fleet,
        now: Duration,
        heard: bool,
    ) -> Vec<(GroupId, Change)> {
        let mut changes = Vec::new();
        for group in &mut self.groups {
            let wanted = arbiter.slots(group.id);
            let is_due = group.scaler.next_sample(wanted).is_some_and(|due| now >= due);
            let is_told = heard && group.id == GroupId::TASKS;
            if !is_due && !is_told {
                continue;
            }
            let mut load = Load {
                wanted,
                serving: u16::try_from(arbiter.serving(group.id)).unwrap_or(u16::MAX),
                ..Load::default()
            };
            if group.id == GroupId::TASKS {
                (load.waiting, load.waited) = (self.waiting.count, self.waiting.longest);
            }
            // While another generation or another server comes up, there are more processes than there are to be.
            let is_changing = arbiter.is_reloading() || arbiter.is_upgrading();
            let change = if is_due && !is_changing {
                measure(group.id, &mut group.sampled_at, &mut load, arbiter, fleet);
                group.scaler.sample(&load, now)
            } else if is_told {
                group.scaler.hear(&load, now)
            } else {
                group.scaler.skip(now);
                None
            };
            changes.extend(change.map(|change| (group.id, change)));
        }
        changes
    }
}

/// Measures what the processes of a group have done since the last sample.
fn measure(id: GroupId, sampled_at: &mut u64, load: &mut Load, arbiter: &Arbiter, fleet: &mut Fleet) {
    let now = clock::now();
    let elapsed = now.saturating_sub(std::mem::replace(sampled_at, now)).max(1);
    let (mut queued, mut queued_nanos) = (0, 0);
    for (worker, _) in arbiter.serving_in(id) {
        let Some(assignment) = fleet.get(worker).map(|worker| worker.assignment) else { continue };
        let page = fleet.page(&assignment);
        let (busy, in_flight, (count, nanos)) = (page.busy_nanos(now), page.in_flight(), page.queued());
        let Some(worker) = fleet.get_mut(worker) else { continue };
        let (samples, calls) = (&mut worker.samples, worker.concurrent_calls);
        let was_busy = busy.saturating_sub(std::mem::replace(&mut samples.busy, busy)).min(elapsed);
        // What waited while it booted says nothing of the load.
        if let Some(before) = samples.queued.replace((count, nanos)) {
            queued += count.saturating_sub(before.0);
            queued_nanos += nanos.saturating_sub(before.1);
        }
        load.busy += part(was_busy, elapsed).max(part_of_calls(in_flight, calls));
    }
    if id == GroupId::HTTP && queued > 0 {
        (load.waiting, load.waited) = (queued, Duration::from_nanos(queued_nanos / queued));
    }
}

/// A worker that calls the application in several threads waits while they work.
fn part_of_calls(in_flight: u64, calls: Option<usize>) -> f64 {
    match calls {
        Some(calls) if calls > 1 => part(in_flight, calls as u64).min(1.0),
        _ => 0.0,
    }
}

fn part(of: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let part = of as f64 / whole as f64;
    part
}

impl Master {
    /// Receives what the keeper of the task queue says; whether it said something.
    pub(crate) fn receive_from_keeper(&mut self) -> bool {
        let mut said = false;
        for running in self.programs.values_mut().filter(|running| running.speaks) {
            let Some(channel) = &running.channel else { continue };
            loop {
                match channel.recv::<FromKeeper>() {
                    Ok(Some((FromKeeper::Waiting(waiting), _))) => {
                        said = true;
                        self.scaling.hear(Some(waiting));
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It has gone, or talks nonsense: it is not listened to any more.
                    ended => {
                        debug!(error = ended.err().map(|it| it.to_string()), "the keeper says no more");
                        running.speaks = false;
                        self.scaling.hear(None);
                    }
                }
                break;
            }
        }
        said
    }

    /// Changes the numbers of workers that follow their load. `heard`: the keeper has said something.
    pub(crate) fn scale_by_load(&mut self, heard: bool, events: &mut VecDeque<Event>) {
        if self.scaling.groups.is_empty() || self.arbiter.is_stopping() {
            return;
        }
        let now = self.started.elapsed();
        for (id, change) in self.scaling.decide(&self.arbiter, &mut self.fleet, now, heard) {
            let from = self.arbiter.slots(id);
            let leaving = match from.checked_sub(change.to) {
                Some(fewer) => self.least_busy(id, fewer),
                None => Vec::new(),
            };
            let fewer = u16::try_from(leaving.len()).unwrap_or(0);
            let to = if change.to < from { from - fewer } else { change.to };
            if to == from {
                continue;
            }
            let reason = change.reason;
            match id {
                GroupId::TASKS => info!(from, to, %reason, "number of task workers changed"),
                _ => info!(from, to, %reason, "number of workers changed"),
            }
            match leaving.is_empty() {
                true => events.push_back(Event::Scale(id, to)),
                false => events.extend(leaving.into_iter().map(Event::Retire)),
            }
        }
    }

    /// The slots of so many workers that have least to do. A worker that runs a task is none of them.
    fn least_busy(&self, id: GroupId, count: u16) -> Vec<SlotId> {
        let mut workers: Vec<_> = self
            .arbiter
            .serving_in(id)
            .filter_map(|(worker, slot)| {
                let page = self.fleet.page(&self.fleet.get(worker)?.assignment);
                let load = (page.open_sessions(), page.in_flight(), page.connections());
                (id != GroupId::TASKS || load.1 == 0).then_some((load, std::cmp::Reverse(slot)))
            })
            .collect();
        workers.sort_unstable();
        workers.dedup_by_key(|(_, slot)| *slot);
        workers.into_iter().take(usize::from(count)).map(|(_, slot)| slot.0).collect()
    }
}
