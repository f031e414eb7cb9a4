//! How long requests have waited in the kernel for the loop, which is so only if its last turns were long.
//!
//! The kernel says when a connection last received something, by its clock tick: the first milliseconds of what it says may
//! be none. What is sure is that nothing waited while the loop waited for it. The attendant knows when that was last so.

use hostler_sys::{attendant, clock, stream};
use std::{cell::Cell, os::fd::RawFd, time::Duration};

/// A wait that is as good as none, in nanoseconds.
const SHORT: u64 = 1_000_000;

/// When the last two turns of the loop began in which there were requests.
#[derive(Debug, Default)]
pub(crate) struct Turns(Cell<(u64, u64)>);

impl Turns {
    /// How long a request that begins now has waited in the kernel, in nanoseconds of whole milliseconds; `None` if that is not
    /// known. The loop last turned then.
    #[inline]
    pub(crate) fn kernel_wait(&self, turned_at: u64, now: u64, connection: RawFd) -> Option<u64> {
        let possible = self.possible(turned_at, now, attendant::loop_waited_at());
        if possible < SHORT { Some(0) } else { asked(possible, connection) }
    }

    /// The longest that a request that begins now can have waited, in nanoseconds: what arrived before the turn before last, or
    /// before the loop last waited, was noticed at once.
    #[inline]
    fn possible(&self, turned_at: u64, now: u64, waited_at: u64) -> u64 {
        let (mut before, last) = self.0.get();
        if last != turned_at {
            before = last;
            self.0.set((before, turned_at));
        }
        now.saturating_sub(before.max(waited_at))
    }
}

/// What the kernel says of a wait that may have been so many nanoseconds.
#[cold]
fn asked(possible: u64, connection: RawFd) -> Option<u64> {
    let possible = Duration::from_nanos(possible);
    if possible < clock::tick() {
        return Some(0);
    }
    let waited = stream::last_received(connection)?.min(possible);
    Some(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::Turns;

    #[test]
    fn a_request_may_have_waited_since_the_turn_before_last() {
        let turns = Turns::default();
        let possible = |turned_at, now| turns.possible(turned_at, now, 0);
        assert_eq!(possible(1000, 1001), 1001, "nothing is known of the turn before");
        assert_eq!(possible(1005, 1006), 6);
        assert_eq!(possible(1005, 1100), 100, "this turn has lasted long");
        assert_eq!(possible(1200, 1200), 195, "the last one did");
        assert_eq!(possible(1209, 1209), 9);
    }

    #[test]
    fn nothing_has_waited_while_the_loop_did() {
        let turns = Turns::default();
        turns.possible(1000, 1000, 0);
        assert_eq!(turns.possible(9000, 9001, 8990), 11);
        assert_eq!(turns.possible(9000, 9003, 9000), 3);
    }
}
