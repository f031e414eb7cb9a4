//! Supervision as a pure state machine: events in, actions out; no I/O and no clock.
//!
//! The master feeds it what happened and when, and carries out what it answers. All rules about when a
//! worker is started, told to drain or killed are here, and only here.
//!
//! ```text
//! Spawning ──spawned──► Booting ──ready──► Serving ──replaced, stop──► Draining ──exited──► (forgotten)
//!                          │ boot timeout     │ stalled                    │ kill deadline
//!                          └───────────► Reporting ──limit──► Draining ──► Killed
//! ```
//! A slot has one incumbent, or two while a successor boots: the old one drains when the new one is ready.
//! Any number of drained ones may linger. After each event the whole fleet is looked at again (`reconcile`),
//! so that a rule is written once and holds whatever happened.
//!
//! A policy belongs to a generation. Its workers live by it to their end, and the fleet as a whole does so once the
//! generation is proven.
//!
//! Files: `event` what comes in and goes out, `policy` numbers, `worker` states, `reconcile` the rules for a running fleet, `reload` generations,
//! `upgrade` another server in this one's place, `stop` the end.

#![forbid(unsafe_code)]

mod event;
mod policy;
mod reconcile;
mod reload;
mod stop;
#[cfg(test)]
mod tests;
mod upgrade;
mod worker;

pub use event::{Action, Event};
pub use policy::Policy;
pub use worker::{DrainReason, KillCause, RecycleReason};

use hostler_wire::{ExitStatus, Generation, SlotId, WorkerId};
use policy::{backoff, unit_random};
use reload::Reload;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use upgrade::Successor;
use worker::{KILL_MARGIN, SPAWN_LIMIT, State, Worker};

/// A point of time: the time since the master started, on a monotonic clock.
pub type Time = Duration;

/// The longest wait for the successor of a worker that served.
const LONGEST_WAIT_AFTER_SERVICE: Duration = Duration::from_millis(400);
/// So many failures in a row are a loop, and are said to be.
const CRASH_LOOP: u32 = 5;
/// A worker that served this long was healthy: the next failure counts as the first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// A place for a worker, and how the last ones in it fared.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Failures in a row, which decide the wait before the next attempt.
    failures: u32,
    spawn_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Told to stop, serving on for a while.
    LameDuck {
        until: Time,
    },
    Stopping {
        quickly: bool,
        status: ExitStatus,
        /// By the user, or because another server took over.
        reason: DrainReason,
    },
    Over,
}

/// The state of the fleet.
#[derive(Clone, Debug)]
pub struct Arbiter {
    /// That of the generation that serves.
    policy: Policy,
    slots: Vec<Slot>,
    workers: BTreeMap<WorkerId, Worker>,
    next_worker: u32,
    generation: Generation,
    can_spawn: BTreeSet<Generation>,
    /// Molds that boot, and until when they may.
    preparing: BTreeMap<Generation, Time>,
    reload: Option<Reload>,
    successor: Option<Successor>,
    /// When the last planned replacement began.
    replaced_at: Option<Time>,
    headroom: bool,
    phase: Phase,
    ever_served: bool,
    /// As PID 1 it cannot exit before the server that took over: the kernel would kill all processes of the namespace.
    is_pid1: bool,
}

impl Arbiter {
    /// A fleet of vacant slots.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            slots: vec![Slot::default(); usize::from(policy.workers)],
            policy,
            workers: BTreeMap::new(),
            next_worker: 1,
            generation: Generation(0),
            can_spawn: BTreeSet::new(),
            preparing: BTreeMap::new(),
            reload: None,
            successor: None,
            replaced_at: None,
            headroom: true,
            phase: Phase::Running,
            ever_served: false,
            is_pid1: false,
        }
    }

    /// As [`Arbiter::new`], for a process that is PID 1 and so cannot exit before a server that took over from it.
    #[must_use]
    pub fn new_as_pid1(policy: Policy) -> Self {
        Self { is_pid1: true, ..Self::new(policy) }
    }

    /// Whether any worker ever became ready.
    #[must_use]
    pub fn ever_served(&self) -> bool {
        self.ever_served
    }

    /// Whether the fleet is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether a new generation is being brought up.
    #[must_use]
    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }

    /// The generation that serves.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    /// How many workers serve.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.workers.values().filter(|worker| worker.is_serving()).count()
    }

    /// Whether the worker ends because it was told to, and not for a fault of its own.
    #[must_use]
    pub fn was_told_to_exit(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_none_or(Worker::was_told_to_exit)
    }

    /// The workers whose loops are watched: those that serve.
    pub fn watched(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.iter().filter(|(_, worker)| worker.is_serving()).map(|(id, _)| *id)
    }

    /// Takes in what happened at `now`.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dispatch(event, now, &mut actions);
        self.reconcile(now, &mut actions);
        actions
    }

    fn dispatch(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Preparing(generation) => self.prepare(generation, now),
            Event::CanSpawn(generation) => {
                self.preparing.remove(&generation);
                self.can_spawn.insert(generation);
            }
            Event::CannotSpawn(generation) => self.stop_spawning(generation, now, actions),
            Event::Reload(generation, policy) => self.begin_reload(generation, policy, now, actions),
            Event::ReloadFailed(generation) => self.abandon_reload(generation, now, actions),
            Event::Spawned(id) => self.spawned(id, now, actions),
            Event::SpawnFailed(id) | Event::Exited(id) => self.exited(id, now, actions),
            Event::Ready(id) => self.ready(id, now),
            Event::BootFailed(id, status) => self.boot_failed(id, status, now, actions),
            Event::StartFailed(status) => self.start_failed(status, now, actions),
            Event::Beat(id) => self.beat(id, now),
            Event::Recycle(id, reason) => self.recycle(id, reason),
            Event::Headroom(enough) => self.headroom = enough,
            Event::Suspended(by) => self.shift_deadlines(by),
            Event::Scale(slots) => self.scale(slots, now, actions),
            Event::StopGracefully => self.stop_by_user(now, actions),
            Event::StopQuickly => self.stop(true, ExitStatus::Clean, DrainReason::Stop, now, actions),
            Event::UpgradeBegan => self.upgrade_began(now, actions),
            Event::SuccessorRuns => self.successor_runs(),
            Event::HandOver => self.hand_over(now, actions),
            Event::SuccessorEnded { clean } => self.successor_ended(clean, actions),
            Event::Tick => {}
        }
    }

    fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(id.index).checked_sub(1)?)
    }

    fn spawned(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_spawning()) else { return };
        let kill_at = worker.policy.boot_timeout.map(|timeout| now + timeout);
        worker.state = State::Booting { kill_at };
        let generation = worker.generation;
        if !self.is_stopping() {
            self.await_forks(generation, Some(now + SPAWN_LIMIT));
        }
        self.quit_unneeded(id, now, actions);
    }

    /// Sets until when the mold of this generation is to have forked another worker.
    fn await_forks(&mut self, generation: Generation, until: Option<Time>) {
        for worker in self.workers.values_mut().filter(|worker| worker.generation == generation) {
            if let State::Spawning { give_up_at } = &mut worker.state {
                *give_up_at = give_up_at.and(until);
            }
        }
    }

    fn ready(&mut self, id: WorkerId, now: Time) {
        self.ever_served = true;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.state {
            State::Booting { .. } => {
                let recycle_at = worker.policy.recycling(now, u64::from(id.0));
                worker.state = State::Serving { since: now, beat: now, recycle_at, recycle: None };
            }
            State::Draining { .. } if worker.dismissed => {
                let kill_at = now + worker.policy.graceful_timeout + KILL_MARGIN;
                worker.state = State::Draining { kill_at, cause: KillCause::GracefulTimeout };
            }
            _ => {}
        }
    }

    fn beat(&mut self, id: WorkerId, now: Time) {
        if let Some(Worker { state: State::Serving { beat, .. }, .. }) = self.workers.get_mut(&id) {
            *beat = now;
        }
    }

    fn recycle(&mut self, id: WorkerId, reason: RecycleReason) {
        if let Some(Worker { state: State::Serving { recycle, .. }, .. }) = self.workers.get_mut(&id) {
            recycle.get_or_insert(reason);
        }
    }

    /// Nobody could turn, boot or finish while the machine stood still.
    fn shift_deadlines(&mut self, by: Duration) {
        self.preparing.values_mut().for_each(|give_up_at| *give_up_at += by);
        if let Some(Successor::Stopping { kill_at: Some(at) }) = &mut self.successor {
            *at += by;
        }
        for worker in self.workers.values_mut() {
            match &mut worker.state {
                State::Spawning { give_up_at: Some(at) }
                | State::Booting { kill_at: Some(at) }
                | State::Draining { kill_at: at, .. } => *at += by,
                State::Serving { beat, .. } => *beat += by,
                State::Booting { .. }
                | State::Spawning { .. }
                | State::Reporting { .. }
                | State::Killed { .. } => {}
            }
        }
    }

    fn exited(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        // Whoever drained or was killed went as planned.
        if !worker.is_incumbent() {
            return;
        }
        if self.reload.as_ref().is_some_and(|reload| reload.generation == worker.generation) {
            return self.abandon_reload(worker.generation, now, actions);
        }
        self.count_failure(worker, now, actions);
    }

    fn count_failure(&mut self, worker: Worker, now: Time, actions: &mut Vec<Action>) {
        let (served, healthy) = match worker.state {
            State::Serving { since, .. } => (true, now.saturating_sub(since) >= HEALTHY_AFTER),
            _ => (false, false),
        };
        let seed = self.policy.seed;
        let Some(slot) = self.slot_mut(worker.slot) else { return };
        if healthy {
            slot.failures = 0;
        }
        let wait = backoff(slot.failures, unit_random(seed, u64::from(slot.failures)));
        // It can serve: whatever ended it, a slot that stays vacant for long helps nobody.
        let wait = if served { wait.min(LONGEST_WAIT_AFTER_SERVICE) } else { wait };
        slot.spawn_at = now + wait;
        slot.failures = slot.failures.saturating_add(1);
        if slot.failures >= CRASH_LOOP {
            actions.push(Action::CrashLoop(worker.slot, wait));
        }
    }

    /// Before anything served, a boot failure is a failure of the whole start.
    fn boot_failed(&mut self, id: WorkerId, status: ExitStatus, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get(&id) else { return };
        if !self.ever_served {
            self.start_failed(status, now, actions);
        } else if self.reload.as_ref().is_some_and(|reload| reload.generation == worker.generation) {
            self.abandon_reload(worker.generation, now, actions);
        }
    }

    fn start_failed(&mut self, status: ExitStatus, now: Time, actions: &mut Vec<Action>) {
        if !self.ever_served && self.phase == Phase::Running {
            self.stop(true, status, DrainReason::Stop, now, actions);
        }
    }

    /// The policy by which workers of this generation live.
    fn policy_of(&self, generation: Generation) -> Policy {
        match &self.reload {
            Some(reload) if reload.generation == generation => reload.policy,
            _ => self.policy,
        }
    }

    /// With --preload the application is imported in the mold.
    fn prepare(&mut self, generation: Generation, now: Time) {
        if let Some(timeout) = self.policy_of(generation).boot_timeout {
            self.preparing.insert(generation, now + timeout);
        }
    }

    /// The user's last word on the number of workers holds for a generation on its way, too.
    fn scale(&mut self, slots: u16, now: Time, actions: &mut Vec<Action>) {
        self.slots.resize(usize::from(slots), Slot::default());
        match &mut self.reload {
            // Nobody would prove it.
            Some(Reload { generation, .. }) if slots == 0 => {
                let generation = *generation;
                self.abandon_reload(generation, now, actions);
            }
            Some(reload) => reload.policy.workers = slots,
            None => {}
        }
    }

    /// Requests to a mold that it did not fulfil will not be fulfilled any more.
    fn stop_spawning(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        self.preparing.remove(&generation);
        self.can_spawn.remove(&generation);
        self.workers.retain(|_, worker| !worker.is_spawning() || worker.generation != generation);
        if self.reload.as_ref().is_some_and(|reload| reload.generation == generation) {
            self.abandon_reload(generation, now, actions);
        }
    }
}
