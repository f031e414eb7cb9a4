//! What the master and the keeper of the task queue tell each other.

use crate::Appearance;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The argument by which the program knows that it is to be the keeper.
pub const KEEPER_ARGUMENT: &str = "--this-process-keeps-the-task-queue";
/// The descriptor on which the keeper is sent what it needs, and which is closed when it is to end.
pub const KEEPER_CHANNEL: i32 = 3;

/// What the keeper is told first. What it is told later is a [`crate::ToProgram`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeeperSetup {
    /// How it appears.
    pub appearance: Appearance,
    /// The queue's file.
    pub queue: PathBuf,
}

/// What the keeper tells the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// Tasks could start and wait for a worker, or none does any more. While some wait it is told again and again.
    Waiting(TasksWaiting),
}

/// Tasks that could start, and have no worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksWaiting {
    /// How many.
    pub count: u64,
    /// How long the one that is to start next has waited.
    pub longest: Duration,
}
