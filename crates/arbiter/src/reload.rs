//! A new generation: proven whole before the old one drains, given up whole if any part of it fails.

use crate::{Action, Arbiter, Phase, Reason, Time, worker::State};
use hostler_wire::Generation;

/// A generation on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    pub(crate) generation: Generation,
}

impl Arbiter {
    pub(crate) fn begin_reload(&mut self, generation: Generation) {
        if self.phase == Phase::Running && self.reload.is_none() && generation > self.generation {
            self.reload = Some(Reload { generation });
        }
    }

    /// Lets every worker of the new generation go; the old one serves on.
    pub(crate) fn abandon_reload(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        if self.reload.is_none_or(|reload| reload.generation != generation) {
            return;
        }
        self.reload = None;
        actions.push(Action::NotReloaded(generation));
        let failed: Vec<_> = self.ids(|worker| worker.generation == generation);
        for id in failed {
            self.drain(id, Reason::ReloadFailed, now, actions);
        }
    }

    /// Brings the new generation up, one worker for each seat, and switches when all of them serve.
    pub(crate) fn drive_reload(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(Reload { generation }) = self.reload else { return };
        if !self.can_spawn.contains(&generation) {
            return;
        }
        let seats: Vec<_> = self.seat_ids().collect();
        for seat in seats {
            let filled = self.workers.values().any(|worker| {
                worker.seat == seat && worker.generation == generation && worker.is_incumbent()
            });
            if !filled {
                self.spawn(seat, generation, actions);
            }
        }
        let proven = self.seat_ids().all(|seat| {
            let mut workers = self.workers.values();
            workers
                .any(|worker| worker.seat == seat && worker.generation == generation && worker.is_serving())
        });
        if proven {
            self.switch_to(generation, now, actions);
        }
    }

    fn switch_to(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        self.reload = None;
        self.generation = generation;
        self.can_spawn.retain(|other| *other >= generation);
        for seat in &mut self.seats {
            seat.failures = 0;
            seat.spawn_at = now;
        }
        actions.push(Action::Reloaded(generation));
        // One that is still being born is told as soon as it exists (`tell_newcomer`).
        let old: Vec<_> = self.ids(|worker| {
            worker.generation < generation
                && matches!(worker.state, State::Booting { .. } | State::Serving { .. })
        });
        for id in old {
            self.drain(id, Reason::Reload, now, actions);
        }
    }
}
