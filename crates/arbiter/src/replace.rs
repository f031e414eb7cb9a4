//! Planned replacement: a successor is started beside the old process, which drains once the successor serves.

use crate::{
    Action, Arbiter, Done, DrainReason, RecycleReason, Slot, Time,
    group::GroupState,
    worker::{State, Worker},
};
use hostler_wire::{GroupId, SlotId, WorkerId};

impl Arbiter {
    /// Where a successor serves, its predecessors drain.
    pub(crate) fn complete_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        for slot in self.slot_ids() {
            let serving: Vec<WorkerId> =
                self.incumbents(slot).filter(|(_, worker)| worker.is_serving()).map(|(id, _)| id).collect();
            let Some((_, old)) = serving.split_last() else { continue };
            for id in old {
                let recycled = self.workers.get(id).and_then(|worker| worker.recycling(now));
                let reason = recycled.map_or(DrainReason::FewerWorkers, DrainReason::Recycle);
                self.drain(*id, reason, now, actions);
            }
        }
    }

    /// The earliest time at which another replacement in this group may begin, if one may.
    fn next_replacement_at(&self, state: &GroupState) -> Option<Time> {
        let policy = &state.group.policy;
        let replacing = state.numbered().filter(|(id, slot)| self.is_replaced_in(state, *id, slot)).count();
        let free = self.is_growing()
            && self.reload.is_none()
            && self.can_make(&state.group, self.generation)
            && replacing < usize::from(policy.max_replacing);
        free.then(|| state.replaced_at.map_or(Time::ZERO, |at| at + policy.respawn_interval))
    }

    /// Whether a process is on its way to this slot beside another one, or, where a slot has one at a time, in its place.
    fn is_replaced_in(&self, state: &GroupState, id: SlotId, slot: &Slot) -> bool {
        match state.group.exclusive {
            true => slot.done == Done::No && !self.incumbents(id).any(|(_, worker)| worker.is_serving()),
            false => self.incumbents(id).count() > 1,
        }
    }

    pub(crate) fn next_recycling(&self) -> Option<Time> {
        self.groups.iter().filter_map(|state| self.next_recycling_in(state)).min()
    }

    fn next_recycling_in(&self, state: &GroupState) -> Option<Time> {
        let earliest = self.next_replacement_at(state)?;
        let due = state.slot_ids().filter_map(|slot| {
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

    pub(crate) fn begin_replacements(&mut self, now: Time, actions: &mut Vec<Action>) {
        let groups: Vec<GroupId> = self.groups.iter().map(|state| state.group.id).collect();
        for group in groups {
            while self.begin_replacement_in(group, now, actions) {}
        }
    }

    /// Begins the next replacement in this group, if one is due; whether another one may be due as well.
    fn begin_replacement_in(&mut self, group: GroupId, now: Time, actions: &mut Vec<Action>) -> bool {
        let Some((slot, id, reason)) = self.due_replacement(group, now) else { return false };
        let Some(state) = self.group_mut(group) else { return false };
        state.replaced_at = Some(now);
        let one_at_a_time = !state.group.policy.respawn_interval.is_zero();
        let exclusive = state.group.exclusive;
        if exclusive || !self.headroom && self.serving(group) > 1 {
            // The slot is vacant from now on and is filled by the rule for vacant slots.
            self.drain(id, DrainReason::Recycle(reason), now, actions);
            self.fill_slots(now, actions);
        } else {
            self.spawn(slot, self.generation, now, actions);
        }
        !one_at_a_time
    }

    fn due_replacement(&self, group: GroupId, now: Time) -> Option<(SlotId, WorkerId, RecycleReason)> {
        let state = self.group(group)?;
        self.next_replacement_at(state).filter(|at| now >= *at)?;
        state.slot_ids().filter(|slot| now >= self.spawn_at(*slot)).find_map(|slot| {
            let (id, worker) = self.only_incumbent(slot)?;
            worker.recycling(now).map(|reason| (slot, id, reason))
        })
    }
}
