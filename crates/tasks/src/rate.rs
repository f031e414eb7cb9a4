//! How many tasks of a name start in a period.

use crate::Millis;
use serde::{Deserialize, Serialize};

/// At most `count` starts in `period` milliseconds, spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how many milliseconds.
    pub period: u64,
}

/// When the next task of a name may start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots {
    /// The first free start, in microseconds since 1970.
    free: i64,
}

impl Slots {
    /// Takes the next start that is free: now, or the time at which it is.
    pub(crate) fn take(&mut self, rate: Rate, now: Millis) -> Millis {
        let now = now.saturating_mul(1000);
        let between = i64::try_from(rate.period.saturating_mul(1000) / u64::from(rate.count.max(1)))
            .unwrap_or(i64::MAX);
        let at = self.free.max(now);
        self.free = at.saturating_add(between);
        at.div_euclid(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_spread_evenly_and_not_saved_up() {
        let rate = Rate { count: 3, period: 1000 };
        let mut slots = Slots::default();
        let first: Vec<_> = (0..4).map(|_| slots.take(rate, 10_000)).collect();
        assert_eq!(first, [10_000, 10_333, 10_666, 10_999]);
        assert_eq!(slots.take(rate, 60_000), 60_000);
        assert_eq!(slots.take(rate, 60_000), 60_333);
    }
}
