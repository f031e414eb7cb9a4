//! The molds: one process for each generation that may still need workers.

use crate::{Orders, Spawner, mold::Mold};
use hostler_wire::Generation;
use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

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
pub(crate) struct Molds(BTreeMap<Generation, Breed>);

impl Molds {
    /// Adds a generation; its mold, if it needs one, is due at once.
    pub(crate) fn add(&mut self, generation: Generation, orders: Orders) {
        let due = matches!(orders.spawner, Spawner::Mold(_)).then(Instant::now);
        self.0.insert(generation, Breed { orders, mold: None, due });
    }

    pub(crate) fn get(&self, generation: Generation) -> Option<&Breed> {
        self.0.get(&generation)
    }

    pub(crate) fn get_mut(&mut self, generation: Generation) -> Option<&mut Breed> {
        self.0.get_mut(&generation)
    }

    pub(crate) fn newest(&self) -> Generation {
        self.0.keys().next_back().copied().unwrap_or(Generation(0))
    }

    /// Keeps some generations; the molds of the others see their channel close, and leave.
    pub(crate) fn keep(&mut self, keep: impl Fn(Generation) -> bool) {
        self.0.retain(|generation, _| keep(*generation));
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (Generation, &Mold)> {
        self.0.iter().filter_map(|(generation, breed)| Some((*generation, breed.mold.as_ref()?)))
    }

    pub(crate) fn generation_of(&self, pid: i32) -> Option<Generation> {
        self.running().find(|(_, mold)| mold.pid == pid).map(|(generation, _)| generation)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|breed| breed.due).min()
    }

    /// Starts the molds that are due; what went wrong with which.
    pub(crate) fn start_due(&mut self, shared: &[BorrowedFd<'_>]) -> Vec<(Generation, String)> {
        let now = Instant::now();
        let mut failed = Vec::new();
        for (generation, breed) in &mut self.0 {
            if breed.due.is_none_or(|due| due > now) {
                continue;
            }
            breed.due = None;
            let Spawner::Mold(command) = &breed.orders.spawner else { continue };
            match Mold::start(command, &breed.orders.settings, shared) {
                Ok(mold) => breed.mold = Some(mold),
                Err(error) => {
                    let program = command.program.display();
                    failed.push((
                        *generation,
                        format!("the Python interpreter `{program}` could not be started: {error}"),
                    ));
                }
            }
        }
        failed
    }
}
