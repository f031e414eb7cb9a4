//! Time since the beginning of a round, in milliseconds.

use std::{
    thread,
    time::{Duration, Instant},
};

/// A round's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        millis(self.0.elapsed())
    }

    pub(crate) fn wait_until(self, time: u64) {
        let end = self.0 + Duration::from_millis(time);
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until something is so, or this long; whether it is.
pub(crate) fn wait_for(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
