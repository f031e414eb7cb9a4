//! Supervision as a pure state machine: events in, actions out; no I/O and no clock.
//!
//! The master feeds it what happened and when, and carries out the actions that it returns. All rules about when a
//! process is started, told to drain or killed are here, and only here.
//!
//! ```text
//! Spawning ──spawned──► Booting ──ready──► Serving ──replaced, stop──► Draining ──exited──► (forgotten)
//!                          │ boot timeout     │ stalled                    │ kill deadline
//!                          └───────────► Reporting ──limit──► Draining ──► Killed
//! ```
//! Processes are supervised in groups ([`Group`]): the workers that serve HTTP are one, programs beside them others. What
//! differs between kinds of processes is a field of the group; the states are the same for all.
//!
//! A slot has one incumbent, or two while a successor boots: the old one drains when the new one is ready.
//! Any number of drained ones may linger. After each event the whole fleet is looked at again (`reconcile`),
//! so that a rule is written once and holds whatever happened.
//!
//! A group's policy belongs to a generation. Its processes live by it to their end, and the group as a whole does so once
//! the generation is proven.
//!
//! Files: `event` what comes in and goes out, `group` kinds of processes, `policy` numbers, `worker` states of a process,
//! `lifecycle` from its start to its exit, `reconcile` the rules for a running fleet, `replace` planned replacement,
//! `reload` generations, `upgrade` another server in this one's place, `stop` the end; `scaling` how many processes a group needs.

#![forbid(unsafe_code)]

mod event;
mod group;
mod lifecycle;
mod policy;
mod reconcile;
mod reload;
mod replace;
mod scaling;
mod stop;
#[cfg(test)]
mod tests;
mod upgrade;
mod worker;

pub use event::{Action, Event};
pub use group::{Group, GroupSet, Launch, Liveness, OnReload, Readiness, Stop};
pub use policy::Policy;
pub use scaling::{Bounds, Change, Load, Need, Reason, Scaler};
pub use worker::{DrainReason, KillCause, RecycleReason};

use group::GroupState;
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};
use reload::Reload;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use stop::Haste;
use upgrade::Successor;
use worker::Worker;

/// A point of time: the time since the master started, on a monotonic clock.
pub type Time = Duration;

/// A place for a process, and how the last ones in it fared.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Failures in a row, which decide the wait before the next attempt.
    failures: u32,
    spawn_at: Time,
    /// There is to be no process here; the number is free.
    is_retired: bool,
    /// Its process has ended, and is not started again.
    done: Done,
}

/// Whether what a process was to do is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Done {
    /// It is to run on.
    #[default]
    No,
    Well,
    Badly,
}

/// Why a slot has no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// Its last one has done what it was to do.
    Finished,
    /// Its last one has failed, and is not started again.
    Failed,
    /// Others have to serve before it is started.
    WaitsForOthers,
    /// It is started at this time.
    UntilNextAttempt(Time),
    /// The server stops.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Told to stop, serving on for a while.
    LameDuck {
        until: Time,
    },
    Stopping {
        haste: Haste,
        status: ExitStatus,
        /// By the user, or because another server took over.
        reason: DrainReason,
    },
    Over,
}

/// What becomes of the listening sockets when the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    Open,
    /// They take no new connections; what waits is accepted.
    Refusing,
    Ended,
}

/// The state of the fleet.
#[derive(Clone, Debug)]
pub struct Arbiter {
    /// Those of the generation that serves; a group that it has no more has no slots.
    groups: Vec<GroupState>,
    workers: BTreeMap<WorkerId, Worker>,
    next_worker: u32,
    generation: Generation,
    /// Generations whose molds can fork.
    can_spawn: BTreeSet<Generation>,
    /// Molds that boot, and until when they may.
    preparing: BTreeMap<Generation, Time>,
    reload: Option<Reload>,
    successor: Option<Successor>,
    headroom: bool,
    phase: Phase,
    listening: Listening,
    ever_served: bool,
    /// Another server still has the processes that an upgrade hands on.
    awaits_processes: bool,
    /// As PID 1 it cannot exit before the server that took over: the kernel would kill all processes of the namespace.
    is_pid1: bool,
}

impl Arbiter {
    /// A fleet of vacant slots.
    #[must_use]
    pub fn new(groups: &[Group]) -> Self {
        Self {
            groups: groups.iter().copied().map(GroupState::new).collect(),
            workers: BTreeMap::new(),
            next_worker: 1,
            generation: Generation(0),
            can_spawn: BTreeSet::new(),
            preparing: BTreeMap::new(),
            reload: None,
            successor: None,
            headroom: true,
            phase: Phase::Running,
            listening: Listening::Open,
            ever_served: false,
            awaits_processes: false,
            is_pid1: false,
        }
    }

    /// As [`Arbiter::new`], for a process that is PID 1 and so cannot exit before a server that took over from it.
    #[must_use]
    pub fn new_as_pid1(groups: &[Group]) -> Self {
        Self { is_pid1: true, ..Self::new(groups) }
    }

    /// It replaces another server, which still has the processes that an upgrade hands on.
    #[must_use]
    pub fn awaiting_processes(self, awaits_processes: bool) -> Self {
        Self { awaits_processes, ..self }
    }

    /// Whether any process of a group that gates the start-up ever became ready.
    #[must_use]
    pub fn ever_served(&self) -> bool {
        self.ever_served
    }

    /// Whether the fleet is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether the server was told to stop, and serves on for a while.
    #[must_use]
    pub fn is_lame_duck(&self) -> bool {
        matches!(self.phase, Phase::LameDuck { .. })
    }

    /// Whether another request to stop would cut even those short that a quick stop leaves their time.
    #[must_use]
    pub fn is_stopping_quickly(&self) -> bool {
        matches!(self.phase, Phase::Stopping { haste: Haste::Quick | Haste::AtOnce, .. })
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

    /// How many slots a group has.
    #[must_use]
    pub fn slots(&self, group: GroupId) -> u16 {
        self.group(group).map_or(0, GroupState::count)
    }

    /// How many processes of a group serve.
    #[must_use]
    pub fn serving(&self, group: GroupId) -> usize {
        self.workers.values().filter(|worker| worker.is_serving() && worker.slot.group == group).count()
    }

    /// Whether there is a group, or a process of it.
    #[must_use]
    pub fn has(&self, group: GroupId) -> bool {
        self.group(group).is_some_and(|state| state.count() > 0)
            || self.workers.values().any(|worker| worker.slot.group == group)
    }

    /// How many failures there were in a row in a slot.
    #[must_use]
    pub fn failures(&self, slot: SlotId) -> u32 {
        self.slot(slot).map_or(0, |slot| slot.failures)
    }

    /// Whether a group has this slot.
    #[must_use]
    pub fn has_slot_of(&self, slot: SlotId) -> bool {
        self.group(slot.group).is_some_and(|state| state.has(slot.index))
    }

    /// The processes in a slot, those that end included.
    pub fn processes_in(&self, slot: SlotId) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.iter().filter(move |(_, worker)| worker.slot == slot).map(|(id, _)| *id)
    }

    /// Why a slot has no process.
    #[must_use]
    pub fn vacancy(&self, slot: SlotId) -> Vacancy {
        let may_start = self.group(slot.group).is_some_and(|state| self.may_start(&state.group));
        match self.slot(slot).map(|slot| (slot.done, slot.spawn_at)) {
            Some((Done::Well, _)) => Vacancy::Finished,
            Some((Done::Badly, _)) => Vacancy::Failed,
            _ if !self.is_growing() => Vacancy::Stopped,
            Some((Done::No, at)) if may_start => Vacancy::UntilNextAttempt(at),
            Some((Done::No, _)) | None => Vacancy::WaitsForOthers,
        }
    }

    fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.group(id.group)?.slots.get(usize::from(id.index).checked_sub(1)?)
    }

    /// Whether all slots of a group are served.
    #[must_use]
    pub fn is_served(&self, group: GroupId) -> bool {
        self.serving(group) >= usize::from(self.slots(group))
    }

    /// Whether everything serves that gates the start-up, and not nothing at all.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut gates = self.groups.iter().filter(|state| state.group.gates_startup);
        let complete = |state: &GroupState| self.serving(state.group.id) >= usize::from(state.count());
        let serves = self.workers.values().any(|worker| worker.is_serving() && worker.group.gates_startup);
        serves && gates.all(complete)
    }

    /// Whether the process is of the generation that serves, and on the way to it.
    #[must_use]
    pub fn is_booting(&self, id: WorkerId) -> bool {
        let booting = |worker: &Worker| worker.is_booting() && worker.generation == self.generation;
        self.workers.get(&id).is_some_and(booting)
    }

    /// All processes that exist.
    pub fn existing(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.iter().filter(|(_, worker)| !worker.is_spawning()).map(|(id, _)| *id)
    }

    /// The processes of a group that serve, with their slots. One that a reload brings up counts, too.
    pub fn serving_in(&self, group: GroupId) -> impl Iterator<Item = (WorkerId, SlotId)> + '_ {
        let serving = move |worker: &Worker| worker.is_serving() && worker.slot.group == group;
        self.workers.iter().filter(move |(_, worker)| serving(worker)).map(|(id, worker)| (*id, worker.slot))
    }

    /// Whether the process serves, and was not told to drain.
    #[must_use]
    pub fn serves(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(Worker::is_serving)
    }

    /// Whether the process has not ended.
    #[must_use]
    pub fn exists(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id)
    }

    /// Whether the process, of any generation, prepares to serve, or took too long to.
    #[must_use]
    pub fn boots(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(Worker::boots)
    }

    /// Whether a group has processes beyond its slots, which end.
    #[must_use]
    pub fn has_surplus(&self, group: GroupId) -> bool {
        let Some(state) = self.group(group) else { return false };
        self.workers.values().any(|worker| worker.slot.group == group && !state.has(worker.slot.index))
    }

    /// Whether another server is on its way to take over.
    #[must_use]
    pub fn is_upgrading(&self) -> bool {
        self.successor.is_some() && !self.is_replaced()
    }

    /// Whether the process ends because it was told to, and not for a fault of its own.
    #[must_use]
    pub fn was_told_to_exit(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_none_or(Worker::was_told_to_exit)
    }

    /// The processes whose heartbeats are watched: those that serve and have some.
    pub fn watched(&self) -> impl Iterator<Item = WorkerId> + '_ {
        let beats = |worker: &Worker| worker.is_serving() && worker.group.liveness == Liveness::Beat;
        self.workers.iter().filter(move |(_, worker)| beats(worker)).map(|(id, _)| *id)
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
            Event::Reload(generation, groups) => self.begin_reload(generation, groups, now, actions),
            Event::Restart(generation, groups) => self.restart(generation, groups, now, actions),
            Event::ReloadFailed(generation) => self.abandon_reload(generation, now, actions),
            Event::Spawned(id) => self.spawned(id, now, actions),
            Event::AcceptsNoMore(id) => self.accepts_no_more(id),
            Event::SpawnFailed(id) | Event::Exited(id) => self.exited(id, now, actions),
            Event::Finished { worker, well } => self.finished(worker, well, now, actions),
            Event::Ready(id) => self.ready(id, now),
            Event::BootFailed(id, status) => self.boot_failed(id, status, now, actions),
            Event::StartFailed(status) => self.start_failed(status, now, actions),
            Event::Beat(id) => self.beat(id, now),
            Event::Debugged(id) => self.debugged(id, now),
            Event::Recycle(id, reason) => self.recycle(id, reason),
            Event::Keep(id) => self.keep(id),
            Event::TryNow(slot) => self.try_now(slot, now, actions),
            Event::Headroom(enough) => self.headroom = enough,
            Event::Suspended(by) => self.shift_deadlines(by),
            Event::Scale(group, slots) => self.scale(group, slots, now, actions),
            Event::Retire(slot) => self.retire(slot, now, actions),
            Event::StopGracefully => self.stop_by_user(now, actions),
            Event::StopQuickly => self.stop_more_quickly(now, actions),
            Event::ProcessesHandedOn => self.awaits_processes = false,
            Event::UpgradeBegan => self.upgrade_began(now, actions),
            Event::SuccessorRuns => self.successor_runs(),
            Event::HandOver => self.hand_over(now, actions),
            Event::SuccessorEnded { clean } => self.successor_ended(clean, actions),
            Event::Tick => {}
        }
    }

    fn group(&self, id: GroupId) -> Option<&GroupState> {
        self.groups.iter().find(|state| state.group.id == id)
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut GroupState> {
        self.groups.iter_mut().find(|state| state.group.id == id)
    }

    fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.group_mut(id.group)?.slots.get_mut(usize::from(id.index).checked_sub(1)?)
    }

    fn ids(&self, which: impl Fn(&Worker) -> bool) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| which(worker)).map(|(id, _)| *id).collect()
    }

    /// What a generation says of a group.
    fn group_of(&self, id: GroupId, generation: Generation) -> Option<Group> {
        match &self.reload {
            Some(reload) if reload.generation == generation => {
                reload.groups.iter().find(|group| group.id == id).copied()
            }
            _ => self.group(id).map(|state| state.group),
        }
    }

    /// Whether processes of this group and generation can be made now.
    fn can_make(&self, group: &Group, generation: Generation) -> bool {
        group.launch == Launch::Direct || self.can_spawn.contains(&generation)
    }
}
