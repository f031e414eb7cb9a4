//! When the requests of one connection have kept the loop for long enough.
//!
//! hyper serves pipelined requests in one poll of the connection's task, as long as their responses are ready at once.
//! Quick ones are best served like that. Applications that block the thread would keep everything else waiting: responses
//! that are complete, other connections, timers, and with them the heartbeat.

use std::{cell::Cell, time::Duration};

/// A connection whose requests have taken this long in one poll lets the loop turn before its next one: the time for
/// which responses wait for one another in the batch.
const MAX_NANOS: u64 = Duration::from_millis(1).as_nanos() as u64;

/// One poll of a connection's task.
#[derive(Debug, Default)]
pub(crate) struct PollTime(Cell<u64>);

impl PollTime {
    /// Another poll begins.
    pub(crate) fn restart(&self) {
        self.0.set(0);
    }

    /// A request begins now, in nanoseconds of the monotonic clock. Whether the ones before it, in the same poll, have
    /// used up the time.
    pub(crate) fn is_used_up(&self, now: u64) -> bool {
        match self.0.get() {
            0 => {
                self.0.set(now);
                false
            }
            began => now.saturating_sub(began) >= MAX_NANOS,
        }
    }

    /// Whether a request has begun in this poll.
    pub(crate) fn is_running(&self) -> bool {
        self.0.get() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_NANOS, PollTime};

    #[test]
    fn quick_requests_share_a_poll() {
        let time = PollTime::default();
        assert!(!time.is_running());
        for now in [1, 2, MAX_NANOS] {
            assert!(!time.is_used_up(now), "{now}");
            assert!(time.is_running());
        }
    }

    #[test]
    fn the_request_after_a_slow_one_waits_for_another_poll() {
        let time = PollTime::default();
        assert!(!time.is_used_up(7));
        assert!(time.is_used_up(7 + MAX_NANOS));
        assert!(time.is_used_up(8 + MAX_NANOS), "as do all that follow");
        time.restart();
        assert!(!time.is_running());
        assert!(!time.is_used_up(9 + MAX_NANOS));
    }

    #[test]
    fn many_requests_that_are_not_slow_use_up_the_time_together() {
        let time = PollTime::default();
        let waits = (1..=16).find(|count| time.is_used_up(count * MAX_NANOS / 10));
        assert_eq!(waits, Some(11));
    }
}
