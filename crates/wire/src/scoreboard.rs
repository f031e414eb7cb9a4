//! The scoreboard: a page of shared memory for each worker, written by it alone and read by everybody.
//!
//! [`Page`] is one's own, or the master's view of all; [`SiblingPage`] is one in memory that cannot be written. What
//! a page says is a hint: its worker runs code of the application, which may write anything there.
//!
//! Plain atomics without ordering between them: a reader may see a request that has just ended, never
//! memory that is not there. The page survives its worker, so what it was doing can be told afterwards.

use std::{
    mem::offset_of,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// How many pages there are. Pages that were never used cost no memory.
pub const PAGES: usize = 4096;
/// Latencies are counted in this many buckets; bucket `n` holds those below 2ⁿ µs, the last one all others.
pub const LATENCY_BUCKETS: usize = 24;
/// How many requests in flight are told apart; more are only counted.
const RING: usize = 24;
/// Bytes of a path that are kept.
const PATH: usize = 72;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PageState {
    /// The page is nobody's.
    Vacant = 0,
    /// The worker prepares to serve.
    Booting = 1,
    /// It serves.
    Serving = 2,
    /// It finishes what it has.
    Draining = 3,
}

/// A worker's page. All zeroes is a vacant one.
#[repr(C, align(4096))]
pub struct Page {
    state: AtomicU32,
    /// Which slot the worker fills.
    slot: AtomicU32,
    /// The loop waits for events.
    parked: AtomicU32,
    /// On the first page, which is no worker's: how many pages have ever been given out, that one included.
    used: AtomicU32,
    /// Nanoseconds of the monotonic clock: when the loop's heartbeat timer fired last.
    beat_at: AtomicU64,
    /// The same clock: when the loop last came around.
    turned_at: AtomicU64,
    turns: AtomicU64,
    connections: AtomicU64,
    in_flight: AtomicU64,
    accepted: AtomicU64,
    requests: AtomicU64,
    statuses: [AtomicU64; 6],
    latencies: [AtomicU64; LATENCY_BUCKETS],
    ring: [RingEntry; RING],
}

/// A request in flight.
#[repr(C)]
struct RingEntry {
    /// Odd while it is written, zero while it is free.
    sequence: AtomicU64,
    started_at: AtomicU64,
    method: AtomicU64,
    peer: [AtomicU64; 3],
    path: [AtomicU64; PATH / 8],
}

const _: () = assert!(size_of::<Page>() == 4096, "a page has the size of a page");

impl Page {
    /// Says on the first page that this page, too, may be a worker's from now on.
    pub fn will_use(&self, page: u16) {
        self.used.fetch_max(u32::from(page) + 1, Relaxed);
    }
}

/// The page of another worker, mapped for reading alone: a write would end the process.
#[repr(transparent)]
pub struct SiblingPage(Page);

/// Those of these pages that have ever been a worker's. Where they end is said on the first one, which is no worker's.
#[must_use]
pub fn used(pages: &[SiblingPage]) -> &[SiblingPage] {
    let Some((first, rest)) = pages.split_first() else { return pages };
    let used = usize::try_from(first.0.used.load(Relaxed)).unwrap_or(0);
    &rest[..used.saturating_sub(1).min(rest.len())]
}

impl SiblingPage {
    /// What the worker is doing.
    #[must_use]
    pub fn state(&self) -> PageState {
        self.0.state()
    }

    /// Which slot the worker fills.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.0.slot()
    }

    /// When the loop's heartbeat timer fired last.
    #[must_use]
    pub fn beat_at(&self) -> u64 {
        self.0.beat_at()
    }

    /// When the loop came around last.
    #[must_use]
    pub fn turned_at(&self) -> u64 {
        self.0.turned_at()
    }

    /// Whether the loop waits for events.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.0.is_parked()
    }

    /// How much it has to do.
    #[must_use]
    pub fn score(&self) -> u64 {
        self.0.score()
    }
}

/// What a page says at its beginning, for those who read the scoreboard as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Whether the page is a worker's.
    pub used: bool,
    /// Whether the worker serves.
    pub serves: bool,
    /// The worker's slot.
    pub slot: u32,
    /// Open connections.
    pub connections: u64,
    /// Requests whose answers are not sent yet.
    pub in_flight: u64,
}

impl Glance {
    /// How many bytes of a page are needed.
    pub const SIZE: usize = offset_of!(Page, in_flight) + 8;

    /// Reads the beginning of a page.
    #[must_use]
    pub fn of(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| std::array::from_fn(|n| bytes[at + n]);
        let long = |at: usize| std::array::from_fn(|n| bytes[at + n]);
        let state = u32::from_ne_bytes(word(offset_of!(Page, state)));
        Self {
            used: state != PageState::Vacant as u32,
            serves: state == PageState::Serving as u32,
            slot: u32::from_ne_bytes(word(offset_of!(Page, slot))),
            connections: u64::from_ne_bytes(long(offset_of!(Page, connections))),
            in_flight: u64::from_ne_bytes(long(offset_of!(Page, in_flight))),
        }
    }
}

/// A request in flight, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// When it began, in nanoseconds of the monotonic clock.
    pub started_at: u64,
    /// Cut to eight bytes.
    pub method: String,
    /// Cut to 72 bytes; without the query, which may hold secrets.
    pub path: String,
    /// The client; `None` on Unix sockets.
    pub peer: Option<SocketAddr>,
}

/// Counters that only grow. Those of workers that ended are kept by the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests answered.
    pub requests: u64,
    /// Answers by class: 1xx … 5xx, at their hundreds; at 0 those without an answer.
    pub statuses: [u64; 6],
    /// Answers by time, see [`LATENCY_BUCKETS`].
    pub latencies: [u64; LATENCY_BUCKETS],
}

/// Adds without a lock: each page has one writer.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Page {
    /// Makes the page a vacant one.
    pub fn clear(&self) {
        self.set_state(PageState::Vacant);
        self.parked.store(0, Relaxed);
        let single = [
            &self.beat_at,
            &self.turned_at,
            &self.turns,
            &self.connections,
            &self.in_flight,
            &self.accepted,
            &self.requests,
        ];
        single.into_iter().chain(&self.statuses).chain(&self.latencies).for_each(|it| it.store(0, Relaxed));
        self.ring.iter().for_each(|entry| entry.sequence.store(0, Relaxed));
    }

    /// What the worker is doing.
    #[must_use]
    pub fn state(&self) -> PageState {
        match self.state.load(Relaxed) {
            1 => PageState::Booting,
            2 => PageState::Serving,
            3 => PageState::Draining,
            _ => PageState::Vacant,
        }
    }

    /// Says what the worker is doing.
    pub fn set_state(&self, state: PageState) {
        self.state.store(state as u32, Relaxed);
    }

    /// Which slot the worker fills.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot.load(Relaxed)
    }

    /// Says which slot the worker fills.
    pub fn set_slot(&self, slot: u16) {
        self.slot.store(u32::from(slot), Relaxed);
    }

    /// The heartbeat, from the serving loop itself.
    pub fn beat(&self, now: u64) {
        self.beat_at.store(now, Relaxed);
    }

    /// When the loop's heartbeat timer fired last.
    #[must_use]
    pub fn beat_at(&self) -> u64 {
        self.beat_at.load(Relaxed)
    }

    /// The loop came around.
    pub fn turn(&self, now: u64) {
        add(&self.turns, 1);
        self.turned_at.store(now, Relaxed);
    }

    /// How often the loop came around.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// When the loop came around last.
    #[must_use]
    pub fn turned_at(&self) -> u64 {
        self.turned_at.load(Relaxed)
    }

    /// The loop waits for events from now on, or does so no more.
    pub fn set_parked(&self, parked: bool) {
        self.parked.store(u32::from(parked), Relaxed);
    }

    /// Whether the loop waits for events.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.parked.load(Relaxed) != 0
    }

    /// A connection was accepted from the queue.
    pub fn connection_accepted(&self) {
        add(&self.accepted, 1);
    }

    /// A connection is the worker's from now on.
    pub fn connection_opened(&self) {
        add(&self.connections, 1);
    }

    /// A connection is the worker's no more.
    pub fn connection_closed(&self) {
        add(&self.connections, u64::MAX);
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests whose answers are not sent yet, and work that goes on after answers.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// How much the worker has to do: its open connections, and once more those that work.
    #[must_use]
    pub fn score(&self) -> u64 {
        self.connections().saturating_add(self.in_flight())
    }

    /// A request began; its entry in the ring, unless all are taken.
    pub fn request_began(
        &self,
        now: u64,
        method: &str,
        path: &str,
        peer: Option<SocketAddr>,
    ) -> Option<usize> {
        add(&self.in_flight, 1);
        let free = self.ring.iter().position(|entry| entry.sequence.load(Relaxed) == 0)?;
        self.ring[free].fill(now, method, path, peer);
        Some(free)
    }

    /// A request ended after so many nanoseconds; `status` is 0 if nothing was answered.
    pub fn request_ended(&self, entry: Option<usize>, status: u16, nanos: u64) {
        add(&self.in_flight, u64::MAX);
        add(&self.requests, 1);
        add(&self.statuses[usize::from(status / 100).min(5)], 1);
        add(&self.latencies[bucket(nanos)], 1);
        if let Some(entry) = entry {
            self.ring[entry].sequence.store(0, Relaxed);
        }
    }

    /// Work that went on after an answer ended; it began as a request does.
    pub fn work_ended(&self, entry: Option<usize>) {
        add(&self.in_flight, u64::MAX);
        if let Some(entry) = entry {
            self.ring[entry].sequence.store(0, Relaxed);
        }
    }

    /// The requests in flight, oldest first; those beyond the ring are missing.
    #[must_use]
    pub fn requests_in_flight(&self) -> Vec<InFlight> {
        let mut all: Vec<InFlight> = self.ring.iter().filter_map(RingEntry::read).collect();
        all.sort_by_key(|request| request.started_at);
        all
    }

    /// The counters.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            accepted: self.accepted.load(Relaxed),
            requests: self.requests.load(Relaxed),
            statuses: std::array::from_fn(|n| self.statuses[n].load(Relaxed)),
            latencies: std::array::from_fn(|n| self.latencies[n].load(Relaxed)),
        }
    }
}

impl Totals {
    /// Adds the counters of another worker.
    pub fn add(&mut self, other: &Self) {
        let sums = [&mut self.accepted, &mut self.requests];
        let sums = sums.into_iter().chain(&mut self.statuses).chain(&mut self.latencies);
        let more = [other.accepted, other.requests].into_iter().chain(other.statuses).chain(other.latencies);
        // What a broken worker counted must not break whoever adds it up.
        sums.zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
    }
}

fn bucket(nanos: u64) -> usize {
    let micros = nanos / 1000;
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    bits.min(LATENCY_BUCKETS - 1)
}

impl RingEntry {
    fn fill(&self, now: u64, method: &str, path: &str, peer: Option<SocketAddr>) {
        // The start makes the sequence of each use another one.
        let sequence = now | 1;
        self.sequence.store(sequence, Relaxed);
        self.started_at.store(now, Relaxed);
        self.method.store(word(method.as_bytes(), 0), Relaxed);
        for (index, part) in self.path.iter().enumerate() {
            part.store(word(path.as_bytes(), index * 8), Relaxed);
            if path.len() < index * 8 {
                break;
            }
        }
        let (ip, port) = match peer.map(|peer| (peer.ip(), peer.port())) {
            Some((IpAddr::V4(ip), port)) => (ip.to_ipv6_mapped().to_bits(), u64::from(port) | 1 << 32),
            Some((IpAddr::V6(ip), port)) => (ip.to_bits(), u64::from(port) | 1 << 32),
            None => (0, 0),
        };
        let parts = [(ip >> 64) as u64, (ip & u128::from(u64::MAX)) as u64, port];
        self.peer.iter().zip(parts).for_each(|(entry, part)| entry.store(part, Relaxed));
    }

    fn read(&self) -> Option<InFlight> {
        let sequence = self.sequence.load(Relaxed);
        if sequence == 0 {
            return None;
        }
        let path: Vec<u64> = self.path.iter().map(|part| part.load(Relaxed)).collect();
        let [high, low, port] = [0, 1, 2].map(|n| self.peer[n].load(Relaxed));
        let ip = IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))).to_canonical();
        #[expect(clippy::cast_possible_truncation, reason = "the port is the low sixteen bits")]
        let peer = (port >> 32 != 0).then(|| SocketAddr::new(ip, port as u16));
        let request = InFlight {
            started_at: self.started_at.load(Relaxed),
            method: text(&[self.method.load(Relaxed)]),
            path: text(&path),
            peer,
        };
        (self.sequence.load(Relaxed) == sequence).then_some(request)
    }
}

/// Eight bytes of a text from here on, with zeroes behind its end.
fn word(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    let mut eight = [0; 8];
    let length = rest.len().min(8);
    eight[..length].copy_from_slice(&rest[..length]);
    u64::from_ne_bytes(eight)
}

fn text(words: &[u64]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{LATENCY_BUCKETS, Page, PageState, RING, bucket};

    fn page() -> Box<Page> {
        const ZERO: [u8; 4096] = [0; 4096];
        let page = Box::new(Page {
            state: 0.into(),
            slot: 0.into(),
            parked: 0.into(),
            used: 0.into(),
            beat_at: 0.into(),
            turned_at: 0.into(),
            turns: 0.into(),
            connections: 0.into(),
            in_flight: 0.into(),
            accepted: 0.into(),
            requests: 0.into(),
            statuses: Default::default(),
            latencies: Default::default(),
            ring: std::array::from_fn(|_| super::RingEntry {
                sequence: 0.into(),
                started_at: 0.into(),
                method: 0.into(),
                peer: Default::default(),
                path: Default::default(),
            }),
        });
        assert_eq!(size_of_val(&*page), ZERO.len());
        page
    }

    #[test]
    fn requests_are_seen_while_they_last() {
        let page = page();
        let peer = Some("10.1.2.3:4567".parse().unwrap());
        let long = "/x".repeat(100);
        let first = page.request_began(1000, "GET", "/slow", peer);
        let second = page.request_began(2000, "POST", &long, None);
        let seen = page.requests_in_flight();
        assert_eq!((seen[0].method.as_str(), seen[0].path.as_str(), seen[0].peer), ("GET", "/slow", peer));
        assert_eq!((seen[1].path.as_str(), seen[1].peer), (&long[..72], None));
        page.request_ended(first, 200, 5_000);
        page.request_ended(second, 0, 5_000_000);
        assert_eq!((page.in_flight(), page.requests_in_flight()), (0, vec![]));
        let totals = page.totals();
        assert_eq!((totals.requests, totals.statuses[2], totals.statuses[0]), (2, 1, 1));
        page.set_state(PageState::Serving);
        page.clear();
        assert_eq!((page.totals(), page.state()), (Default::default(), PageState::Vacant));
    }

    #[test]
    fn a_shorter_path_does_not_show_the_rest_of_a_longer_one() {
        let page = page();
        let entry = page.request_began(1, "OPTIONS", "/a/rather/long/path/of/forty/characters", None);
        page.request_ended(entry, 200, 1);
        let _ = page.request_began(2, "GET", "/12345678", None);
        assert_eq!(page.requests_in_flight()[0].path, "/12345678");
    }

    #[test]
    fn requests_beyond_the_ring_are_counted() {
        let page = page();
        let entries: Vec<_> =
            (0..RING + 2).map(|n| page.request_began(n as u64 + 1, "GET", "/", None)).collect();
        assert_eq!((page.in_flight(), page.requests_in_flight().len()), (26, RING));
        entries.into_iter().for_each(|entry| page.request_ended(entry, 200, 1));
        assert_eq!(page.in_flight(), 0);
    }

    #[test]
    fn latencies_fall_into_powers_of_two() {
        assert_eq!([0, 999, 1_000, 1_999, 2_000, 1_000_000].map(bucket), [0, 0, 1, 1, 2, 10]);
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
