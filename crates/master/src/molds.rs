//! The molds: one process for each generation that may still need workers.

use crate::{Orders, Spawner, mold::Mold};
use hostler_sys::process;
use hostler_wire::Generation;
use nix::libc::SIGKILL;
use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};
use tracing::debug;

/// How long to wait before a lost mold is replaced, and how long one may take to leave at the end.
pub(crate) const MOLD_PAUSE: Duration = Duration::from_secs(1);

/// A generation: what it is made of, and its mold.
pub(crate) struct Breed {
    pub(crate) orders: Orders,
    pub(crate) mold: Option<Mold>,
    /// When a new mold is due, if there is none.
    pub(crate) due: Option<Instant>,
}

/// All generations that may still need workers.
#[derive(Default)]
pub(crate) struct Molds {
    breeds: BTreeMap<Generation, Breed>,
    /// Molds that were told to leave, and when they are killed if they do not.
    leaving: Vec<(i32, Option<Instant>)>,
}

/// How the start of a mold went.
pub(crate) type Started = Result<(), String>;

impl Molds {
    /// Adds a generation; its mold, if it needs one, is due at once.
    pub(crate) fn add(&mut self, generation: Generation, orders: Orders) {
        let due = matches!(orders.spawner, Spawner::Mold(_)).then(Instant::now);
        self.breeds.insert(generation, Breed { orders, mold: None, due });
    }

    pub(crate) fn get(&self, generation: Generation) -> Option<&Breed> {
        self.breeds.get(&generation)
    }

    pub(crate) fn get_mut(&mut self, generation: Generation) -> Option<&mut Breed> {
        self.breeds.get_mut(&generation)
    }

    pub(crate) fn generations(&self) -> impl Iterator<Item = Generation> {
        self.breeds.keys().copied()
    }

    pub(crate) fn newest(&self) -> Generation {
        self.breeds.keys().next_back().copied().unwrap_or(Generation(0))
    }

    /// Keeps some generations. The molds of the others see their channel close, and leave; those that do not are
    /// killed: they hang in the application's import, or are stopped.
    pub(crate) fn keep(&mut self, keep: impl Fn(Generation) -> bool) {
        let kill_at = Instant::now() + MOLD_PAUSE;
        let gone = self.running().filter(|(generation, _)| !keep(*generation));
        let gone: Vec<_> = gone.map(|(_, mold)| (mold.pid, Some(kill_at))).collect();
        self.leaving.extend(gone);
        self.breeds.retain(|generation, _| keep(*generation));
    }

    /// Has all molds leave, until they are needed again; whose they were.
    pub(crate) fn rest(&mut self) -> Vec<Generation> {
        let kill_at = Instant::now() + MOLD_PAUSE;
        let mut rest = Vec::new();
        for (generation, breed) in &mut self.breeds {
            breed.due = None;
            if let Some(mold) = breed.mold.take() {
                self.leaving.push((mold.pid, Some(kill_at)));
                rest.push(*generation);
            }
        }
        rest
    }

    /// Sees to it that a generation has a mold, now or soon.
    pub(crate) fn ensure(&mut self, generation: Generation) {
        if let Some(breed) = self.breeds.get_mut(&generation)
            && breed.mold.is_none()
            && matches!(breed.orders.spawner, Spawner::Mold(_))
        {
            breed.due.get_or_insert_with(Instant::now);
        }
    }

    /// Kills those that were told to leave and did not.
    pub(crate) fn kill_overdue(&mut self) {
        let now = Instant::now();
        for (pid, kill_at) in &mut self.leaving {
            if kill_at.is_some_and(|at| now >= at) {
                *kill_at = None;
                debug!(pid, "a mold that is not needed any more does not leave, and is killed");
                let _ = process::signal(*pid, SIGKILL);
            }
        }
    }

    /// Whether the process that ended was a mold that was told to leave.
    pub(crate) fn has_left(&mut self, pid: i32) -> bool {
        let before = self.leaving.len();
        self.leaving.retain(|(leaving, _)| *leaving != pid);
        self.leaving.len() < before
    }

    /// What the generations are made of.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &Orders> {
        self.breeds.values().map(|breed| &breed.orders)
    }

    /// The processes of all molds.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.running().map(|(_, mold)| mold.pid).chain(self.leaving.iter().map(|(pid, _)| *pid))
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (Generation, &Mold)> {
        self.breeds.iter().filter_map(|(generation, breed)| Some((*generation, breed.mold.as_ref()?)))
    }

    pub(crate) fn generation_of(&self, pid: i32) -> Option<Generation> {
        self.running().find(|(_, mold)| mold.pid == pid).map(|(generation, _)| generation)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.breeds.values().filter_map(|breed| breed.due).min()
    }

    /// When the next one that was told to leave is killed.
    pub(crate) fn next_kill(&self) -> Option<Instant> {
        self.leaving.iter().filter_map(|(_, kill_at)| *kill_at).min()
    }

    /// Starts the molds that are due; how it went with each.
    pub(crate) fn start_due(&mut self, shared: &[BorrowedFd<'_>]) -> Vec<(Generation, Started)> {
        let now = Instant::now();
        let mut started = Vec::new();
        for (generation, breed) in &mut self.breeds {
            if breed.due.is_none_or(|due| due > now) {
                continue;
            }
            breed.due = None;
            let Spawner::Mold(command) = &breed.orders.spawner else { continue };
            match Mold::start(command, &breed.orders.settings, shared) {
                Ok(mold) => {
                    breed.mold = Some(mold);
                    started.push((*generation, Ok(())));
                }
                Err(error) => {
                    let program = command.program.display();
                    let how = format!("the Python interpreter `{program}` could not be started: {error}");
                    started.push((*generation, Err(how)));
                }
            }
        }
        started
    }
}
