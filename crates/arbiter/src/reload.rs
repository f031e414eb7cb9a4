//! A new generation: proven whole before the old one drains, given up whole if any part of it fails.

use crate::{Action, Arbiter, DrainReason, Phase, Policy, Slot, Time, worker::State};
use hostler_wire::{Generation, SlotId};

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
            self.drop_generation(older, Action::Superseded(older), now, actions);
        }
        self.reload = Some(Reload { generation, policy: Policy { seed: self.policy.seed, ..policy } });
    }

    /// Lets every worker of the new generation go; the old one serves on.
    pub(crate) fn abandon_reload(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        if self.reload.is_some_and(|reload| reload.generation == generation) {
            self.drop_generation(generation, Action::NotReloaded(generation), now, actions);
        }
    }

    fn drop_generation(
        &mut self,
        generation: Generation,
        told: Action,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        self.reload = None;
        self.preparing.remove(&generation);
        actions.push(told);
        let failed: Vec<_> = self.ids(|worker| worker.generation == generation);
        for id in failed {
            self.drain(id, DrainReason::ReloadFailed, now, actions);
        }
    }

    /// Brings the new generation up, one worker for each slot, and switches when all of them serve.
    pub(crate) fn drive_reload(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(Reload { generation, policy }) = self.reload else { return };
        if !self.can_spawn.contains(&generation) {
            return;
        }
        let slots = || (1..=policy.workers).map(SlotId::http);
        for slot in slots() {
            let filled = self.workers.values().any(|worker| {
                worker.slot == slot && worker.generation == generation && worker.is_incumbent()
            });
            if !filled {
                self.spawn(slot, generation, now, actions);
            }
        }
        let proven = slots().all(|slot| {
            let mut workers = self.workers.values();
            workers
                .any(|worker| worker.slot == slot && worker.generation == generation && worker.is_serving())
        });
        if proven {
            self.switch_to(generation, policy, now, actions);
        }
    }

    fn switch_to(&mut self, generation: Generation, policy: Policy, now: Time, actions: &mut Vec<Action>) {
        self.reload = None;
        self.generation = generation;
        self.policy = policy;
        self.slots.resize(usize::from(policy.workers), Slot::default());
        self.preparing.retain(|other, _| *other >= generation);
        self.can_spawn.retain(|other| *other >= generation);
        for slot in &mut self.slots {
            slot.failures = 0;
            slot.spawn_at = now;
        }
        actions.push(Action::Reloaded(generation));
        // One that is not forked yet is told once it is (`quit_unneeded`).
        let old: Vec<_> = self.ids(|worker| {
            worker.generation < generation
                && matches!(worker.state, State::Booting { .. } | State::Serving { .. })
        });
        for id in old {
            self.drain(id, DrainReason::Reload, now, actions);
        }
    }
}
