//! What is done whenever anything happened: deadlines, vacant slots, the next deadline.

use crate::{
    Action, Arbiter, Done, DrainReason, KillCause, OnReload, Phase, Stop, Time,
    stop::Haste,
    worker::{KILL_MARGIN, REPORT_LIMIT, State, Worker},
};
use hostler_wire::{ExitStatus, SlotId, WorkerId};
use std::collections::BTreeSet;

impl Arbiter {
    /// When the next [`crate::Event::Tick`] is due, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let watched = !self.is_winding_up();
        let workers = self.workers.values().filter_map(|worker| worker.deadline(watched));
        let phase = match self.phase {
            Phase::LameDuck { until } => Some(until),
            Phase::Running | Phase::Stopping { .. } | Phase::Over => None,
        };
        let molds = self.preparing.values().copied().filter(|_| self.is_growing());
        let others = [phase, self.next_spawn(), self.next_recycling(), self.successor_deadline()];
        workers.chain(molds).chain(others.into_iter().flatten()).min()
    }

    /// Stalls are detected until the fleet is told to exit.
    fn is_winding_up(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Over)
    }

    /// Processes are added only to a fleet that is to last.
    pub(crate) fn is_growing(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(crate) fn reconcile(&mut self, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::LameDuck { until } if now >= until) {
            self.stop(Haste::Graceful, ExitStatus::Clean, DrainReason::Stop, now, actions);
        }
        self.enforce_deadlines(now, actions);
        self.note_groups_that_serve();
        self.enforce_successors_deadline(now, actions);
        if self.is_growing() {
            self.give_up_molds(now, actions);
        }
        if self.is_growing() {
            self.fill_slots(now, actions);
            self.drive_reload(now, actions);
            self.complete_replacements(now, actions);
            self.begin_replacements(now, actions);
        }
        self.drain_in_order(now, actions);
        self.end_listening(actions);
        self.exit_when_empty(actions);
    }

    pub(crate) fn slot_ids(&self) -> Vec<SlotId> {
        self.groups.iter().flat_map(crate::group::GroupState::slot_ids).collect()
    }

    fn enforce_deadlines(&mut self, now: Time, actions: &mut Vec<Action>) {
        let watched = !self.is_winding_up();
        let due = self.ids(|worker| worker.deadline(watched).is_some_and(|due| now >= due));
        for id in due {
            self.enforce(id, now, actions);
        }
    }

    fn enforce(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let was = *worker;
        match was.state {
            State::Killed { .. } | State::Spawning { give_up_at: None } => {}
            State::Spawning { give_up_at: Some(_) } => {
                self.await_forks(was.generation, None);
                actions.push(Action::GiveUp(was.generation));
                self.abandon_reload(was.generation, now, actions);
            }
            // It knows no messages, and has no stacks to show.
            State::Booting { .. } if was.group.stop == Stop::Signal => {
                let (kill_at, cause) =
                    (now + was.group.policy.graceful_timeout + KILL_MARGIN, KillCause::BootTimeout);
                worker.state = State::Draining { kill_at, cause };
                actions.push(Action::Terminate(id, cause));
                self.boot_timed_out(was, now, actions);
            }
            State::Booting { .. } | State::Serving { .. } => {
                let booting = matches!(was.state, State::Booting { .. });
                let cause = if booting { KillCause::BootTimeout } else { KillCause::Stall };
                worker.state = State::Reporting { until: now + REPORT_LIMIT, cause };
                actions.push(Action::Report(id, cause));
                if booting {
                    self.boot_timed_out(was, now, actions);
                }
            }
            State::Reporting { cause, .. } => {
                worker.state = State::Draining { kill_at: now + KILL_MARGIN, cause };
                actions.push(Action::Terminate(id, cause));
            }
            State::Draining { cause, .. } => {
                worker.state = State::Killed { cause };
                actions.push(Action::Kill(id, cause));
            }
        }
    }

    fn give_up_molds(&mut self, now: Time, actions: &mut Vec<Action>) {
        let due = self.preparing.iter().filter(|(_, give_up_at)| now >= **give_up_at);
        let due: Vec<_> = due.map(|(generation, _)| *generation).collect();
        for generation in due {
            self.preparing.remove(&generation);
            actions.push(Action::GiveUp(generation));
            if generation == self.generation {
                self.start_failed(ExitStatus::Boot, now, actions);
            }
            self.abandon_reload(generation, now, actions);
        }
    }

    /// A boot that takes too long is one that failed.
    fn boot_timed_out(&mut self, worker: Worker, now: Time, actions: &mut Vec<Action>) {
        if self.is_reloading_to(worker.generation) {
            self.abandon_reload(worker.generation, now, actions);
        } else {
            self.count_failure(worker, now, actions);
        }
    }

    /// Whether the process's slot is one of its generation's.
    pub(crate) fn has_slot(&self, worker: &Worker) -> bool {
        let SlotId { group, index } = worker.slot;
        if self.is_reloading_to(worker.generation) {
            let group = self.group_of(group, worker.generation);
            return group.is_some_and(|group| index <= group.policy.workers);
        }
        self.group(group).is_some_and(|state| state.has(index))
    }

    /// All processes that serve in this slot or are on the way to it, those of a coming generation aside.
    pub(crate) fn incumbents(&self, slot: SlotId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let generation = self.generation;
        let counts = move |worker: &Worker| {
            worker.generation == generation || worker.group.reload != OnReload::Replace
        };
        self.workers
            .iter()
            .filter(move |(_, worker)| worker.slot == slot && counts(worker) && worker.is_incumbent())
            .map(|(id, worker)| (*id, worker))
    }

    /// Slots without a process that could have one.
    fn vacant_slots(&self) -> impl Iterator<Item = SlotId> {
        let makeable = self
            .groups
            .iter()
            .filter(|state| self.can_make(&state.group, self.generation) && self.may_start(&state.group));
        makeable.flat_map(move |state| {
            let exclusive = state.group.exclusive;
            let open = state.numbered().filter(|(_, slot)| slot.done == Done::No);
            open.map(|(id, _)| id).filter(move |slot| match exclusive {
                true => !self.is_occupied(*slot),
                false => self.incumbents(*slot).next().is_none(),
            })
        })
    }

    /// Whether there is a process in this slot, be it one that ends.
    pub(crate) fn is_occupied(&self, slot: SlotId) -> bool {
        self.workers.values().any(|worker| worker.slot == slot)
    }

    /// Takes note of groups of which all processes serve: those that come after them may start.
    fn note_groups_that_serve(&mut self) {
        let served: BTreeSet<SlotId> =
            self.workers.values().filter(|worker| worker.is_serving()).map(|worker| worker.slot).collect();
        for state in self.groups.iter_mut().filter(|state| !state.was_up) {
            let is_up = state.numbered().all(|(id, slot)| slot.done == Done::Well || served.contains(&id));
            state.was_up = is_up;
        }
    }

    pub(crate) fn spawn_at(&self, slot: SlotId) -> Time {
        let slots = self.group(slot.group).map_or(&[][..], |state| &state.slots);
        slots.get(usize::from(slot.index) - 1).map_or(Time::ZERO, |slot| slot.spawn_at)
    }

    fn next_spawn(&self) -> Option<Time> {
        if !self.is_growing() {
            return None;
        }
        self.vacant_slots().map(|slot| self.spawn_at(slot)).min()
    }

    pub(crate) fn fill_slots(&mut self, now: Time, actions: &mut Vec<Action>) {
        for id in self.ids(|worker| !self.has_slot(worker)) {
            self.drain(id, DrainReason::FewerWorkers, now, actions);
        }
        let vacant: Vec<_> = self.vacant_slots().filter(|slot| now >= self.spawn_at(*slot)).collect();
        for slot in vacant {
            self.spawn(slot, self.generation, now, actions);
        }
    }
}
