//! What is done whenever anything happened: deadlines, vacant seats, retirements, the next deadline.

use crate::{
    Action, Arbiter, Phase, Reason, Time, Why,
    worker::{KILL_MARGIN, REPORT_LIMIT, SPAWN_LIMIT, State, Worker},
};
use hostler_wire::{ExitStatus, Generation, SeatId, WorkerId};

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
        let others = [phase, self.next_spawn(), self.next_retirement(), self.successor_deadline()];
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

    pub(crate) fn settle(&mut self, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::LameDuck { until } if now >= until) {
            self.stop(false, ExitStatus::Clean, Reason::Stop, now, actions);
        }
        self.enforce_deadlines(now, actions);
        self.enforce_successors_deadline(now, actions);
        if self.is_growing() {
            self.give_up_molds(now, actions);
        }
        if self.is_growing() {
            self.fill_seats(now, actions);
            self.drive_reload(now, actions);
            self.complete_replacements(now, actions);
            self.begin_replacements(now, actions);
        }
        self.leave_when_empty(actions);
    }

    pub(crate) fn seat_ids(&self) -> impl Iterator<Item = SeatId> + use<> {
        (1..=self.seats()).map(SeatId)
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
                let why = if booting { Why::BootTimeout } else { Why::Stall };
                worker.state = State::Reporting { until: now + REPORT_LIMIT, why };
                actions.push(Action::Report(id, why));
                if booting {
                    self.boot_timed_out(was, now, actions);
                }
            }
            State::Reporting { why, .. } => {
                worker.state = State::Draining { kill_at: now + KILL_MARGIN, why };
                actions.push(Action::Terminate(id, why));
            }
            State::Draining { why, .. } => {
                worker.state = State::Killed { why };
                actions.push(Action::Kill(id, why));
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
        seat: SeatId,
        generation: Generation,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let policy = self.policy_of(generation);
        let state = State::Spawning { give_up_at: Some(now + SPAWN_LIMIT) };
        self.workers.insert(id, Worker { seat, generation, policy, state, dismissed: false });
        actions.push(Action::Spawn(id, seat, generation));
    }

    /// How many seats a generation has or is to have.
    fn seats_of(&self, generation: Generation) -> u16 {
        match &self.reload {
            Some(reload) if reload.generation == generation => reload.policy.workers,
            _ => self.seats(),
        }
    }

    /// Whether the worker's seat is one of its generation's.
    pub(crate) fn has_seat(&self, worker: &Worker) -> bool {
        worker.seat.0 <= self.seats_of(worker.generation)
    }

    /// Everybody of the serving generation who serves in this seat or is on the way to it.
    fn incumbents(&self, seat: SeatId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let generation = self.generation;
        self.workers
            .iter()
            .filter(move |(_, worker)| {
                worker.seat == seat && worker.generation == generation && worker.is_incumbent()
            })
            .map(|(id, worker)| (*id, worker))
    }

    fn vacant_seats(&self) -> impl Iterator<Item = SeatId> {
        self.seat_ids().filter(|seat| self.incumbents(*seat).next().is_none())
    }

    fn spawn_at(&self, seat: SeatId) -> Time {
        self.seats.get(usize::from(seat.0) - 1).map_or(Time::ZERO, |seat| seat.spawn_at)
    }

    fn next_spawn(&self) -> Option<Time> {
        if !self.is_growing() || !self.can_spawn.contains(&self.generation) {
            return None;
        }
        self.vacant_seats().map(|seat| self.spawn_at(seat)).min()
    }

    fn fill_seats(&mut self, now: Time, actions: &mut Vec<Action>) {
        for id in self.ids(|worker| !self.has_seat(worker)) {
            self.drain(id, Reason::Seats, now, actions);
        }
        if !self.can_spawn.contains(&self.generation) {
            return;
        }
        let vacant: Vec<_> = self.vacant_seats().filter(|seat| now >= self.spawn_at(*seat)).collect();
        for seat in vacant {
            self.spawn(seat, self.generation, now, actions);
        }
    }

    /// Where a successor serves, its predecessors drain.
    fn complete_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        let seats: Vec<_> = self.seat_ids().collect();
        for seat in seats {
            let serving: Vec<WorkerId> =
                self.incumbents(seat).filter(|(_, worker)| worker.is_serving()).map(|(id, _)| id).collect();
            let Some((_, old)) = serving.split_last() else { continue };
            for id in old {
                let retired = self.workers.get(id).and_then(|worker| worker.retirement(now));
                self.drain(*id, retired.unwrap_or(Reason::Seats), now, actions);
            }
        }
    }

    /// Seats in which a successor is on its way.
    fn replacing(&self) -> usize {
        self.seat_ids().filter(|seat| self.incumbents(*seat).count() > 1).count()
    }

    /// The earliest time at which another replacement may begin, if one may.
    fn replacement_slot(&self) -> Option<Time> {
        let free = self.is_growing()
            && self.reload.is_none()
            && self.can_spawn.contains(&self.generation)
            && self.replacing() < usize::from(self.policy.max_replacing);
        free.then(|| self.replaced_at.map_or(Time::ZERO, |at| at + self.policy.respawn_interval))
    }

    fn next_retirement(&self) -> Option<Time> {
        let slot = self.replacement_slot()?;
        let due = self.seat_ids().filter_map(|seat| {
            let (_, worker) = self.only_incumbent(seat)?;
            let State::Serving { retire_at, retire, .. } = worker.state else { return None };
            let due = if retire.is_some() { Some(Time::ZERO) } else { retire_at };
            due.map(|due| due.max(slot).max(self.spawn_at(seat)))
        });
        due.min()
    }

    fn only_incumbent(&self, seat: SeatId) -> Option<(WorkerId, &Worker)> {
        let mut incumbents = self.incumbents(seat);
        incumbents.next().filter(|_| incumbents.next().is_none())
    }

    fn begin_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        while self.replacement_slot().is_some_and(|slot| now >= slot) {
            let due = self.seat_ids().filter(|seat| now >= self.spawn_at(*seat)).find_map(|seat| {
                let (id, worker) = self.only_incumbent(seat)?;
                worker.retirement(now).map(|reason| (seat, id, reason))
            });
            let Some((seat, id, reason)) = due else { return };
            self.replaced_at = Some(now);
            if !self.headroom && self.serving() > 1 {
                // The seat is vacant from now on and is filled by the rule for vacant seats.
                self.drain(id, reason, now, actions);
                self.fill_seats(now, actions);
            } else {
                self.spawn(seat, self.generation, now, actions);
            }
            if self.policy.respawn_interval.is_zero() {
                continue;
            }
            return;
        }
    }
}
