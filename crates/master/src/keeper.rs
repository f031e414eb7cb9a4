//! The keeper of the task queue: this program again, which has the queue's file.

use crate::{children::Child, programs::Running, run::Master};
use hostler_arbiter::{Event, Group, Policy};
use hostler_sys::{channel::Channel, process::WaitStatus};
use hostler_wire::{Generation, GroupId, KEEPER_ARGUMENT, KEEPER_CHANNEL, KeeperSetup, WorkerId};
use std::{io, path::Path, time::Duration};
use tracing::{debug, error, warn};

/// Its name in the log.
pub(crate) const NAME: &str = "task queue";
/// How long it may take to have everything on disk.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// How it is supervised: it ends after all workers.
pub(crate) fn group() -> Group {
    Group::program(GroupId::KEEPER, Policy::unlimited(1, EXIT_LIMIT))
}

/// Logs its end.
pub(crate) fn tell_exit(pid: i32, status: WaitStatus, told: bool) {
    match told {
        true => debug!(pid, %status, "task queue closed"),
        false => {
            warn!(pid, %status, "the keeper of the task queue exited: it is started again, and nothing is lost")
        }
    }
}

impl Master {
    pub(crate) fn start_keeper(&mut self, id: WorkerId, generation: Generation) -> Event {
        let Some(queue) = self.molds.get(generation).and_then(|entry| entry.spec.task_queue.clone()) else {
            return Event::SpawnFailed(id);
        };
        match self.execute_keeper(&queue) {
            Ok((pid, channel)) => {
                debug!(pid, "keeper of the task queue started");
                self.children.add(pid, Child::Program(id));
                self.programs.insert(id, Running { name: NAME, pid, channel: Some(channel), speaks: true });
                Event::Spawned(id)
            }
            Err(error) => {
                error!(%error, "cannot start the keeper of the task queue");
                Event::SpawnFailed(id)
            }
        }
    }

    fn execute_keeper(&self, queue: &Path) -> io::Result<(i32, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        // Before there is a process: what waits in the channel is not lost.
        ours.send(&KeeperSetup { appearance: self.appearance(), queue: queue.to_owned() }, &[])?;
        // One that does not read later holds nothing up.
        ours.set_nonblocking(true)?;
        let identity = &self.plan.spec.settings.identity;
        Ok((self.execute_again(identity, (KEEPER_ARGUMENT, KEEPER_CHANNEL), theirs)?, ours))
    }
}
