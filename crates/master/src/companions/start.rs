//! The process that watches a companion: this program again, or, of a native service, whose program is its own, a fork of the master.

use super::Companion;
use crate::{GenerationSpec, children::Child, run::Master};
use hostler_arbiter::Event;
use hostler_sys::{bundle::Bundle, channel::Channel};
use hostler_wire::{
    COMPANION_ARGUMENT, COMPANION_CHANNEL, CompanionSetup, CompanionSpec, Descriptor, Generation, Identity,
    SlotId, WorkerId,
};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    time::Instant,
};
use tracing::{debug, error};

impl Master {
    /// Starts the process that starts and watches a companion.
    pub(crate) fn start_companion(
        &mut self,
        id: WorkerId,
        slot: SlotId,
        generation: Generation,
    ) -> Vec<Event> {
        let Some(spec) = self.molds.get(generation).map(|entry| entry.spec.clone()) else {
            return vec![Event::SpawnFailed(id)];
        };
        let name = self.companions.name(slot.group);
        let Some(own) = spec.companions.iter().find(|its| Some(its.companion.name.as_str()) == name) else {
            return vec![Event::SpawnFailed(id)];
        };
        if let Some(events) = self.take_over_companion(id, slot, generation, own) {
            return events;
        }
        match self.execute_watcher(&spec, own, slot) {
            Ok((watcher, channel)) => {
                debug!(companion = own.companion.name, pid = watcher, "watching a companion");
                self.children.add(watcher, Child::Companion(id));
                self.companions.history.started(&own.companion.name, slot.index);
                let companion = Companion {
                    slot,
                    generation,
                    spec: own.clone(),
                    watcher,
                    channel,
                    pid: None,
                    began: Instant::now(),
                    ready: false,
                    told_to_stop: false,
                    found: None,
                    ended: None,
                    outdated: false,
                    is_child: true,
                };
                self.companions.all.insert(id, companion);
                vec![Event::Spawned(id)]
            }
            Err(error) => {
                error!(companion = own.companion.name, %error, "cannot start a companion");
                vec![Event::SpawnFailed(id)]
            }
        }
    }

    fn execute_watcher(
        &mut self,
        spec: &GenerationSpec,
        own: &CompanionSpec,
        slot: SlotId,
    ) -> io::Result<(i32, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        let mut bundle = Bundle::<BorrowedFd<'_>>::default();
        let mut socket_names = Vec::new();
        for (name, socket) in self.sockets_of(spec, &own.companion) {
            bundle.add(Descriptor::Listener, socket);
            socket_names.push(name);
        }
        let setup = CompanionSetup {
            descriptors: bundle.names(),
            appearance: self.appearance(),
            spec: own.clone(),
            replica: slot.index,
            socket_names,
        };
        // Before there is a process: what waits in the channel is not lost.
        ours.send(&setup, &bundle.descriptors())?;
        ours.set_nonblocking(true)?;
        if let Some(main) = spec.companion_watcher.clone() {
            let descriptor = theirs.as_fd().try_clone_to_owned()?;
            return self.fork((ours, theirs), || main(descriptor));
        }
        // As the master itself: it has to be able to signal whatever its companion becomes.
        let watcher =
            self.execute_outliving(&Identity::default(), (COMPANION_ARGUMENT, COMPANION_CHANNEL), theirs)?;
        Ok((watcher, ours))
    }
}
