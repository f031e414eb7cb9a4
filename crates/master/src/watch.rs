//! Looking at the scoreboard now and then: heartbeats, loops that stand still, memory.

use crate::{Limits, fleet::Worker, run::Master, stacks};
use hostler_arbiter::{Event, Reason};
use hostler_sys::{board, clock, proc, process, signal};
use hostler_wire::{Generation, Page, Served, WorkerId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// The longest time between two looks at heartbeats.
const LOOK: Duration = Duration::from_secs(1);
/// A look that comes this much too late says that the machine stood still, not the workers.
const SKIP: Duration = Duration::from_secs(2);
/// A worker and its successor need this much more memory than the worker has, in percent.
const HEADROOM_PERCENT: u64 = 120;

/// When to look next.
pub(crate) struct Watch {
    looked: Instant,
    measured: Instant,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { looked: Instant::now(), measured: Instant::now() }
    }
}

/// How often to look at heartbeats; `None` if nobody wants to know.
fn interval(limits: &Limits, stall_timeout: Option<Duration>) -> Option<Duration> {
    let stall = stall_timeout.map(|limit| LOOK.min(limit / 4));
    let slow = limits.slow_callback.map(|limit| LOOK.min(limit / 2));
    stall.into_iter().chain(slow).min().map(|interval| interval.max(Duration::from_millis(10)))
}

impl Master {
    fn look_interval(&self) -> Option<Duration> {
        if self.arbiter.is_stopping() {
            return None;
        }
        let orders = self.molds.orders().chain([&self.plan.orders]);
        orders.filter_map(|orders| interval(&orders.limits, orders.policy.stall_timeout)).min()
    }

    /// How often memory is to be measured, if it is.
    fn measure_interval(&self) -> Option<Duration> {
        let limits = self.molds.orders().chain([&self.plan.orders]).map(|orders| &orders.limits);
        limits.filter(|limits| limits.max_memory.is_some()).map(|limits| limits.memory_interval).min()
    }

    /// The limits of a worker are those of its generation.
    fn limits_of(&self, generation: Generation) -> &Limits {
        self.molds.get(generation).map_or(&self.plan.orders.limits, |breed| &breed.orders.limits)
    }

    /// When the scoreboard is to be looked at again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let look = self.look_interval().map(|interval| self.watch.looked + interval);
        let measure = self.measure_interval().filter(|_| !self.arbiter.is_stopping());
        look.into_iter().chain(measure.map(|interval| self.watch.measured + interval)).min()
    }

    /// Looks, if it is time to.
    pub(crate) fn look(&mut self, events: &mut VecDeque<Event>) {
        let now = Instant::now();
        if let Some(interval) = self.look_interval() {
            let late = now.saturating_duration_since(self.watch.looked + interval);
            if now >= self.watch.looked + interval {
                if late > SKIP {
                    warn!(?late, "the machine or the master stood still; no worker is blamed for it");
                    events.push_back(Event::Skipped(late));
                }
                self.watch.looked = now;
                self.look_at_loops(events);
            }
        } else {
            self.watch.looked = now;
        }
        if self.measure_interval().is_some_and(|interval| now >= self.watch.measured + interval) {
            self.watch.measured = now;
            self.measure_memory(events);
        }
    }

    fn look_at_loops(&mut self, events: &mut VecDeque<Event>) {
        let now = clock::now();
        let watched: Vec<WorkerId> = self.arbiter.watched().collect();
        for id in watched {
            let Some(worker) = self.fleet.get(id) else { continue };
            let page = self.fleet.page(&worker.post);
            let slow_callback = self.limits_of(worker.post.generation).slow_callback;
            let Some(worker) = self.fleet.get_mut(id) else { continue };
            let beat_at = page.beat_at();
            if std::mem::replace(&mut worker.seen.beat_at, beat_at) != beat_at {
                events.push_back(Event::Beat(id));
            }
            if let Some(limit) = slow_callback {
                look_for_slow_turn(worker, page, limit, now);
            }
        }
    }

    fn measure_memory(&mut self, events: &mut VecDeque<Event>) {
        let watched: Vec<WorkerId> = self.arbiter.watched().collect();
        let mut largest = 0;
        for id in watched {
            let Some(generation) = self.fleet.get(id).map(|worker| worker.post.generation) else { continue };
            let Limits { max_memory, memory_samples, .. } = *self.limits_of(generation);
            let Some(worker) = self.fleet.get_mut(id) else { continue };
            let Some(limit) = max_memory else { continue };
            let Some(memory) = worker.pid.and_then(proc::memory) else { continue };
            largest = largest.max(memory);
            worker.seen.over_memory = if memory > limit { worker.seen.over_memory + 1 } else { 0 };
            if worker.seen.over_memory == memory_samples {
                info!(seat = %worker.post.seat, pid = worker.pid, memory_kib = memory, limit_kib = limit, "worker has too much memory");
                events.push_back(Event::Retire(id, Reason::Memory));
            }
        }
        let left = proc::memory_left();
        let enough = left.is_none_or(|left| left > largest * HEADROOM_PERCENT / 100);
        debug!(?left, largest, enough, "memory measured");
        events.push_back(Event::Headroom(enough));
    }
}

/// Asks a worker whose loop stands still where it is, and reports what it answered the last time.
fn look_for_slow_turn(worker: &mut Worker, page: &'static Page, limit: Duration, now: u64) {
    let turn = page.turns();
    if worker.seen.sampled {
        worker.seen.sampled = false;
        report_slow_turn(worker, page, now);
    }
    let still = Duration::from_nanos(now.saturating_sub(page.turned_at()));
    let watched = worker.interface.is_some_and(Served::is_asynchronous);
    if !watched || page.is_parked() || still < limit || worker.seen.slow_turn == Some(turn) {
        return;
    }
    worker.seen.slow_turn = Some(turn);
    worker.seen.sampled = true;
    if let Some(pid) = worker.pid
        && stacks::clear(&worker.stacks).is_ok()
        && let Err(error) = process::signal_raw(pid, signal::sample())
    {
        debug!(pid, %error, "cannot ask the worker where it is");
    }
}

fn report_slow_turn(worker: &Worker, page: &'static Page, now: u64) {
    let stacks = stacks::read(&worker.stacks);
    let at = stacks::place(&stacks).unwrap_or_else(|| "an unknown place".into());
    let oldest = page.requests_in_flight();
    let still = Duration::from_nanos(now.saturating_sub(page.turned_at())).as_secs_f64();
    let requests = board::describe(&oldest);
    // It may have gone on meanwhile; then the time is that of another turn.
    let still = if worker.seen.slow_turn == Some(page.turns()) { Some(still) } else { None };
    warn!(seat = %worker.post.seat, pid = worker.pid, at, requests, seconds = still, "event loop blocked");
}
