//! How processes are made: by the mold (a fork server), by forking the master (native services), by executing a program.

use crate::{
    Spawner,
    children::Child,
    native::{self, NativeWorkerContext},
    run::Master,
};
use hostler_arbiter::Event;
use hostler_sys::{board, bundle::Bundle, channel::Channel, proc, signal::SignalPipe, title};
use hostler_wire::{Assignment, Descriptor, Generation, GroupId, Role, SlotId, ToMold, WorkerId};
use std::{io, os::fd::AsFd};
use tracing::error;

/// How log lines name a worker: by `worker`, or by `task_worker`.
pub(crate) fn numbers(slot: SlotId) -> (Option<u16>, Option<u16>) {
    (slot.number_in(GroupId::HTTP), slot.number_in(GroupId::TASKS))
}

impl Master {
    /// Makes a process for a slot; what happened at once.
    pub(crate) fn spawn(&mut self, id: WorkerId, slot: SlotId, generation: Generation) -> Vec<Event> {
        match slot.group {
            GroupId::HTTP | GroupId::TASKS => {}
            GroupId::KEEPER => return vec![self.start_keeper(id, generation)],
            GroupId::OBSERVER => return vec![self.start_observer(id, generation)],
            _ => return self.start_companion(id, slot, generation),
        }
        match self.try_spawn(id, slot, generation) {
            Ok(Some(_)) => vec![Event::Spawned(id)],
            Ok(None) => Vec::new(),
            Err(error) => {
                let (worker, task_worker) = numbers(slot);
                error!(worker, task_worker, %error, "cannot start a worker");
                self.fleet.forget(id);
                vec![Event::SpawnFailed(id)]
            }
        }
    }

    /// The new worker's process id, if it is known at once.
    fn try_spawn(&mut self, id: WorkerId, slot: SlotId, generation: Generation) -> io::Result<Option<i32>> {
        let (ours, theirs) = Channel::pair()?;
        ours.set_nonblocking(true)?;
        let stacks = board::stacks_file()?;
        let page = self.fleet.free_page()?;
        let assignment = Assignment {
            worker: id,
            slot,
            role: if slot.group == GroupId::TASKS { Role::Tasks } else { Role::Http },
            generation,
            page,
            request_limit: self.request_limit(slot.group, generation),
        };
        self.fleet.page(&assignment).clear();
        let Some(entry) = self.molds.get(generation) else {
            return Err(io::Error::other("there is no such generation"));
        };
        let certificates = self.certificates.file(generation, entry.tls())?;
        match &entry.spec.spawner {
            Spawner::Mold(_) => {
                let mold = entry.mold().ok_or_else(|| io::Error::other("there is no mold"))?;
                let bundle = Bundle::default()
                    .with_any(Descriptor::Certificates, certificates.map(AsFd::as_fd))
                    .with(Descriptor::Channel, theirs.as_fd())
                    .with(Descriptor::Stacks, stacks.as_fd())
                    .with(Descriptor::OwnPage, self.resources.board.for_writing());
                let fork = ToMold::Fork { assignment, descriptors: bundle.names() };
                mold.channel.send(&fork, &bundle.descriptors())?;
                self.fleet.add(assignment, ours, stacks, None);
                Ok(None)
            }
            Spawner::Native(_) => {
                let (pid, ours) = self.fork_native(assignment, (ours, theirs), &stacks)?;
                self.fleet.add(assignment, ours, stacks, Some(pid));
                self.children.add(pid, Child::Worker(id));
                Ok(Some(pid))
            }
        }
    }

    /// After how many requests or tasks the next worker of this generation is to be replaced.
    fn request_limit(&mut self, group: GroupId, generation: Generation) -> Option<u64> {
        let spec = &self.molds.get(generation)?.spec;
        let limits = spec.limits();
        let (most, jitter) = match group {
            // So that those which begin together do not end together.
            GroupId::TASKS => spec.settings.options.tasks.max_tasks.map(|most| (most, most / 10))?,
            _ => (limits.max_requests?, limits.requests_jitter()),
        };
        Some(most - self.jitter.below(jitter + 1))
    }

    /// Forks a native worker; its process id, and the master's end of its channel.
    fn fork_native(
        &mut self,
        assignment: Assignment,
        (ours, theirs): (Channel, Channel),
        stacks: &std::fs::File,
    ) -> io::Result<(i32, Channel)> {
        let Some(entry) = self.molds.get(assignment.generation) else {
            return Err(io::Error::other("there is no such generation"));
        };
        let (settings, spawner) = (entry.spec.settings.clone(), entry.spec.spawner.clone());
        let Spawner::Native(main) = spawner else { return Err(io::Error::other("it has a mold")) };
        let descriptors = self
            .resources
            .of_role(assignment.role)
            .with_any(
                Descriptor::Certificates,
                self.certificates.file(assignment.generation, entry.tls())?.map(AsFd::as_fd),
            )
            .with(Descriptor::Channel, theirs.as_fd())
            .with(Descriptor::Stacks, stacks.as_fd())
            .with(Descriptor::OwnPage, self.resources.board.for_writing())
            .to_owned()?;
        let (name, role) =
            (settings.options.process.name.clone(), title::Role::Worker(assignment.slot.index));
        let master_pid = std::process::id().cast_signed();
        let native = NativeWorkerContext { assignment, descriptors, settings, master_pid };
        self.fork((ours, theirs), || {
            title::set(name.as_deref(), role, "native");
            main(native)
        })
    }

    /// Forks this process; the child gives up what is the master's, runs `main`, and exits with the code it returns. In the master,
    /// the child's process id and the master's end of its channel.
    pub(crate) fn fork(
        &mut self,
        channel: (Channel, Channel),
        main: impl FnOnce() -> u8,
    ) -> io::Result<(i32, Channel)> {
        // A child that kept either would not see its channel close with the master.
        let mut channel = Some(channel);
        // Channels to siblings and to the other server must close with the master, not with a child that inherited a copy.
        let (pages, master) = (self.resources.board.pages(), self.resources.board.master());
        let (fleet, signals, files) = (&mut self.fleet, &mut self.signals, &mut self.plan.owned_files);
        let (predecessor, upgrade) = (&mut self.plan.predecessor, &mut self.upgrade);
        let (resources, certificates) = (&mut self.resources, &mut self.certificates);
        let control = &mut self.control;
        let (programs, companions) = (&mut self.programs, &mut self.companions);
        // Never the master's, not even before the child has its own: upgrades tell masters from workers by it.
        let short_name = title::Borrowed::new(&proc::pending_fork_name(std::process::id().cast_signed()));
        let pid = native::fork(
            || {
                let none = crate::fleet::Fleet::new(pages, master);
                let silent = SignalPipe::new(&[]).map(|none| std::mem::replace(signals, none));
                let others = (channel.take(), predecessor.take(), std::mem::take(upgrade), control.close());
                let (keys, programs) =
                    (certificates.give_up(), (std::mem::take(programs), companions.give_up()));
                resources.close();
                (std::mem::replace(fleet, none), silent, std::mem::take(files), others, keys, programs)
            },
            main,
        );
        short_name.give_back();
        let (ours, _theirs) = channel.expect("only the child gives it up");
        Ok((pid?, ours))
    }
}
