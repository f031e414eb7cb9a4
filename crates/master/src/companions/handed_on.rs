//! Companions at an upgrade: they are left to the next server as they run, so that there is one of each at any time, and none is interrupted.
//!
//! The old server sends the channels of their watching processes when it hands over, and keeps copies until it exits: if it has to take
//! the service back, they are there. The new one starts no companion before that.

use super::{Companion, order::runs_alike};
use crate::{children::Child, run::Master};
use hostler_arbiter::{Event, RecycleReason};
use hostler_sys::channel::Channel;
use hostler_wire::{
    CompanionSpec, Generation, GroupId, InheritedCompanion, SlotId, ToCompanion, ToSuccessor, WorkerId,
};
use std::{
    collections::VecDeque,
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};
use tracing::{debug, info, warn};

impl Master {
    /// Leaves a companion to the successor; one that cannot be is stopped.
    pub(crate) fn hand_on_companion(&mut self, id: WorkerId) {
        let Some(companion) = self.companions.all.remove(&id) else { return };
        let left = InheritedCompanion {
            spec: companion.spec.clone(),
            replica: companion.slot.index,
            watcher: companion.watcher,
            pid: companion.pid,
            ready: companion.ready,
            told_to_stop: companion.told_to_stop,
            age: companion.began.elapsed(),
        };
        let (name, replica, pid) = (companion.name(), companion.replica(), companion.pid);
        let message = ToSuccessor::Companion(Box::new(left));
        match self.upgrade.tell(&message, &[companion.channel.as_fd()]) {
            Ok(()) => info!(companion = name, replica, pid, "companion left to the new server"),
            Err(error) => {
                warn!(companion = name, replica, pid, %error, "a companion cannot be left to the new server: it is stopped");
                self.companions.awaited = true;
                let _ = companion.channel.send(&ToCompanion::Stop, &[]);
            }
        }
        self.companions.between.push(companion);
    }

    /// All that the successor gets are on their way.
    pub(crate) fn companions_handed_on(&mut self) {
        let all = !std::mem::replace(&mut self.companions.awaited, false);
        if let Err(error) = self.upgrade.tell(&ToSuccessor::CompanionsLeft { all }, &[]) {
            debug!(%error, "cannot send to the new server");
        }
    }

    /// The server before this one leaves a companion.
    pub(crate) fn inherit_companion(&mut self, left: InheritedCompanion, descriptors: Vec<OwnedFd>) {
        let Some(channel) = descriptors.into_iter().next() else { return };
        let now = Instant::now();
        self.companions.between.push(Companion {
            slot: SlotId { group: GroupId::HTTP, index: left.replica },
            generation: self.arbiter.generation(),
            spec: left.spec,
            watcher: left.watcher,
            channel: Channel::from(channel),
            pid: left.pid,
            began: now.checked_sub(left.age).unwrap_or(now),
            ready: left.ready,
            told_to_stop: left.told_to_stop,
            found: None,
            ended: None,
            outdated: false,
            is_child: false,
        });
    }

    /// The server before this one has none any more that this one could get: companions are started now. Those that this one is not to have
    /// are stopped.
    pub(crate) fn companions_inherited(&mut self, events: &mut VecDeque<Event>) {
        if !std::mem::replace(&mut self.companions.awaited, false) {
            return;
        }
        let wanted = &self.plan.spec.companions;
        let is_wanted = |companion: &Companion| {
            wanted.iter().any(|its| {
                its.companion.name == companion.name() && companion.slot.index <= its.companion.replicas
            })
        };
        for companion in self.companions.between.extract_if(.., |companion| !is_wanted(companion)) {
            let (name, pid) = (companion.name(), companion.pid);
            info!(
                companion = name,
                pid, "companion of the old server stopped: this one has none of this name and number"
            );
            let _ = companion.channel.send(&ToCompanion::Stop, &[]);
        }
        events.push_back(Event::ProcessesHandedOn);
    }

    /// Goes on with a companion that runs, if one does for this slot; what happened with that.
    pub(super) fn take_over_companion(
        &mut self,
        id: WorkerId,
        slot: SlotId,
        generation: Generation,
        own: &CompanionSpec,
    ) -> Option<Vec<Event>> {
        let name = &own.companion.name;
        let between = &mut self.companions.between;
        let found = between.iter().position(|it| it.name() == name && it.slot.index == slot.index)?;
        let outdated = !runs_alike(&between[found].spec, own);
        let companion = Companion { slot, generation, outdated, ..between.swap_remove(found) };
        info!(
            companion = name,
            replica = companion.replica(),
            pid = companion.pid,
            "companion taken over as it runs"
        );
        if companion.is_child {
            self.children.add(companion.watcher, Child::Companion(id));
        }
        self.companions.history.started(name, slot.index);
        let mut events = vec![Event::Spawned(id)];
        if companion.ready {
            events.push(Event::Ready(id));
        }
        if companion.ready && outdated {
            events.push(Event::Recycle(id, RecycleReason::Reload));
        }
        self.companions.all.insert(id, companion);
        Some(events)
    }
}
