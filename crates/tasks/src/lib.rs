//! The embedded engine of `hostler.tasks`: a durable queue in one SQLite file.
//!
//! A task is accepted when it is on disk, runs at least once, and its result can be asked for until it is too old. One process
//! has the file, the *keeper*: programs that enqueue and task workers talk to it over a Unix socket beside the file. It does what
//! all of them have asked for since it looked last in one transaction, so that they share one fsync.
//!
//! A worker owns the tasks that it runs as long as it lives: it holds a lock on a byte of the lock file, which the kernel takes
//! back at its end whatever ends it. No clock decides that a task is given to another worker.
//!
//! Files: `task` what a task is, `message` what is said, `frame` how that travels; `store/` the file; `engine/` what is decided, without I/O
//! of its own but the store's; `keeper/` the process: sockets, locks, threads; `retry`, `rate` and `cron` are arithmetic.

#![deny(unsafe_code)]

mod cron;
mod engine;
mod error;
mod frame;
mod keeper;
mod message;
mod rate;
mod retry;
mod store;
mod task;

pub use cron::Schedule;
pub use engine::{ClientId, Engine, Incoming, Outgoing, Turn};
pub use error::{OpenError, StoreError};
pub use frame::{Frame, FrameError, MAX_FRAME, decode, encode};
pub use keeper::{Keeper, KeeperError, Waiting};
pub use message::{Answer, Ask, CronEntry, Details, Filter, NewTask, Refused, Shown};
pub use rate::Rate;
pub use retry::Backoff;
pub use store::{Store, examine};
pub use task::{Millis, NoId, State, TaskId, TaskOptions};
