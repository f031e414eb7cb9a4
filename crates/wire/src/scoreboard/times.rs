//! How long things take: a histogram on a page, and as it is read.
//!
//! The bounds of its buckets are ten to a decade, so that percentiles are exact to a quarter, and those that monitoring
//! usually asks for (5 ms, 10 ms, 25 ms, …) are among them.

use super::totals::add;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bounds within a decade.
const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
/// Decades: the first begins at 10 µs, the last ends at 100 s.
const DECADES: usize = 7;
/// How many bounds there are.
pub(super) const BOUNDS: usize = STEPS.len() * DECADES + 1;
/// How many buckets there are: one up to each bound, and one for everything above.
pub const BUCKETS: usize = BOUNDS + 1;

/// The bounds in nanoseconds: bucket `n` counts times up to and with the bound of the same number.
pub const BOUND_NANOS: [u64; BOUNDS] = bounds();

/// For each number of significant bits of a time, the first bucket that it can be in.
const FIRST: [u8; 65] = first_buckets();

const fn bounds() -> [u64; BOUNDS] {
    let mut bounds = [0; BOUNDS];
    let (mut n, mut scale) = (0, 1000);
    while n < BOUNDS {
        bounds[n] = STEPS[n % STEPS.len()] * scale;
        n += 1;
        if n % STEPS.len() == 0 {
            scale *= 10;
        }
    }
    bounds
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 buckets")]
const fn first_buckets() -> [u8; 65] {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits < 65 {
        let mut bucket = 0;
        while bucket < BOUNDS && BOUND_NANOS[bucket] < 1 << (bits - 1) {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
}

/// The bucket of a time.
#[inline]
fn bucket(nanos: u64) -> usize {
    let mut bucket = usize::from(FIRST[(u64::BITS - nanos.leading_zeros()) as usize]);
    while bucket < BOUNDS && BOUND_NANOS[bucket] < nanos {
        bucket += 1;
    }
    bucket
}

/// How long something took, each time.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Times {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Times {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| 0.into()), nanos: 0.into() }
    }
}

impl Times {
    #[inline]
    pub(super) fn count(&self, nanos: u64) {
        add(&self.buckets[bucket(nanos)], 1);
        add(&self.nanos, nanos);
    }

    pub(super) fn read(&self) -> Histogram {
        let buckets = std::array::from_fn(|n| self.buckets[n].load(Relaxed));
        Histogram { buckets, nanos: self.nanos.load(Relaxed) }
    }

    pub(super) fn add(&self, more: &Histogram) {
        self.buckets.iter().zip(more.buckets).for_each(|(count, more)| add(count, more));
        add(&self.nanos, more.nanos);
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.buckets.iter().chain([&self.nanos])
    }
}

/// How long something took, each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// How often, by time: see [`BOUND_NANOS`].
    pub buckets: [u64; BUCKETS],
    /// All times together, in nanoseconds.
    pub nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], nanos: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// The bound, in nanoseconds, below which this part (0 to 1) of the times is, interpolated within its bucket; `None` if
    /// none was counted. Times above the last bound count as that bound.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = self.count() as f64 * part;
        let mut below = 0.0;
        for (n, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (low, count) = (if n == 0 { 0 } else { BOUND_NANOS[n - 1] }, *count as f64);
            let high = BOUND_NANOS.get(n).copied().unwrap_or(low);
            if below + count >= wanted {
                return Some(low as f64 + (high - low) as f64 * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUND_NANOS, BOUNDS, Histogram, Times, bucket};

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let slow = |nanos: u64| BOUND_NANOS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS);
        let times = BOUND_NANOS.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for nanos in times.chain([0, 1, u64::MAX]).chain((0..63).map(|bits| 1 << bits)) {
            assert_eq!(bucket(nanos), slow(nanos), "{nanos} ns");
        }
        assert!(BOUND_NANOS.is_sorted());
        assert_eq!((BOUND_NANOS[0], BOUND_NANOS[BOUNDS - 1]), (10_000, 100_000_000_000));
    }

    #[test]
    fn quantiles_are_where_the_times_were() {
        let times = Times::default();
        assert_eq!(times.read().quantile(0.5), None);
        (1..=1000).for_each(|millis| times.count(millis * 1_000_000));
        let histogram = times.read();
        assert_eq!((histogram.count(), histogram.nanos), (1000, 500_500_000_000));
        for (part, millis) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = histogram.quantile(part).unwrap() / 1e6;
            assert!((found - millis).abs() < millis * 0.05, "{part}: {found}");
        }
        let mut sum = Histogram::default();
        sum.add(&histogram);
        times.add(&sum);
        assert_eq!(times.read().count(), 2000);
    }
}
