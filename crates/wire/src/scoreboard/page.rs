//! A page: what it holds, and how its owner and the master use it.

use super::{
    ring::{InFlight, RING, RingEntry},
    totals::{LATENCY_BUCKETS, Totals, bucket},
};
use crate::{Role, SlotId};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PageState {
    /// The page is vacant.
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
    pub(super) state: AtomicU32,
    /// A [`Role`]; zero on a vacant page.
    role: AtomicU32,
    /// The slot that the process fills.
    group: AtomicU32,
    pub(super) slot_index: AtomicU32,
    /// The loop waits for events.
    parked: AtomicU32,
    /// On the first page, which is no worker's: how many pages have ever been given out, that one included.
    used: AtomicU32,
    /// Nanoseconds of the monotonic clock: when the loop's heartbeat timer fired last.
    beat_at: AtomicU64,
    /// The same clock: when the loop last turned.
    turned_at: AtomicU64,
    turns: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) in_flight: AtomicU64,
    accepted: AtomicU64,
    requests: AtomicU64,
    statuses: [AtomicU64; 6],
    latencies: [AtomicU64; LATENCY_BUCKETS],
    ring: [RingEntry; RING],
}

const _: () = assert!(size_of::<Page>() == 4096, "a page has the size of a page");

/// Adds without a lock: each page has one writer.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Page {
    /// Makes the page a vacant one.
    pub fn clear(&self) {
        self.set_state(PageState::Vacant);
        self.role.store(0, Relaxed);
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
        self.ring.iter().for_each(RingEntry::free);
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

    /// What kind of process it is; `None` if the page is vacant or its role is not known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        Role::from_number(self.role.load(Relaxed))
    }

    /// The index of the slot that the process fills, within its group.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        self.slot_index.load(Relaxed)
    }

    /// Says what kind of process it is, and which slot it fills.
    pub fn identify(&self, role: Role, slot: SlotId) {
        self.role.store(role as u32, Relaxed);
        self.group.store(u32::from(slot.group.0), Relaxed);
        self.slot_index.store(u32::from(slot.index), Relaxed);
    }

    /// Says on the first page that this page, too, may be a process's from now on.
    pub fn will_use(&self, page: u16) {
        self.used.fetch_max(u32::from(page) + 1, Relaxed);
    }

    /// How many pages have ever been given out, as the first page says.
    pub(super) fn used(&self) -> usize {
        usize::try_from(self.used.load(Relaxed)).unwrap_or(0)
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

    /// The loop turned.
    pub fn turn(&self, now: u64) {
        add(&self.turns, 1);
        self.turned_at.store(now, Relaxed);
    }

    /// How often the loop turned.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// When the loop turned last.
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

    /// Requests whose responses are not sent yet, and background work after responses.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// How loaded the worker is: its open connections, plus its requests in flight.
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
        let free = self.ring.iter().position(RingEntry::is_free)?;
        self.ring[free].fill(now, method, path, peer);
        Some(free)
    }

    /// A request ended after so many nanoseconds; `status` is 0 if there was no response.
    pub fn request_ended(&self, entry: Option<usize>, status: u16, nanos: u64) {
        add(&self.in_flight, u64::MAX);
        add(&self.requests, 1);
        add(&self.statuses[usize::from(status / 100).min(5)], 1);
        add(&self.latencies[bucket(nanos)], 1);
        if let Some(entry) = entry {
            self.ring[entry].free();
        }
    }

    /// Background work after a response ended; it began as a request does.
    pub fn work_ended(&self, entry: Option<usize>) {
        add(&self.in_flight, u64::MAX);
        if let Some(entry) = entry {
            self.ring[entry].free();
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

#[cfg(test)]
mod tests {
    use super::{super::ring::RingEntry, Page, PageState, RING};

    fn page() -> Box<Page> {
        const ZERO: [u8; 4096] = [0; 4096];
        let page = Box::new(Page {
            state: 0.into(),
            role: 0.into(),
            group: 0.into(),
            slot_index: 0.into(),
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
            ring: std::array::from_fn(|_| RingEntry::new()),
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
}
