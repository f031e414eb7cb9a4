//! A worker's life after the fork: register the listeners, tell the master, serve, drain, leave.
//!
//! [`life()`] is that life for any application; [`native::run`] wraps it in a runtime for native services,
//! and the Python host runs it inside its asyncio loop. A worker drains when the master says so, when it
//! gets SIGTERM itself, and when the channel to the master reads end-of-file because the master died.
//!
//! Not here: forking, and what happens to the worker if it hangs. Both are the master's.

#![forbid(unsafe_code)]

mod control;
mod life;
pub mod native;

pub use control::Order;
pub use life::{Ending, announce_failure, life};

use hostler_sys::channel::Channel;
use hostler_wire::{Generation, SeatId, WorkerSettings};
use std::os::fd::OwnedFd;

/// What a freshly forked worker is given.
pub struct Seat {
    /// The place it fills.
    pub seat: SeatId,
    /// The generation it belongs to.
    pub generation: Generation,
    /// Its line to the master.
    pub channel: Channel,
    /// The listening sockets, in the order of `settings.listeners`.
    pub listeners: Vec<OwnedFd>,
    /// What to serve, and how.
    pub settings: WorkerSettings,
    /// The process whose death ends the worker's life.
    pub master_pid: i32,
}

/// How long a worker may live on after its master died: long enough for requests in flight that are
/// nearly done, short enough that nobody meets two servers.
pub const ORPHAN_GRACE: std::time::Duration = std::time::Duration::from_millis(1400);

/// When the kernel ends an orphan that did not end itself.
pub const ORPHAN_LIMIT: std::time::Duration = std::time::Duration::from_millis(1700);
