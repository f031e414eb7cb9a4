//! Descriptors that are no streams of tokio's, watched by its runtime.

#![expect(unsafe_code, reason = "registering a descriptor needs a promise that it stays the same one")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// What owns one descriptor and shows the same one for its whole life.
pub(crate) trait Steady: AsRawFd {}

impl Steady for OwnedFd {}

/// Registers a descriptor with the runtime of this thread.
pub(crate) fn watch<T: Steady>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Steady` types own the one descriptor that they show, until they are dropped.
    unsafe { AsyncFd::register_with_interest(owner, interest) }.map_err(io::Error::from)
}
