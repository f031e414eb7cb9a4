//! The clock of the scoreboard, the same for all processes of a machine.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock (clock_gettime(2)), which does not run while the machine is suspended.
#[must_use]
pub fn now() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}
