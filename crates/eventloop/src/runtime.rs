//! The tokio runtime of one thread: it holds the GIL while it works and releases it while it is parked.

#![expect(unsafe_code, reason = "the runtime is taken out of what is dropped")]

use crate::{
    descriptors::Opened,
    gil::{release, take},
};
use std::{
    io,
    mem::ManuallyDrop,
    ops::Deref,
    os::fd::RawFd,
    thread::{self, ThreadId},
};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// How many tasks run before sockets are polled again: tokio's default, spelled out because docs/EVENT_LOOP.md names
/// it.
const TASKS_PER_POLL: u32 = 61;

/// A runtime for the thread that makes it.
pub struct Runtime {
    runtime: ManuallyDrop<LocalRuntime>,
    thread: ThreadId,
    opened: Opened,
}

impl Runtime {
    /// Makes one for this thread, which is to hold the GIL whenever it runs it. The runtime's two hooks are the only
    /// places that release and take the GIL.
    ///
    /// # Errors
    /// The kernel's, when the process has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let make = || {
            Builder::new_current_thread()
                .enable_all()
                .event_interval(TASKS_PER_POLL)
                .on_thread_park(release)
                .on_thread_unpark(take)
                .build_local(LocalOptions::default())
        };
        let (runtime, opened) = Opened::by(make)?;
        Ok(Self { runtime: ManuallyDrop::new(runtime), thread: thread::current().id(), opened })
    }

    /// Whether it belongs to the current thread.
    pub(crate) fn is_of_this_thread(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// The runtime's epoll set, which tokio does not expose.
    pub(crate) fn epoll(&self) -> Option<RawFd> {
        self.opened.epoll()
    }
}

impl Drop for Runtime {
    /// In the background, because the loop may be closed inside another runtime, where waiting for threads panics.
    /// This runtime has none.
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.opened));
        // SAFETY: taken once, here, and not used afterwards.
        let runtime = unsafe { ManuallyDrop::take(&mut self.runtime) };
        runtime.shutdown_background();
    }
}

impl Deref for Runtime {
    type Target = LocalRuntime;

    fn deref(&self) -> &LocalRuntime {
        &self.runtime
    }
}
