//! What the program around the loop can observe of it.

use std::{os::fd::RawFd, sync::OnceLock};

/// Receives what happens to the loops of this process. The calls come from the loop's thread, some without the GIL,
/// and must return at once.
pub trait Observer: Send + Sync {
    /// The thread has released the GIL and waits for events from now on.
    fn parked(&self) {}

    /// The thread has stopped waiting. It does not hold the GIL yet, and may have to wait for it.
    fn unparked(&self) {}

    /// A turn of the loop begins. Its callbacks may block the thread.
    fn turn_begins(&self) {}

    /// A loop has opened this descriptor for itself: an epoll set, an eventfd or a timerfd.
    fn opened(&self, _descriptor: RawFd) {}

    /// A loop is about to close this descriptor.
    fn closing(&self, _descriptor: RawFd) {}
}

/// Observes nothing.
struct Silent;

impl Observer for Silent {}

static OBSERVER: OnceLock<&'static dyn Observer> = OnceLock::new();

/// Sets the observer of this process and of those that it forks. Only the first one counts.
pub fn set_observer(observer: &'static dyn Observer) {
    let _ = OBSERVER.set(observer);
}

pub(crate) fn observer() -> &'static dyn Observer {
    OBSERVER.get().copied().unwrap_or(&Silent)
}
