//! The clock of the scoreboard, the same for all processes of a machine; and local time, for log lines.

use nix::time::{ClockId, clock_getres, clock_gettime};
use std::time::Duration;

/// Nanoseconds of the monotonic clock (clock_gettime(2)), which does not run while the machine is suspended.
#[must_use]
pub fn now() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

/// The kernel's clock tick (clock_getres(2)), in which it measures what need not be exact.
#[must_use]
pub fn tick() -> Duration {
    // The longest that kernels are built with.
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::from_millis(10), Duration::from)
}

/// How far local time is from UTC at this second since 1970, in seconds; 0 if it is not known.
#[must_use]
pub fn local_offset(second: u64) -> i32 {
    let Ok(second) = libc::time_t::try_from(second) else { return 0 };
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r(3) with a number and a live place for the result.
    let found = unsafe { libc::localtime_r(&raw const second, local.as_mut_ptr()) };
    if found.is_null() {
        return 0;
    }
    // SAFETY: zeroes are a `tm`, and it was filled.
    let local = unsafe { local.assume_init() };
    i32::try_from(local.tm_gmtoff).unwrap_or(0)
}
