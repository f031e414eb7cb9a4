//! Counters that are added up over processes.

/// Latencies are counted in this many buckets; bucket `n` holds those below 2ⁿ µs, the last one all others.
pub const LATENCY_BUCKETS: usize = 24;

/// Counters that only grow. Those of workers that ended are kept by the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Responses by class: 1xx … 5xx, at their hundreds; at 0 requests without a response.
    pub statuses: [u64; 6],
    /// Responses by time, see [`LATENCY_BUCKETS`].
    pub latencies: [u64; LATENCY_BUCKETS],
}

impl Totals {
    /// Adds the counters of another worker.
    pub fn add(&mut self, other: &Self) {
        let sums = [&mut self.accepted, &mut self.requests];
        let sums = sums.into_iter().chain(&mut self.statuses).chain(&mut self.latencies);
        let more = [other.accepted, other.requests].into_iter().chain(other.statuses).chain(other.latencies);
        // What a broken worker counted must not make the sum panic.
        sums.zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
    }
}

/// The bucket of a latency.
pub(super) fn bucket(nanos: u64) -> usize {
    let micros = nanos / 1000;
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    bits.min(LATENCY_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::{LATENCY_BUCKETS, bucket};

    #[test]
    fn latencies_fall_into_powers_of_two() {
        assert_eq!([0, 999, 1_000, 1_999, 2_000, 1_000_000].map(bucket), [0, 0, 1, 1, 2, 10]);
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
