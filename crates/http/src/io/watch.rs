//! Descriptors that are no streams of tokio's, registered with its runtime.

#![expect(unsafe_code, reason = "registering a descriptor needs a promise that it stays the same one")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Owns one descriptor and returns the same one for its whole life.
pub(crate) trait StableFd: AsRawFd {}

impl StableFd for OwnedFd {}

/// Registers a descriptor with the runtime of this thread.
pub(crate) fn watch<T: StableFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `StableFd` types own the one descriptor that they return, until they are dropped.
    unsafe { AsyncFd::register_with_interest(owner, interest) }.map_err(io::Error::from)
}
