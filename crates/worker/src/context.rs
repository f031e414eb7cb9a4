//! What a worker is given.

use hostler_sys::{board, bundle::Bundle, channel::Channel};
use hostler_wire::{Assignment, Descriptor, Page, PageState, SiblingPage, ToWorker, WorkerSettings};
use std::{cell::RefCell, fs::File, io, os::fd::OwnedFd};

/// What a freshly forked worker is given.
pub struct WorkerContext {
    /// Which worker it is.
    pub assignment: Assignment,
    /// Its page of the scoreboard.
    pub page: &'static Page,
    /// Its channel to the master.
    pub channel: Channel,
    /// Where it writes its stacks when asked to.
    pub stacks: File,
    /// What it has in common with all workers.
    pub shared: Shared,
    /// What to serve, and how.
    pub settings: WorkerSettings,
    /// The process at whose death the worker exits.
    pub master_pid: i32,
    /// The file with certificates, if TLS is served; the newest that came.
    pub certificates: RefCell<Option<OwnedFd>>,
}

/// What all workers of a server have in common.
pub struct Shared {
    /// Where each reports what it does.
    pub pages: &'static [SiblingPage],
    /// The channel on which idle connections go from worker to worker: receiving end, sending end.
    pub handover: (OwnedFd, OwnedFd),
    /// The listening sockets, in the order of `settings.listeners`.
    pub listeners: Vec<OwnedFd>,
}

impl Shared {
    /// Takes them from what a mold or a native worker was given.
    ///
    /// # Errors
    /// `InvalidData` if one is missing; the kernel's when the scoreboard cannot be mapped.
    pub fn from_bundle(bundle: &mut Bundle<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            pages: board::map_all(bundle.take(Descriptor::Scoreboard)?)?,
            handover: (bundle.take(Descriptor::HandoverReceiver)?, bundle.take(Descriptor::HandoverSender)?),
            listeners: bundle.take_all(Descriptor::Listener),
        })
    }
}

impl WorkerContext {
    /// That of a worker that was forked from the master, with all that it is given.
    ///
    /// # Errors
    /// As [`Shared::from_bundle`].
    pub fn from_bundle(
        assignment: Assignment,
        mut bundle: Bundle<OwnedFd>,
        settings: WorkerSettings,
        master_pid: i32,
    ) -> io::Result<Self> {
        Ok(Self {
            assignment,
            page: board::map_own(bundle.take(Descriptor::OwnPage)?, assignment.page)?.keep(),
            channel: bundle.take(Descriptor::Channel)?.into(),
            stacks: bundle.take(Descriptor::Stacks)?.into(),
            shared: Shared::from_bundle(&mut bundle)?,
            certificates: RefCell::new(bundle.take(Descriptor::Certificates).ok()),
            settings,
            master_pid,
        })
    }

    /// Waits for the master's message to boot. Its mold may be given up or killed before it reported this worker; the master
    /// would not know of it then, so it has to exit.
    #[must_use]
    pub fn is_told_to_boot(&self) -> bool {
        loop {
            match self.channel.recv::<ToWorker>() {
                Ok(Some((ToWorker::Boot, _))) => return true,
                Ok(Some((ToWorker::Log(log), _))) => hostler_sys::logging::follow(&log),
                Ok(Some((ToWorker::ReopenLog, logs))) => hostler_sys::logging::write_to_descriptors(logs),
                Ok(Some((ToWorker::Certificates, file))) => {
                    drop(self.certificates.replace(file.into_iter().next()))
                }
                Ok(Some((ToWorker::ReopenAccessLog, logs))) => {
                    hostler_sys::logging::access::write_to_descriptors(logs);
                }
                // For workers that serve.
                Ok(Some((
                    ToWorker::LameDuck
                    | ToWorker::AcceptLast
                    | ToWorker::ShareConnections
                    | ToWorker::TellStacks,
                    _,
                ))) => {}
                Ok(Some((ToWorker::Drain { .. } | ToWorker::StepAside | ToWorker::Quit, _)) | None) => {
                    return false;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read the master's message to boot");
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
