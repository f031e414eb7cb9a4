//! Molds and workers: from the master's message to a serving application.

mod forks;
mod mold;
mod observe;
mod overdue;
mod preload;
mod tasks;
mod waits;
mod worker;

pub(crate) use forks::{after_fork_in_child, after_fork_in_parent, before_fork, is_forked};
pub(crate) use mold::mold_main;
pub(crate) use waits::WorkerObserver;
pub(crate) use worker::{PyWorker, rest};
