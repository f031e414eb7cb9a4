//! When the master is told of tasks that wait for workers: at once when they begin to, and then from time to time as long as they do.

use hostler_wire::TasksWaiting;
use std::time::Duration;

/// How often while tasks wait.
const PACE: Duration = Duration::from_millis(200);

/// What was told last.
#[derive(Debug, Default)]
pub struct Waiting {
    /// How many waited then.
    told: u64,
    /// On the clock of `hostler_sys::clock`.
    told_at: Option<u64>,
    /// Something is to be told as soon as the pace allows.
    is_due: bool,
}

impl Waiting {
    /// How long to wait for what comes, before there is something to be told again.
    #[must_use]
    pub fn limit(&self, now: u64) -> Option<Duration> {
        self.is_due.then(|| PACE.saturating_sub(self.age(now).unwrap_or(PACE)))
    }

    fn age(&self, now: u64) -> Option<Duration> {
        self.told_at.map(|at| Duration::from_nanos(now.saturating_sub(at)))
    }

    /// What is to be told, if it is time.
    pub(super) fn news(
        &mut self,
        count: u64,
        now: u64,
        longest: impl FnOnce() -> Duration,
    ) -> Option<TasksWaiting> {
        self.is_due = count > 0 || self.told > 0;
        if !self.is_due || self.age(now).is_some_and(|age| age < PACE) {
            return None;
        }
        (self.told, self.told_at) = (count, Some(now));
        self.is_due = count > 0;
        Some(TasksWaiting { count, longest: if count > 0 { longest() } else { Duration::ZERO } })
    }
}

#[cfg(test)]
mod tests {
    use super::{PACE, Waiting};
    use std::time::Duration;

    #[test]
    fn the_first_task_that_waits_is_told_at_once_and_the_rest_at_a_pace() {
        let mut waiting = Waiting::default();
        let mut news = |count, millis: u64| {
            let now = millis * 1_000_000;
            let told = waiting.news(count, now, || Duration::from_secs(1)).map(|it| it.count);
            (told, waiting.limit(now))
        };
        assert_eq!(news(0, 0), (None, None), "nothing waits: nothing is told, and no time is waited for");
        assert_eq!(news(1, 10), (Some(1), Some(PACE)));
        assert_eq!(news(5, 20), (None, Some(PACE - Duration::from_millis(10))));
        assert_eq!(news(5, 210), (Some(5), Some(PACE)));
        assert_eq!(news(0, 220), (None, Some(PACE - Duration::from_millis(10))), "that it is over, too");
        assert_eq!(news(0, 410), (Some(0), None));
        assert_eq!(news(0, 10_000), (None, None));
        assert_eq!(news(2, 10_001), (Some(2), Some(PACE)));
    }
}
