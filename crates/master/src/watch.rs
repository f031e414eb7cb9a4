//! Samples of what workers are like: heartbeats on the scoreboard, and their memory.

use crate::{
    GenerationSpec,
    fleet::{Fleet, Worker},
    launch::numbers,
    molds::Molds,
};
use hostler_arbiter::{Arbiter, DrainReason, Event, RecycleReason};
use hostler_settings::ByteSize;
use hostler_sys::proc;
use hostler_wire::{GroupId, ToWorker, WorkerId, timing};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// A sample that is late by more than this means that the machine or the master was suspended.
const SUSPENDED_AFTER: Duration = Duration::from_secs(2);
/// A worker and its successor need this much more memory than the worker has, in percent.
const HEADROOM_PERCENT: u64 = 120;

/// When the last samples were taken.
pub(crate) struct Watch {
    heartbeats_at: Instant,
    memory_at: Instant,
}

/// How often heartbeats are sampled; `None` if no generation has a stall timeout, or a developer.
fn heartbeat_interval(molds: &Molds) -> Option<Duration> {
    let watched = |spec: &&GenerationSpec| spec.limits().stall_timeout.is_some() || watches_files(spec);
    let watched = molds.specs().filter(watched);
    watched.map(|spec| timing::heartbeat_interval(spec.limits().stall_timeout)).min()
}

/// Whether workers of a generation say that a debugger holds them (`--reload`).
fn watches_files(spec: &GenerationSpec) -> bool {
    spec.settings.options.auto_reload.enabled
}

/// How often memory is measured; `None` if no generation has a limit.
fn memory_interval(molds: &Molds) -> Option<Duration> {
    let groups = [GroupId::HTTP, GroupId::TASKS];
    let limited = |spec: &&GenerationSpec| groups.iter().any(|group| memory_limit(spec, *group).is_some());
    molds.specs().filter(limited).map(|spec| spec.limits().memory_interval).min()
}

/// How much memory a worker of this group may use.
fn memory_limit(spec: &GenerationSpec, group: GroupId) -> Option<ByteSize> {
    let own = spec.settings.options.tasks.max_memory.filter(|_| group == GroupId::TASKS);
    own.or(spec.limits().max_memory)
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { heartbeats_at: Instant::now(), memory_at: Instant::now() }
    }

    /// When the next sample is due. A fleet that stops is not watched.
    pub(crate) fn next(&self, arbiter: &Arbiter, molds: &Molds) -> Option<Instant> {
        if arbiter.is_stopping() {
            return None;
        }
        let heartbeats = heartbeat_interval(molds).map(|interval| self.heartbeats_at + interval);
        let memory = memory_interval(molds).map(|interval| self.memory_at + interval);
        heartbeats.into_iter().chain(memory).min()
    }

    /// Takes the samples that are due; what they show.
    pub(crate) fn sample(&mut self, arbiter: &Arbiter, fleet: &mut Fleet, molds: &Molds) -> Vec<Event> {
        let now = Instant::now();
        let mut events = Vec::new();
        match heartbeat_interval(molds).filter(|_| !arbiter.is_stopping()) {
            None => self.heartbeats_at = now,
            Some(interval) if now >= self.heartbeats_at + interval => {
                events.extend(suspended(now.saturating_duration_since(self.heartbeats_at + interval)));
                self.heartbeats_at = now;
                events.extend(sample_heartbeats(arbiter, fleet));
            }
            Some(_) => {}
        }
        if memory_interval(molds).is_some_and(|interval| now >= self.memory_at + interval) {
            self.memory_at = now;
            events.extend(measure_memory(arbiter, fleet, molds));
        }
        events
    }
}

/// Whether a sample that is this late means that the machine was suspended.
fn suspended(late: Duration) -> Option<Event> {
    (late > SUSPENDED_AFTER).then(|| {
        let late_seconds = late.as_secs_f64();
        warn!(late_seconds, "the machine or the master was suspended: all deadlines move");
        Event::Suspended(late)
    })
}

fn sample_heartbeats(arbiter: &Arbiter, fleet: &mut Fleet) -> Vec<Event> {
    let watched: BTreeSet<WorkerId> = arbiter.watched().collect();
    let seen = |id: WorkerId| {
        let progress = fleet.page(&fleet.get(id)?.assignment).progress();
        let debugged_at = fleet.page(&fleet.get(id)?.assignment).debugged_at();
        let worker = fleet.get_mut(id)?;
        if std::mem::replace(&mut worker.samples.debugged_at, debugged_at) != debugged_at {
            tell_debugger(worker);
            return Some(Event::Debugged(id));
        }
        if std::mem::replace(&mut worker.samples.progress, progress) != progress {
            return watched.contains(&id).then_some(Event::Beat(id));
        }
        // What a debugger halts makes no progress.
        worker.pid.filter(|pid| proc::is_traced(*pid)).map(|_| Event::Debugged(id))
    };
    arbiter.existing().filter_map(seen).collect()
}

/// Tells once why a worker whose code was changed does not end.
fn tell_debugger(worker: &mut Worker) {
    if worker.told == Some(DrainReason::Changed)
        && !std::mem::replace(&mut worker.samples.told_debugger, true)
    {
        let ((number, task_worker), pid) = (numbers(worker.assignment.slot), worker.pid);
        info!(
            worker = number,
            task_worker, pid, "a debugger holds a worker whose code was changed: it is waited for"
        );
    }
}

fn measure_memory(arbiter: &Arbiter, fleet: &mut Fleet, molds: &Molds) -> Vec<Event> {
    let mut events = Vec::new();
    let mut largest = 0;
    for id in arbiter.watched() {
        let Some(worker) = fleet.get_mut(id) else { continue };
        // The limits of a worker are those of its generation.
        let Some(entry) = molds.get(worker.assignment.generation) else { continue };
        let memory_samples = entry.spec.limits().memory_samples;
        let group = worker.assignment.slot.group;
        let Some(limit_kib) = memory_limit(&entry.spec, group).map(ByteSize::as_kib) else { continue };
        let Some(memory_kib) = worker.pid.and_then(proc::memory) else { continue };
        largest = largest.max(memory_kib);
        let samples = &mut worker.samples;
        samples.over_memory = if memory_kib > limit_kib { samples.over_memory + 1 } else { 0 };
        if samples.over_memory == memory_samples && !samples.leaves_for_memory {
            samples.leaves_for_memory = group == GroupId::TASKS;
            let ((number, task_worker), pid) = (numbers(worker.assignment.slot), worker.pid);
            info!(
                worker = number,
                task_worker, pid, memory_kib, limit_kib, "worker exceeds its memory limit"
            );
            if group == GroupId::TASKS {
                // It says when it has finished what it runs.
                fleet.tell(id, &ToWorker::LameDuck);
            } else {
                events.push(Event::Recycle(id, RecycleReason::Memory));
            }
        }
    }
    let left = proc::memory_left();
    let enough = left.is_none_or(|left| left > largest * HEADROOM_PERCENT / 100);
    debug!(left_kib = left, largest_kib = largest, enough, "memory measured");
    events.push(Event::Headroom(enough));
    events
}
