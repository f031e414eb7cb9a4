//! A new generation: proven whole before the old one drains, given up whole if any part of it fails. While an application is
//! developed it takes over at once instead: what it replaces is out of date.

use crate::{
    Action, Arbiter, Done, DrainReason, Group, GroupSet, OnReload, Phase, RecycleReason, Time,
    group::GroupState, worker::State,
};
use hostler_wire::{Generation, GroupId, SlotId};
use std::collections::BTreeSet;

/// A generation on its way.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    pub(crate) generation: Generation,
    /// By which its processes live, and the whole fleet once it is proven.
    pub(crate) groups: Vec<Group>,
    /// Slots whose processes have ended as they were to.
    pub(crate) finished: BTreeSet<SlotId>,
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
        Some(Reload { generation, groups, finished: BTreeSet::new() })
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
        let (generation, finished) = (reload.generation, reload.finished.clone());
        let proving = self.proving(reload);
        for group in &proving {
            if !self.can_make(group, generation) || !self.may_start(group) {
                continue;
            }
            for slot in group.slots().filter(|slot| !finished.contains(slot)) {
                let is_taken = group.exclusive && self.is_occupied(slot);
                if !is_taken && !self.is_filled(slot, generation) {
                    self.spawn(slot, generation, now, actions);
                }
            }
        }
        let slots: Vec<SlotId> = proving.iter().flat_map(Group::slots).collect();
        let serves = |slot: &SlotId| {
            let mut workers = self.workers.values();
            workers
                .any(|worker| worker.slot == *slot && worker.generation == generation && worker.is_serving())
        };
        if slots.iter().all(|slot| finished.contains(slot) || serves(slot))
            && let Some(reload) = self.reload.take()
        {
            self.switch_to(reload, DrainReason::Reload, now, actions);
            self.fill_slots(now, actions);
        }
    }

    /// The groups whose processes prove a new generation, and those that it adds and that have to serve before them.
    fn proving(&self, reload: &Reload) -> Vec<Group> {
        let mut before = GroupSet::default();
        let mut proving: Vec<Group> =
            reload.groups.iter().filter(|group| group.proves_reload()).copied().collect();
        let mut looked_at = 0;
        while let Some(group) = proving.get(looked_at) {
            before = before.and(group.after);
            looked_at += 1;
            if looked_at == proving.len() {
                let is_added = |group: &&Group| before.has(group.id) && self.group(group.id).is_none();
                let known: Vec<GroupId> = proving.iter().map(|group| group.id).collect();
                let added = reload.groups.iter().filter(is_added).filter(|group| !known.contains(&group.id));
                proving.extend(added.copied());
            }
        }
        proving
    }

    /// Whether all groups have served that have to before this one, of the generation that serves or of the one that is on its way.
    pub(crate) fn may_start(&self, group: &Group) -> bool {
        if group.handed_on && self.awaits_processes {
            return false;
        }
        // What was up once has not to wait again. What another server still has is up there.
        let was_up = self.group(group.id).is_some_and(|state| state.was_up);
        let mut present = self.groups.iter().filter(|state| {
            let anothers = state.group.handed_on && self.awaits_processes;
            group.after.has(state.group.id) && !was_up && !anothers
        });
        let is_added = |its: &&Group| group.after.has(its.id) && self.group(its.id).is_none();
        let mut added = self.reload.iter().flat_map(|reload| reload.groups.iter().filter(is_added));
        present.all(|state| state.was_up) && added.all(|its| self.is_up(its, self.reload.as_ref()))
    }

    /// Whether all processes of a group that a reload adds serve, or have done what they were to do.
    fn is_up(&self, group: &Group, reload: Option<&Reload>) -> bool {
        group.slots().all(|slot| {
            reload.is_some_and(|reload| reload.finished.contains(&slot))
                || self.workers.values().any(|worker| worker.slot == slot && worker.is_serving())
        })
    }

    fn is_filled(&self, slot: SlotId, generation: Generation) -> bool {
        let mut workers = self.workers.values();
        workers.any(|worker| worker.slot == slot && worker.generation == generation && worker.is_incumbent())
    }

    fn switch_to(&mut self, reload: Reload, reason: DrainReason, now: Time, actions: &mut Vec<Action>) {
        let Reload { generation, groups, finished } = reload;
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
        for slot in finished {
            if let Some(slot) = self.slot_mut(slot) {
                slot.done = Done::Well;
            }
        }
        self.recycle_for(generation, now, actions);
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

    /// Has the processes replaced whose groups the new generation says so of, one after the other; those that do not serve yet
    /// end at once.
    fn recycle_for(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        let recycled: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|state| state.group.reload == OnReload::Recycle)
            .map(|state| state.group.id)
            .collect();
        let old = self.ids(|worker| {
            worker.generation < generation
                && worker.group.reload != OnReload::Replace
                && recycled.contains(&worker.slot.group)
        });
        for id in old {
            match self.workers.get_mut(&id).map(|worker| &mut worker.state) {
                Some(State::Serving { recycle, .. }) => {
                    recycle.get_or_insert(RecycleReason::Reload);
                }
                Some(State::Booting { .. }) => self.drain(id, DrainReason::Reload, now, actions),
                _ => {}
            }
        }
    }
}
