//! The master's loop: everything that happens to the fleet passes through here, one event at a time.
//!
//! A turn is: wait for a signal, a message or a deadline; make it an [`hostler_arbiter::Event`]; apply the
//! actions that come back. Deciding is `arbiter`'s work and is tested without processes; doing is this
//! crate's and holds no rules about workers.
//!
//! Invariants
//! - One thread, no tokio, no Python: so that `fork` is sound and application code cannot hurt it.
//! - Nothing blocks except the wait at the top of the loop.
//! - A worker is forgotten when `waitpid` returned it, never because it was sent a signal.
//! - Listening sockets stay open here until the end, so no accept queue dies with a worker.
//!
//! Not here: accepting connections. If the master dies, workers see their channel close and drain.

#![deny(unsafe_code)]

mod fleet;
mod mold;
mod native;
pub mod report;
mod run;

pub use mold::MoldCommand;
pub use native::NativeSeat;

use hostler_wire::{ExitStatus, ListenerInfo, WorkerSettings};
use std::os::fd::OwnedFd;

/// What the master is to keep alive.
pub struct Plan {
    /// The listening sockets and where they listen.
    pub listeners: Vec<(ListenerInfo, OwnedFd)>,
    /// How many workers.
    pub workers: u16,
    /// What each worker is told.
    pub settings: WorkerSettings,
    /// How workers are made.
    pub spawner: Spawner,
    /// Unix sockets that this server made, to be removed at its end.
    pub owned_paths: Vec<std::path::PathBuf>,
}

/// How workers are made.
pub enum Spawner {
    /// By a mold, which has Python.
    Mold(MoldCommand),
    /// By forking the master, which then runs this and leaves with the code it returns.
    Native(Box<dyn Fn(NativeSeat) -> u8>),
}

/// Keeps the workers alive until told to stop.
#[must_use]
pub fn run(plan: Plan) -> ExitStatus {
    run::run(plan)
}
