//! Syscalls behind safe types: fork, wait, signals, channels, sockets, shared memory, titles.
//!
//! This crate is the home of `unsafe` (docs/UNSAFE.md lists every block); what it exports is safe to call,
//! save [`process::fork`], whose contract its caller must keep. Nothing here decides anything.

#![expect(unsafe_code, reason = "this crate wraps system calls; each block says why it is sound")]

pub mod attendant;
pub mod board;
pub mod channel;
pub mod clock;
pub mod disposition;
pub mod identity;
pub mod logging;
pub mod memory;
pub mod message;
pub mod orphan;
pub mod own;
pub mod own_file;
pub mod pid_file;
pub mod proc;
pub mod process;
pub mod signal;
pub mod sink;
pub mod socket;
pub mod stacks;
pub mod stream;
pub mod thread;
pub mod title;
