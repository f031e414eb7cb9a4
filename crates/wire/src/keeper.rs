//! What the master tells the keeper of the task queue.

use crate::Appearance;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The argument by which the program knows that it is to be the keeper.
pub const KEEPER_ARGUMENT: &str = "--this-process-keeps-the-task-queue";
/// The descriptor on which the keeper is sent what it needs, and which is closed when it is to end.
pub const KEEPER_CHANNEL: i32 = 3;

/// What the keeper is told first. When a reload changes how it appears, it is sent an [`Appearance`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeeperSetup {
    /// How it appears.
    pub appearance: Appearance,
    /// The queue's file.
    pub queue: PathBuf,
}
