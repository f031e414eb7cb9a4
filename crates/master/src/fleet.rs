//! The processes of the fleet: which worker is which, the lines to them, and their pages.

use crate::launch::numbers;
use hostler_arbiter::DrainReason;
use hostler_sys::{channel::Channel, clock};
use hostler_wire::{Assignment, Departure, FromWorker, MasterPage, Page, Seat, ToWorker, Totals, WorkerId};
use std::{collections::BTreeMap, fs::File, io, os::fd::BorrowedFd, time::Instant};
use tracing::debug;

/// A worker, from the moment it was asked for.
pub(crate) struct Worker {
    pub(crate) assignment: Assignment,
    /// `None` until the mold reports it.
    pub(crate) pid: Option<i32>,
    pub(crate) channel: Channel,
    /// Where it writes its stacks.
    pub(crate) stacks: File,
    pub(crate) samples: Samples,
    /// It serves, or has served.
    pub(crate) is_ready: bool,
    /// How many calls of the application it makes at once, if that is limited.
    pub(crate) concurrent_calls: Option<usize>,
    /// Why it was told to exit.
    pub(crate) told: Option<DrainReason>,
    pub(crate) began: Instant,
}

/// The last samples of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// The progress of its loop ([`Page::progress`]).
    pub(crate) progress: [u64; 3],
    /// When a debugger was seen ([`Page::debugged_at`]).
    pub(crate) debugged_at: u64,
    /// For how long it had been busy ([`Page::busy_nanos`]).
    pub(crate) busy: u64,
    /// Requests that had waited for the application, and for how long ([`Page::queued`]); none before the first sample.
    pub(crate) queued: Option<(u64, u64)>,
    /// It was told that the debugger is waited for.
    pub(crate) told_debugger: bool,
    /// Where it stood when its boot had taken too long.
    pub(crate) hung_at: Option<String>,
    /// It said why it could not boot.
    pub(crate) told_failure: bool,
    /// Measurements of memory in a row that were over the limit.
    pub(crate) over_memory: u32,
    /// It uses too much, and finishes what it runs.
    pub(crate) leaves_for_memory: bool,
}

/// All workers.
pub(crate) struct Fleet {
    workers: BTreeMap<WorkerId, Worker>,
    pages: &'static [Page],
    /// Where the master's own knowledge of them stands, and the counters of those that ended.
    master: &'static MasterPage,
}

impl Fleet {
    pub(crate) fn new(pages: &'static [Page], master: &'static MasterPage) -> Self {
        Self { workers: BTreeMap::new(), pages, master }
    }

    /// A page that no worker has, from the second on; the first has the number of pages in use.
    pub(crate) fn free_page(&self) -> io::Result<u16> {
        let taken = |page: &u16| self.workers.values().any(|worker| worker.assignment.page == *page);
        let count = u16::try_from(self.pages.len()).unwrap_or(u16::MAX);
        let full = || io::Error::other("there are more workers than the scoreboard has pages");
        let free = (1..count).find(|page| !taken(page)).ok_or_else(full)?;
        self.pages[0].will_use(free);
        Ok(free)
    }

    pub(crate) fn page(&self, assignment: &Assignment) -> &'static Page {
        &self.pages[usize::from(assignment.page)]
    }

    /// What others are told of a worker.
    pub(crate) fn seat(&self, assignment: &Assignment) -> Option<&'static Seat> {
        self.master.seat(assignment.page)
    }

    /// A worker goes, for this reason.
    pub(crate) fn departs(&self, id: WorkerId, why: Departure) {
        if let Some(seat) = self.get(id).and_then(|worker| self.seat(&worker.assignment)) {
            seat.departs(why);
        }
    }

    pub(crate) fn add(&mut self, assignment: Assignment, channel: Channel, stacks: File, pid: Option<i32>) {
        if let Some(seat) = self.seat(&assignment) {
            seat.take(assignment.slot, assignment.generation, clock::now());
            pid.into_iter().for_each(|pid| seat.is_process(pid));
        }
        self.master.worker_started();
        let worker = Worker {
            assignment,
            pid,
            channel,
            stacks,
            samples: Samples::default(),
            is_ready: false,
            concurrent_calls: None,
            told: None,
            began: Instant::now(),
        };
        self.workers.insert(assignment.worker, worker);
    }

    /// Forgets a worker that never was a process of ours.
    pub(crate) fn forget(&mut self, id: WorkerId) {
        self.remove(id, Departure::BootFailed);
    }

    /// Forgets a worker; what it counted is kept.
    pub(crate) fn remove(&mut self, id: WorkerId, why: Departure) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        let (page, seat) = (self.page(&worker.assignment), self.seat(&worker.assignment));
        let (counted, lost) = page.final_totals();
        self.master.worker_ended(why, &counted, lost, || {
            page.clear();
            seat.into_iter().for_each(Seat::leave);
        });
        Some(worker)
    }

    /// How many requests have ended in all workers that ever were.
    pub(crate) fn requests(&self) -> u64 {
        let pages = self.workers.values().map(|worker| self.page(&worker.assignment));
        pages.fold(self.master.ended_requests(), |sum, page| sum.wrapping_add(page.requests()))
    }

    /// The counters of all workers that ever were.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.master.ended();
        self.workers.values().for_each(|worker| totals.add(&self.page(&worker.assignment).totals()));
        totals
    }

    pub(crate) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// The workers that have been asked for and are not forked yet.
    pub(crate) fn pending(&self) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| worker.pid.is_none()).map(|(id, _)| *id).collect()
    }

    /// A worker was forked; whether it is one that was asked for and is still needed.
    pub(crate) fn forked(&mut self, id: WorkerId, pid: i32) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        worker.pid = Some(pid);
        if let Some(seat) = self.master.seat(worker.assignment.page) {
            seat.is_process(pid);
        }
        true
    }

    /// The next message of a worker; `None` if there is none.
    pub(crate) fn message(&self, id: WorkerId) -> Option<FromWorker> {
        match self.workers.get(&id)?.channel.recv::<FromWorker>() {
            Ok(message) => message.map(|(message, _)| message),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                debug!(%error, "cannot read the worker's message");
                None
            }
        }
    }

    /// Tells a worker something. One that is dead is reaped in its time.
    pub(crate) fn tell(&self, id: WorkerId, message: &ToWorker) {
        self.tell_with(id, message, &[]);
    }

    /// As [`Fleet::tell`], with descriptors.
    pub(crate) fn tell_with(&self, id: WorkerId, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) {
        if let Some(worker) = self.workers.get(&id)
            && let Err(error) = worker.channel.send(message, descriptors)
        {
            let (worker, task_worker) = numbers(worker.assignment.slot);
            debug!(worker, task_worker, %error, "cannot send to the worker");
        }
    }
}
