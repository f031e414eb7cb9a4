//! A new generation: proven whole before the old one drains, given up whole if any part of it fails.

use crate::{Action, Arbiter, Phase, Policy, Reason, Seat, Time, worker::State};
use hostler_wire::{Generation, SeatId};

/// A generation on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    pub(crate) generation: Generation,
    /// By which its workers live, and everybody once it is proven.
    pub(crate) policy: Policy,
}

impl Arbiter {
    /// Begins a reload; one that is under way is given up for it.
    pub(crate) fn begin_reload(
        &mut self,
        generation: Generation,
        policy: Policy,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Running || generation <= self.generation {
            return;
        }
        if let Some(Reload { generation: older, .. }) = self.reload {
            if older >= generation {
                return;
            }
            self.let_go(older, Action::Superseded(older), now, actions);
        }
        self.reload = Some(Reload { generation, policy: Policy { seed: self.policy.seed, ..policy } });
    }

    /// Lets every worker of the new generation go; the old one serves on.
    pub(crate) fn abandon_reload(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        if self.reload.is_some_and(|reload| reload.generation == generation) {
            self.let_go(generation, Action::NotReloaded(generation), now, actions);
        }
    }

    fn let_go(&mut self, generation: Generation, told: Action, now: Time, actions: &mut Vec<Action>) {
        self.reload = None;
        self.preparing.remove(&generation);
        actions.push(told);
        let failed: Vec<_> = self.ids(|worker| worker.generation == generation);
        for id in failed {
            self.drain(id, Reason::ReloadFailed, now, actions);
        }
    }

    /// Brings the new generation up, one worker for each seat, and switches when all of them serve.
    pub(crate) fn drive_reload(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(Reload { generation, policy }) = self.reload else { return };
        if !self.can_spawn.contains(&generation) {
            return;
        }
        let seats = || (1..=policy.workers).map(SeatId);
        for seat in seats() {
            let filled = self.workers.values().any(|worker| {
                worker.seat == seat && worker.generation == generation && worker.is_incumbent()
            });
            if !filled {
                self.spawn(seat, generation, now, actions);
            }
        }
        let proven = seats().all(|seat| {
            let mut workers = self.workers.values();
            workers
                .any(|worker| worker.seat == seat && worker.generation == generation && worker.is_serving())
        });
        if proven {
            self.switch_to(generation, policy, now, actions);
        }
    }

    fn switch_to(&mut self, generation: Generation, policy: Policy, now: Time, actions: &mut Vec<Action>) {
        self.reload = None;
        self.generation = generation;
        self.policy = policy;
        self.seats.resize(usize::from(policy.workers), Seat::default());
        self.preparing.retain(|other, _| *other >= generation);
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
