//! The time of day, from the monotonic clock that is read for each request anyway.

use hostler_sys::clock;
use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long the distance between the two clocks is taken to be the same: as late is a change of the time of day noticed.
const VALID_NANOS: u64 = Duration::from_secs(1).as_nanos() as u64;

/// The distance between the clocks.
#[derive(Debug, Default)]
pub(crate) struct Wall(Cell<Moment>);

#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    monotonic: u64,
    /// Nanoseconds since 1970.
    wall: u64,
    offset: i32,
}

impl Wall {
    /// Seconds and nanoseconds since 1970, and how far local time is from UTC.
    pub(crate) fn at(&self, monotonic: u64) -> (u64, u32, i32) {
        let mut known = self.0.get();
        if known.wall == 0 || monotonic.wrapping_sub(known.monotonic) > VALID_NANOS {
            known = Moment::of(monotonic);
            self.0.set(known);
        }
        let wall = known.wall + (monotonic - known.monotonic);
        let nanos = u32::try_from(wall % 1_000_000_000).unwrap_or(0);
        (wall / 1_000_000_000, nanos, known.offset)
    }
}

impl Moment {
    #[cold]
    fn of(monotonic: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The moment may be in the past.
        let ago = clock::now().saturating_sub(monotonic);
        let wall = u64::try_from(since.as_nanos()).unwrap_or(0).saturating_sub(ago);
        Self { monotonic, wall, offset: clock::local_offset(since.as_secs()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{VALID_NANOS, Wall};
    use hostler_sys::clock;

    #[test]
    fn the_time_of_day_goes_on_with_the_monotonic_clock() {
        let wall = Wall::default();
        let now = clock::now();
        let (second, nanos, offset) = wall.at(now);
        let before = second * 1_000_000_000 + u64::from(nanos);
        for later in [1, VALID_NANOS / 2, VALID_NANOS] {
            let (second, nanos, same) = wall.at(now + later);
            assert_eq!(second * 1_000_000_000 + u64::from(nanos), before + later);
            assert_eq!(same, offset);
        }
    }
}
