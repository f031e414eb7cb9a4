//! What is done whenever anything happened: deadlines, vacant slots, retirements, the next deadline.

use crate::{
    Action, Arbiter, DrainReason, KillCause, Phase, Time,
    worker::{KILL_MARGIN, REPORT_LIMIT, SPAWN_LIMIT, State, Worker},
};
use hostler_wire::{ExitStatus, Generation, SlotId, WorkerId};

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

    /// Stalls are looked for until everybody has been told to leave.
    fn is_winding_up(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Over)
    }

    /// Workers are added only to a fleet that is to last.
    fn is_growing(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(crate) fn reconcile(&mut self, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::LameDuck { until } if now >= until) {
            self.stop(false, ExitStatus::Clean, DrainReason::Stop, now, actions);
        }
        self.enforce_deadlines(now, actions);
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
        self.exit_when_empty(actions);
    }

    pub(crate) fn slot_ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (1..=self.slots()).map(SlotId::http)
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
        if self.reload.is_some_and(|reload| reload.generation == worker.generation) {
            self.abandon_reload(worker.generation, now, actions);
        } else {
            self.count_failure(worker, now, actions);
        }
    }

    pub(crate) fn spawn(
        &mut self,
        slot: SlotId,
        generation: Generation,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let policy = self.policy_of(generation);
        let state = State::Spawning { give_up_at: Some(now + SPAWN_LIMIT) };
        self.workers.insert(id, Worker { slot, generation, policy, state, dismissed: false });
        actions.push(Action::Spawn(id, slot, generation));
    }

    /// How many slots a generation has or is to have.
    fn slots_of(&self, generation: Generation) -> u16 {
        match &self.reload {
            Some(reload) if reload.generation == generation => reload.policy.workers,
            _ => self.slots(),
        }
    }

    /// Whether the worker's slot is one of its generation's.
    pub(crate) fn has_slot(&self, worker: &Worker) -> bool {
        worker.slot.index <= self.slots_of(worker.generation)
    }

    /// Everybody of the serving generation who serves in this slot or is on the way to it.
    fn incumbents(&self, slot: SlotId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let generation = self.generation;
        self.workers
            .iter()
            .filter(move |(_, worker)| {
                worker.slot == slot && worker.generation == generation && worker.is_incumbent()
            })
            .map(|(id, worker)| (*id, worker))
    }

    fn vacant_slots(&self) -> impl Iterator<Item = SlotId> {
        self.slot_ids().filter(|slot| self.incumbents(*slot).next().is_none())
    }

    fn spawn_at(&self, slot: SlotId) -> Time {
        self.slots.get(usize::from(slot.index) - 1).map_or(Time::ZERO, |slot| slot.spawn_at)
    }

    fn next_spawn(&self) -> Option<Time> {
        if !self.is_growing() || !self.can_spawn.contains(&self.generation) {
            return None;
        }
        self.vacant_slots().map(|slot| self.spawn_at(slot)).min()
    }

    fn fill_slots(&mut self, now: Time, actions: &mut Vec<Action>) {
        for id in self.ids(|worker| !self.has_slot(worker)) {
            self.drain(id, DrainReason::FewerWorkers, now, actions);
        }
        if !self.can_spawn.contains(&self.generation) {
            return;
        }
        let vacant: Vec<_> = self.vacant_slots().filter(|slot| now >= self.spawn_at(*slot)).collect();
        for slot in vacant {
            self.spawn(slot, self.generation, now, actions);
        }
    }

    /// Where a successor serves, its predecessors drain.
    fn complete_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        let slots: Vec<_> = self.slot_ids().collect();
        for slot in slots {
            let serving: Vec<WorkerId> =
                self.incumbents(slot).filter(|(_, worker)| worker.is_serving()).map(|(id, _)| id).collect();
            let Some((_, old)) = serving.split_last() else { continue };
            for id in old {
                let recycled = self.workers.get(id).and_then(|worker| worker.recycling(now));
                self.drain(
                    *id,
                    recycled.map_or(DrainReason::FewerWorkers, DrainReason::Recycle),
                    now,
                    actions,
                );
            }
        }
    }

    /// Slots in which a successor is on its way.
    fn replacing(&self) -> usize {
        self.slot_ids().filter(|slot| self.incumbents(*slot).count() > 1).count()
    }

    /// The earliest time at which another replacement may begin, if one may.
    fn next_replacement_at(&self) -> Option<Time> {
        let free = self.is_growing()
            && self.reload.is_none()
            && self.can_spawn.contains(&self.generation)
            && self.replacing() < usize::from(self.policy.max_replacing);
        free.then(|| self.replaced_at.map_or(Time::ZERO, |at| at + self.policy.respawn_interval))
    }

    fn next_recycling(&self) -> Option<Time> {
        let earliest = self.next_replacement_at()?;
        let due = self.slot_ids().filter_map(|slot| {
            let (_, worker) = self.only_incumbent(slot)?;
            let State::Serving { recycle_at, recycle, .. } = worker.state else { return None };
            let due = if recycle.is_some() { Some(Time::ZERO) } else { recycle_at };
            due.map(|due| due.max(earliest).max(self.spawn_at(slot)))
        });
        due.min()
    }

    fn only_incumbent(&self, slot: SlotId) -> Option<(WorkerId, &Worker)> {
        let mut incumbents = self.incumbents(slot);
        incumbents.next().filter(|_| incumbents.next().is_none())
    }

    fn begin_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        while self.next_replacement_at().is_some_and(|at| now >= at) {
            let due = self.slot_ids().filter(|slot| now >= self.spawn_at(*slot)).find_map(|slot| {
                let (id, worker) = self.only_incumbent(slot)?;
                worker.recycling(now).map(|reason| (slot, id, reason))
            });
            let Some((slot, id, reason)) = due else { return };
            self.replaced_at = Some(now);
            if !self.headroom && self.serving() > 1 {
                // The slot is vacant from now on and is filled by the rule for vacant slots.
                self.drain(id, DrainReason::Recycle(reason), now, actions);
                self.fill_slots(now, actions);
            } else {
                self.spawn(slot, self.generation, now, actions);
            }
            if self.policy.respawn_interval.is_zero() {
                continue;
            }
            return;
        }
    }
}
