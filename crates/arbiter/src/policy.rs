//! The numbers that the rules use.

use crate::Time;
use hostler_settings::Supervision;
use std::time::Duration;

/// What was configured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How many workers there should be.
    pub workers: u16,
    /// How long a worker told to drain may take before it is killed.
    pub graceful_timeout: Duration,
    /// How long to serve on after the signal to stop.
    pub drain_delay: Duration,
    /// How long a worker may take to be ready; `None` is unlimited.
    pub boot_timeout: Option<Duration>,
    /// How long a worker's loop may be blocked; `None` disables stall detection.
    pub stall_timeout: Option<Duration>,
    /// The age at which a worker is replaced.
    pub lifetime: Option<Duration>,
    /// The jitter: up to this part of the lifetime, 0 to 1, is taken off at random.
    pub lifetime_jitter: f64,
    /// The least time between two planned replacements.
    pub respawn_interval: Duration,
    /// How many workers may be replaced at a time.
    pub max_replacing: u16,
    /// The seed of the jitter; each server has its own.
    pub seed: u64,
}

impl Policy {
    /// What the options say, for so many workers.
    #[must_use]
    pub fn of(workers: u16, options: &Supervision) -> Self {
        Self {
            workers,
            graceful_timeout: options.graceful_timeout,
            drain_delay: options.drain_delay,
            boot_timeout: options.boot_timeout,
            stall_timeout: options.stall_timeout,
            lifetime: options.lifetime,
            lifetime_jitter: options.lifetime_jitter.fraction(),
            respawn_interval: options.respawn_interval,
            max_replacing: options.max_replacing,
            seed: 0,
        }
    }

    /// The same for task workers, `most` at the most. One that has run as many tasks as it may takes nothing more: it is replaced at once,
    /// as are all that have come so far.
    #[must_use]
    pub fn of_tasks(workers: u16, most: u16, options: &Supervision) -> Self {
        Self { respawn_interval: Duration::ZERO, max_replacing: most.max(1), ..Self::of(workers, options) }
    }

    /// So many processes that no limit recycles or replaces.
    #[must_use]
    pub fn unlimited(workers: u16, graceful_timeout: Duration) -> Self {
        Self {
            workers,
            graceful_timeout,
            drain_delay: Duration::ZERO,
            boot_timeout: None,
            stall_timeout: None,
            lifetime: None,
            lifetime_jitter: 0.0,
            respawn_interval: Duration::ZERO,
            max_replacing: 1,
            seed: 0,
        }
    }

    /// When a worker that became ready at `ready` is to be replaced for its age.
    pub(crate) fn recycling(&self, ready: Time, salt: u64) -> Option<Time> {
        let lifetime = self.lifetime?;
        let part = self.lifetime_jitter.clamp(0.0, 1.0) * unit_random(self.seed, salt);
        Some(ready + lifetime.mul_f64(1.0 - part))
    }
}

/// A number from 0 to 1 that depends on nothing else (splitmix64, Steele et al. 2014).
pub(crate) fn unit_random(seed: u64, salt: u64) -> f64 {
    let mut mixed = seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // The 53 bits that a double holds.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let part = (mixed >> 11) as f64 / (1u64 << 53) as f64;
    part
}

/// The wait before the second attempt at a slot; it doubles from then on. The first is made at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The wait before an attempt that follows `failures` failures in a row; `jitter`, 0 to 1, takes off up to a quarter.
pub(crate) fn backoff(failures: u32, jitter: f64) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => {
            let wait = FIRST_BACKOFF.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_BACKOFF);
            wait.mul_f64(1.0 - jitter / 4.0)
        }
    }
}
