//! Syscalls behind safe types, and what needs nothing else.
//!
//! This crate is the home of `unsafe` (docs/UNSAFE.md lists every block); what it exports is safe to call, except for
//! [`process::fork`], whose contract its caller must keep. Nothing here makes decisions.
//!
//! ```text
//! process/     forking, waiting, starting programs; users, titles, /proc, threads
//! signal/      signals as events; dispositions in mold, workers and master
//! net/         listeners and connections
//! ipc/         messages with descriptors between processes
//! scoreboard/  shared memory: the scoreboard, its clock, stacks
//! logging/     log lines, and where they are written without blocking
//! files/       files that a server creates and removes, and those that clients name
//! own/         what is ours in a process, and giving it up in one that the application forks
//! attendant    a thread that acts while the serving loop is blocked
//! memory       the C allocator
//! random       seeds
//! ```

#![expect(unsafe_code, reason = "this crate wraps system calls; each block says why it is sound")]

pub mod attendant;
mod files;
mod ipc;
pub mod logging;
pub mod memory;
mod net;
pub mod own;
pub mod process;
pub mod random;
mod scoreboard;
pub mod signal;

pub use files::{beneath, byte_locks, own_file, pid_file};
pub use ipc::{bundle, channel, message};
pub use net::{control, handshakes, listening, socket, stream};
pub use process::{debugger, identity, orphan, proc, terminal, thread, title};
pub use scoreboard::{board, clock, facts, stacks};
pub use signal::disposition;
