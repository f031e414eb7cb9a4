//! Looking at the scoreboard now and then: heartbeats, memory.

use crate::{GenerationSpec, run::Master};
use hostler_arbiter::{Event, RecycleReason};
use hostler_settings::{ByteSize, Supervision};
use hostler_sys::proc;
use hostler_wire::{Generation, WorkerId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// The longest time between two looks at heartbeats.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// A look that comes this much too late says that the machine stood still, not the workers.
const SUSPENDED_AFTER: Duration = Duration::from_secs(2);
/// A worker and its successor need this much more memory than the worker has, in percent.
const HEADROOM_PERCENT: u64 = 120;

/// When to look next.
pub(crate) struct Watch {
    sampled_at: Instant,
    measured_at: Instant,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { sampled_at: Instant::now(), measured_at: Instant::now() }
    }
}

/// How often to look at heartbeats; `None` if nobody wants to know.
fn interval(stall_timeout: Option<Duration>) -> Option<Duration> {
    stall_timeout.map(|limit| SAMPLE_INTERVAL.min(limit / 4).max(Duration::from_millis(10)))
}

impl Master {
    fn sample_interval(&self) -> Option<Duration> {
        if self.arbiter.is_stopping() {
            return None;
        }
        let spec = self.molds.specs().chain([&self.plan.spec]);
        spec.filter_map(|spec| interval(spec.limits().stall_timeout)).min()
    }

    /// How often memory is to be measured, if it is.
    fn measure_interval(&self) -> Option<Duration> {
        let limits = self.molds.specs().chain([&self.plan.spec]).map(GenerationSpec::limits);
        limits.filter(|limits| limits.max_memory.is_some()).map(|limits| limits.memory_interval).min()
    }

    /// The limits of a worker are those of its generation.
    fn limits_of(&self, generation: Generation) -> &Supervision {
        self.molds.get(generation).map_or(&self.plan.spec, |entry| &entry.spec).limits()
    }

    /// When the scoreboard is to be looked at again.
    pub(crate) fn next_sample(&self) -> Option<Instant> {
        let look = self.sample_interval().map(|interval| self.watch.sampled_at + interval);
        let measure = self.measure_interval().filter(|_| !self.arbiter.is_stopping());
        look.into_iter().chain(measure.map(|interval| self.watch.measured_at + interval)).min()
    }

    /// Looks, if it is time to.
    pub(crate) fn sample(&mut self, events: &mut VecDeque<Event>) {
        let now = Instant::now();
        if let Some(interval) = self.sample_interval() {
            let late = now.saturating_duration_since(self.watch.sampled_at + interval);
            if now >= self.watch.sampled_at + interval {
                if late > SUSPENDED_AFTER {
                    let late_seconds = late.as_secs_f64();
                    warn!(
                        late = late_seconds,
                        "the machine or the master stood still; no worker is blamed for it"
                    );
                    events.push_back(Event::Suspended(late));
                }
                self.watch.sampled_at = now;
                self.sample_heartbeats(events);
            }
        } else {
            self.watch.sampled_at = now;
        }
        if self.measure_interval().is_some_and(|interval| now >= self.watch.measured_at + interval) {
            self.watch.measured_at = now;
            self.measure_memory(events);
        }
    }

    fn sample_heartbeats(&mut self, events: &mut VecDeque<Event>) {
        let watched: Vec<WorkerId> = self.arbiter.watched().collect();
        for id in watched {
            let Some(worker) = self.fleet.get(id) else { continue };
            let page = self.fleet.page(&worker.assignment);
            let Some(worker) = self.fleet.get_mut(id) else { continue };
            let beat_at = page.beat_at();
            if std::mem::replace(&mut worker.seen.beat_at, beat_at) != beat_at {
                events.push_back(Event::Beat(id));
            }
        }
    }

    fn measure_memory(&mut self, events: &mut VecDeque<Event>) {
        let watched: Vec<WorkerId> = self.arbiter.watched().collect();
        let mut largest = 0;
        for id in watched {
            let Some(generation) = self.fleet.get(id).map(|worker| worker.assignment.generation) else {
                continue;
            };
            let Supervision { max_memory, memory_samples, .. } = *self.limits_of(generation);
            let Some(worker) = self.fleet.get_mut(id) else { continue };
            let Some(limit) = max_memory.map(ByteSize::as_kib) else { continue };
            let Some(memory) = worker.pid.and_then(proc::memory) else { continue };
            largest = largest.max(memory);
            worker.seen.over_memory = if memory > limit { worker.seen.over_memory + 1 } else { 0 };
            if worker.seen.over_memory == memory_samples {
                info!(
                    worker = worker.assignment.slot.index,
                    pid = worker.pid,
                    memory_kib = memory,
                    limit_kib = limit,
                    "worker has too much memory"
                );
                events.push_back(Event::Recycle(id, RecycleReason::Memory));
            }
        }
        let left = proc::memory_left();
        let enough = left.is_none_or(|left| left > largest * HEADROOM_PERCENT / 100);
        debug!(left, largest, enough, "memory measured");
        events.push_back(Event::Headroom(enough));
    }
}
