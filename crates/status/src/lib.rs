//! What a server and its workers are doing, as operators are shown it: one model for `/status.json`, the dashboard and
//! `hostler ctl`. docs/STATUS.md describes its JSON.
//!
//! [`read()`] makes it from the scoreboard, what is fixed of the server ([`Facts`]), and what the kernel says of processes
//! ([`Usage`]). It only reads memory and calls `measure`, which the caller may cache.
//!
//! Files: `model` what is shown, `tasks` the part about the task queue, `companions` that about companions, `read` how it comes about, `usage` the kernel's part.

#![forbid(unsafe_code)]

mod companions;
mod model;
mod read;
mod tasks;
#[cfg(test)]
mod tests;
mod usage;

pub use companions::{Companion, LastExit, companions};
pub use model::{Activity, ActivityKind, LastReload, Server, Status, Times, Traffic, Worker, WorkerState};
pub use read::{Facts, Seen, read, status};
pub use tasks::{Queue, TaskQueue, Totals, task_workers};
pub use usage::{MOST_READ, Usage};
