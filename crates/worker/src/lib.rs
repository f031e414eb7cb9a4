//! A worker's life after the fork: register the listeners, tell the master, serve, drain, leave.
//!
//! [`run_worker()`] is that life for any application; [`native::run`] wraps it in a runtime for native services,
//! and the Python host runs it inside its asyncio loop. A worker drains when the master says so, when it
//! gets SIGTERM itself, and when the channel to the master reads end-of-file because the master died.
//!
//! Not here: forking, and what happens to the worker if it hangs. Both are the master's.

#![forbid(unsafe_code)]

mod control;
pub mod native;
mod run;

pub use control::Order;
pub use run::{Ending, announce_failure, run_worker};

use hostler_sys::channel::Channel;
use hostler_wire::{Assignment, Page, PageState, SiblingPage, ToWorker, WorkerSettings};
use std::{fs::File, io, os::fd::OwnedFd};

/// What a freshly forked worker is given.
pub struct WorkerContext {
    /// Which worker it is.
    pub assignment: Assignment,
    /// Its page of the scoreboard.
    pub page: &'static Page,
    /// Its line to the master.
    pub channel: Channel,
    /// Where it writes its stacks when asked to.
    pub stacks: File,
    /// What it has in common with all workers.
    pub shared: Shared,
    /// What to serve, and how.
    pub settings: WorkerSettings,
    /// The process whose death ends the worker's life.
    pub master_pid: i32,
}

/// What all workers of a server have in common.
pub struct Shared {
    /// Where each tells what it does.
    pub pages: &'static [SiblingPage],
    /// The line on which idle connections go from worker to worker: receiving end, sending end.
    pub handover: (OwnedFd, OwnedFd),
    /// The listening sockets, in the order of `settings.listeners`.
    pub listeners: Vec<OwnedFd>,
}

impl Shared {
    /// Takes them from the descriptors of a message, which come in this order.
    ///
    /// # Errors
    /// `InvalidData` if there are too few; the kernel's when the scoreboard cannot be mapped.
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let mut rest = descriptors.into_iter();
        match (rest.next(), rest.next(), rest.next()) {
            (Some(board), Some(receiver), Some(sender)) => Ok(Self {
                pages: hostler_sys::board::map_all(board)?,
                handover: (receiver, sender),
                listeners: rest.collect(),
            }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the master sent too few descriptors")),
        }
    }
}

impl WorkerContext {
    /// Waits for the master's word to boot. Its mold may be given up or killed before it told of this worker; nobody
    /// would know of it then, so it has to leave.
    #[must_use]
    pub fn is_told_to_boot(&self) -> bool {
        loop {
            match self.channel.recv::<ToWorker>() {
                Ok(Some((ToWorker::Boot, _))) => return true,
                Ok(Some((ToWorker::ReopenLog, logs))) => hostler_sys::logging::write_to_descriptors(logs),
                // For workers that serve.
                Ok(Some((ToWorker::LameDuck, _))) => {}
                Ok(Some((ToWorker::Drain { .. } | ToWorker::Quit, _)) | None) => return false,
                Err(error) => {
                    tracing::debug!(%error, "the master's word to boot cannot be heard");
                    return false;
                }
            }
        }
    }

    /// Makes the worker's page this process's own; the first thing that a worker does that is wanted.
    pub fn take(&self) {
        self.page.identify(self.assignment.role, self.assignment.slot);
        self.page.set_state(PageState::Booting);
        hostler_sys::board::set_own(self.page);
        hostler_sys::memory::keep_while_working();
    }
}

/// How long a worker may live on after its master died: long enough for requests in flight that are
/// nearly done, short enough that nobody meets two servers.
pub const ORPHAN_GRACE: std::time::Duration = std::time::Duration::from_millis(1400);

/// When the kernel ends an orphan that did not end itself.
pub const ORPHAN_LIMIT: std::time::Duration = std::time::Duration::from_millis(1700);
