//! Counters that are added up over processes: as they are on a page, and as they are read.

use super::times::{Histogram, Times};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

/// What a process counts.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) responses: [[AtomicU64; CLASSES]; METHODS.len()],
    pub(super) sessions: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) lines_dropped: AtomicU64,
    pub(super) latency: Times,
    pub(super) queued: Times,
    pub(super) lag: Times,
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

    fn single(&self) -> [&AtomicU64; 5] {
        [&self.accepted, &self.sessions, &self.bytes_read, &self.bytes_written, &self.lines_dropped]
    }

    fn times(&self) -> [&Times; 3] {
        [&self.latency, &self.queued, &self.lag]
    }

    pub(super) fn clear(&self) {
        let times = self.times().into_iter().flat_map(Times::words);
        self.single()
            .into_iter()
            .chain(self.responses.iter().flatten())
            .chain(times)
            .for_each(|it| it.store(0, Relaxed));
    }

    /// Adds what another process counted.
    pub(super) fn add(&self, more: &Totals) {
        let mine = self.single().into_iter().chain(self.responses.iter().flatten());
        let theirs = more.single().into_iter().chain(more.responses.into_iter().flatten());
        mine.zip(theirs).for_each(|(sum, more)| add(sum, more));
        self.times()
            .into_iter()
            .zip([&more.latency, &more.queued, &more.lag])
            .for_each(|(sum, more)| sum.add(more));
    }

    pub(super) fn read(&self) -> Totals {
        let [accepted, sessions, bytes_read, bytes_written, lines_dropped] =
            self.single().map(|it| it.load(Relaxed));
        Totals {
            accepted,
            sessions,
            bytes_read,
            bytes_written,
            lines_dropped,
            responses: std::array::from_fn(|method| {
                std::array::from_fn(|class| self.responses[method][class].load(Relaxed))
            }),
            latency: self.latency.read(),
            queued: self.queued.read(),
            lag: self.lag.read(),
        }
    }
}

/// Counters that only grow. Those of workers that ended are kept by the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub accepted: u64,
    /// WebSockets and other protocols that followed a request.
    pub sessions: u64,
    /// Bytes of connections that were read.
    pub bytes_read: u64,
    /// Bytes that were written to them.
    pub bytes_written: u64,
    /// Log lines that were dropped because the log could not take them.
    pub lines_dropped: u64,
    /// Requests that ended, those among them that were refused: by method ([`METHODS`]) and class ([`CLASSES`]).
    pub responses: [[u64; CLASSES]; METHODS.len()],
    /// From a request's head to the last byte of its response.
    pub latency: Histogram,
    /// How long requests waited for the application, or a thread of it.
    pub queued: Histogram,
    /// How late timers of the event loop are.
    pub lag: Histogram,
}

impl Totals {
    /// Adds the counters of another worker.
    pub fn add(&mut self, other: &Self) {
        let sums = [
            &mut self.accepted,
            &mut self.sessions,
            &mut self.bytes_read,
            &mut self.bytes_written,
            &mut self.lines_dropped,
        ];
        let sums = sums.into_iter().chain(self.responses.iter_mut().flatten());
        let more = other.single().into_iter().chain(other.responses.into_iter().flatten());
        // What a broken worker counted must not make the sum panic.
        sums.zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        self.latency.add(&other.latency);
        self.queued.add(&other.queued);
        self.lag.add(&other.lag);
    }

    fn single(&self) -> [u64; 5] {
        [self.accepted, self.sessions, self.bytes_read, self.bytes_written, self.lines_dropped]
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

#[cfg(test)]
mod tests {
    use super::{Counters, METHODS, Totals, method_index};

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
        assert_eq!((totals.latency.nanos, totals.latency.buckets[0]), (2_001, 2));
        totals.add(&totals.clone());
        assert_eq!((totals.requests(), totals.latency.nanos), (4, 4_002));
        counters.add(&totals);
        assert_eq!((counters.read().requests(), counters.read().latency.count()), (6, 6));
        counters.clear();
        assert_eq!(counters.read(), Totals::default());
    }
}
