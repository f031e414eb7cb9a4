//! The pause before a task is tried again.

use crate::Millis;
use serde::{Deserialize, Serialize};

/// How pauses grow: `base · factor^n`, at most `most`, of which a random part as large as `jitter` is left out, so that tasks that failed
/// together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backoff {
    /// The first pause in milliseconds.
    pub base: u64,
    /// By what each following one is longer.
    pub factor: f64,
    /// The longest in milliseconds.
    pub most: u64,
    /// From 0 (none) to 1 (any part of the pause).
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: 1000, factor: 2.0, most: 600_000, jitter: 0.5 }
    }
}

impl Backoff {
    /// The pause after the attempt with this number, which begins with 1; `random` is from 0 to 1.
    #[must_use]
    pub fn pause(&self, attempt: u32, random: f64) -> Millis {
        let most = self.most.min(MOST);
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = if self.factor.is_finite() { self.factor.max(1.0) } else { 1.0 };
        // f64 has no overflow: it is infinite, which `min` takes for long.
        #[expect(clippy::cast_precision_loss, reason = "pauses are far below 2^53 ms")]
        let full = (self.base as f64 * factor.powi(exponent)).min(most as f64);
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "at most `MOST`")]
        let pause = (full * (1.0 - jitter * random.clamp(0.0, 1.0))).round() as Millis;
        pause
    }
}

/// The longest pause that there is: 1,000 days.
const MOST: u64 = 1000 * 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff { base: 1000, factor: 2.0, most: 5000, jitter: 0.0 };
        let pauses: Vec<_> = (1..=5).map(|attempt| backoff.pause(attempt, 0.7)).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn jitter_leaves_out_a_part() {
        let backoff = Backoff { base: 1000, factor: 1.0, most: 5000, jitter: 0.5 };
        assert_eq!((backoff.pause(9, 0.0), backoff.pause(9, 1.0)), (1000, 500));
    }

    #[test]
    fn no_number_is_too_odd() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let backoff = Backoff { base: u64::MAX, factor: value, most: u64::MAX, jitter: value };
            let pause = backoff.pause(u32::MAX, value);
            assert!((0..=Millis::try_from(MOST).unwrap()).contains(&pause), "{value}: {pause}");
        }
    }
}
