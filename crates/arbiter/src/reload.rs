//! A new generation: proven whole before the old one drains, given up whole if any part of it fails. While an application is
//! developed it takes over at once instead: what it replaces is out of date.

use crate::{Action, Arbiter, DrainReason, Group, OnReload, Phase, Time, group::GroupState, worker::State};
use hostler_wire::{Generation, SlotId};

/// A generation on its way.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    pub(crate) generation: Generation,
    /// By which its processes live, and the whole fleet once it is proven.
    pub(crate) groups: Vec<Group>,
}

impl Arbiter {
    /// Whether this is the generation that is being brought up.
    pub(crate) fn is_reloading_to(&self, generation: Generation) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.generation == generation)
    }

    /// Begins a reload; one that is under way is given up for it.
    pub(crate) fn begin_reload(
        &mut self,
        generation: Generation,
        groups: Vec<Group>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        self.reload = self.newer(generation, groups, now, actions).or(self.reload.take());
    }

    /// Switches to a new generation before any of it serves: what runs is out of date. Its slots are filled once it is
    /// clear that the fleet is to last (`reconcile`): its mold may just have been given up.
    pub(crate) fn restart(
        &mut self,
        generation: Generation,
        groups: Vec<Group>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        if let Some(reload) = self.newer(generation, groups, now, actions) {
            self.switch_to(reload, DrainReason::Changed, now, actions);
        }
    }

    /// The new generation, unless it comes too late; another one that is on its way is given up for it.
    fn newer(
        &mut self,
        generation: Generation,
        mut groups: Vec<Group>,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Option<Reload> {
        if self.phase != Phase::Running || generation <= self.generation {
            return None;
        }
        if let Some(older) = self.reload.as_ref().map(|reload| reload.generation) {
            if older >= generation {
                return None;
            }
            self.drop_generation(older, Action::Superseded(older), now, actions);
        }
        for group in &mut groups {
            if let Some(before) = self.group(group.id) {
                group.policy.seed = before.group.policy.seed;
            }
        }
        Some(Reload { generation, groups })
    }

    /// Drains all processes of the new generation; the old one keeps serving.
    pub(crate) fn abandon_reload(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        if self.is_reloading_to(generation) {
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

    /// Brings the new generation up, one process for each slot that proves it, and switches when all of them serve.
    pub(crate) fn drive_reload(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(reload) = &self.reload else { return };
        let generation = reload.generation;
        let mut proving = reload.groups.iter().filter(|group| group.proves_reload());
        if !proving.clone().all(|group| self.can_make(group, generation)) {
            return;
        }
        let slots: Vec<SlotId> = proving.by_ref().flat_map(Group::slots).collect();
        let missing: Vec<_> =
            slots.iter().filter(|slot| !self.is_filled(**slot, generation)).copied().collect();
        for slot in missing {
            self.spawn(slot, generation, now, actions);
        }
        let serves = |slot: &SlotId| {
            let mut workers = self.workers.values();
            workers
                .any(|worker| worker.slot == *slot && worker.generation == generation && worker.is_serving())
        };
        if slots.iter().all(serves)
            && let Some(reload) = self.reload.take()
        {
            self.switch_to(reload, DrainReason::Reload, now, actions);
            self.fill_slots(now, actions);
        }
    }

    fn is_filled(&self, slot: SlotId, generation: Generation) -> bool {
        let mut workers = self.workers.values();
        workers.any(|worker| worker.slot == slot && worker.generation == generation && worker.is_incumbent())
    }

    fn switch_to(&mut self, reload: Reload, reason: DrainReason, now: Time, actions: &mut Vec<Action>) {
        let Reload { generation, groups } = reload;
        self.generation = generation;
        for state in &mut self.groups {
            if !groups.iter().any(|group| group.id == state.group.id) {
                state.resize(0);
            }
        }
        for group in groups {
            match self.group_mut(group.id) {
                Some(state) => state.adopt(group, now),
                None => self.groups.push(GroupState::new(group)),
            }
        }
        self.preparing.retain(|other, _| *other >= generation);
        self.can_spawn.retain(|other| *other >= generation);
        actions.push(Action::Reloaded(generation));
        // One that is not forked yet is told once it is (`quit_unneeded`).
        let old: Vec<_> = self.ids(|worker| {
            worker.generation < generation
                && worker.group.reload == OnReload::Replace
                && matches!(worker.state, State::Booting { .. } | State::Serving { .. })
        });
        for id in old {
            self.drain(id, reason, now, actions);
        }
    }
}
