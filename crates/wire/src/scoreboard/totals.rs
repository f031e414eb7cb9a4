//! Counters that are added up over processes: as they are on a page, and as they are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Times are counted in this many buckets; bucket `n` holds those below 2ⁿ µs, the last one all others.
pub const BUCKETS: usize = 24;
/// Methods that are counted apart; the last one stands for all others.
pub const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "other"];
/// Classes of statuses: 1xx … 5xx at their hundreds, and at 0 requests without a response.
pub const CLASSES: usize = 6;

/// The place of a method in [`METHODS`].
#[must_use]
pub fn method_index(method: &str) -> u8 {
    match method.as_bytes() {
        b"GET" => 0,
        b"HEAD" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"DELETE" => 4,
        b"PATCH" => 5,
        b"OPTIONS" => 6,
        b"CONNECT" => 7,
        _ => 8,
    }
}

/// Adds without a lock: each page has one writer.
#[inline]
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// How long something took, each time.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Times {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Times {
    #[inline]
    pub(super) fn count(&self, nanos: u64) {
        add(&self.buckets[bucket(nanos)], 1);
        add(&self.nanos, nanos);
    }

    fn read(&self) -> Histogram {
        let buckets = std::array::from_fn(|n| self.buckets[n].load(Relaxed));
        Histogram { buckets, nanos: self.nanos.load(Relaxed) }
    }
}

/// How long something took, each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How often, by time: see [`BUCKETS`].
    pub buckets: [u64; BUCKETS],
    /// All times together, in nanoseconds.
    pub nanos: u64,
}

impl Histogram {
    fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }
}

/// What a process counts.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) responses: [[AtomicU64; CLASSES]; METHODS.len()],
    pub(super) latency: Times,
    pub(super) sessions: AtomicU64,
}

impl Counters {
    /// A request ended.
    #[inline]
    pub(super) fn response(&self, method: u8, status: u16, nanos: u64) {
        let by_class = &self.responses[usize::from(method).min(METHODS.len() - 1)];
        add(&by_class[usize::from(status / 100).min(CLASSES - 1)], 1);
        self.latency.count(nanos);
    }

    /// How many requests have ended.
    pub(super) fn requests(&self) -> u64 {
        self.responses.iter().flatten().fold(0, |sum, count| sum.wrapping_add(count.load(Relaxed)))
    }

    pub(super) fn clear(&self) {
        let times = self.latency.buckets.iter().chain([&self.latency.nanos]);
        let single = [&self.accepted, &self.sessions];
        single
            .into_iter()
            .chain(self.responses.iter().flatten())
            .chain(times)
            .for_each(|it| it.store(0, Relaxed));
    }

    pub(super) fn read(&self) -> Totals {
        Totals {
            accepted: self.accepted.load(Relaxed),
            responses: std::array::from_fn(|method| {
                std::array::from_fn(|class| self.responses[method][class].load(Relaxed))
            }),
            latency: self.latency.read(),
            sessions: self.sessions.load(Relaxed),
        }
    }
}

/// Counters that only grow. Those of workers that ended are kept by the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests that ended, those among them that were refused: by method ([`METHODS`]) and class ([`CLASSES`]).
    pub responses: [[u64; CLASSES]; METHODS.len()],
    /// From a request's head to the last byte of its response.
    pub latency: Histogram,
    /// WebSockets and other protocols that followed a request.
    pub sessions: u64,
}

impl Totals {
    /// Adds the counters of another worker.
    pub fn add(&mut self, other: &Self) {
        let sums = [&mut self.accepted, &mut self.sessions];
        let more = [other.accepted, other.sessions];
        let sums = sums.into_iter().chain(self.responses.iter_mut().flatten());
        let more = more.into_iter().chain(other.responses.into_iter().flatten());
        // What a broken worker counted must not make the sum panic.
        sums.zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        self.latency.add(&other.latency);
    }

    /// Requests that ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.responses.iter().flatten().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Those of a class: 5 for 5xx, 0 for requests without a response.
    #[must_use]
    pub fn of_class(&self, class: usize) -> u64 {
        self.responses
            .iter()
            .filter_map(|by_class| by_class.get(class))
            .fold(0, |sum, count| sum.wrapping_add(*count))
    }
}

/// The bucket of a time.
#[inline]
pub(super) fn bucket(nanos: u64) -> usize {
    let micros = nanos / 1000;
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    bits.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Counters, METHODS, Totals, bucket, method_index};

    #[test]
    fn latencies_fall_into_powers_of_two() {
        assert_eq!([0, 999, 1_000, 1_999, 2_000, 1_000_000].map(bucket), [0, 0, 1, 1, 2, 10]);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn each_method_has_its_place() {
        for (index, method) in METHODS.iter().enumerate() {
            assert_eq!(usize::from(method_index(method)), index);
        }
        assert_eq!(method_index("PROPFIND"), 8);
    }

    #[test]
    fn what_is_counted_is_read_added_and_cleared() {
        let counters = Counters::default();
        counters.response(method_index("POST"), 503, 2_000);
        counters.response(method_index("PROPFIND"), 0, 1);
        let mut totals = counters.read();
        assert_eq!((totals.requests(), totals.of_class(5), totals.responses[2][5]), (2, 1, 1));
        assert_eq!((totals.latency.nanos, totals.latency.buckets[2]), (2_001, 1));
        totals.add(&totals.clone());
        assert_eq!((totals.requests(), totals.latency.nanos), (4, 4_002));
        counters.clear();
        assert_eq!(counters.read(), Totals::default());
    }
}
