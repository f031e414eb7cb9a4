//! A page: what it holds, and how its owner and the master use it.

use super::{
    ring::{BACKGROUND, InFlight, RING, RingEntry, SESSIONS},
    totals::{CLASSES, Counters, METHODS, Totals, add, method_index},
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
    /// On others: the number of the master's last question where its threads are.
    used: AtomicU32,
    /// Nanoseconds of the monotonic clock: when the loop's heartbeat timer fired last.
    beat_at: AtomicU64,
    /// The same clock: when the loop last turned.
    turned_at: AtomicU64,
    turns: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) in_flight: AtomicU64,
    /// Those of them whose responses are sent: background work goes on.
    background: AtomicU64,
    /// Other protocols, as WebSockets, that are spoken on connections and streams.
    open_sessions: AtomicU64,
    /// How late the loop's timers were last, in nanoseconds.
    lag: AtomicU64,
    counters: Counters,
    /// From which ids of requests are made.
    seed: [AtomicU64; 2],
    ring: [RingEntry; RING],
    sessions: [RingEntry; SESSIONS],
    /// When a debugger was last seen to hold the worker; the same clock as `beat_at`.
    debugged_at: AtomicU64,
    /// For how long the process has been busy, in nanoseconds, and since when it is, on the same clock; 0 if it is not.
    busy: AtomicU64,
    busy_since: AtomicU64,
}

const _: () = assert!(size_of::<Page>() == 12_288, "a page of the scoreboard is three of memory");

impl Page {
    /// Makes the page a vacant one.
    pub fn clear(&self) {
        self.set_state(PageState::Vacant);
        self.role.store(0, Relaxed);
        self.parked.store(0, Relaxed);
        self.used.store(0, Relaxed);
        let single = [
            &self.beat_at,
            &self.turned_at,
            &self.turns,
            &self.connections,
            &self.in_flight,
            &self.background,
            &self.open_sessions,
            &self.lag,
            &self.debugged_at,
            &self.busy,
            &self.busy_since,
        ];
        single.into_iter().for_each(|it| it.store(0, Relaxed));
        self.counters.clear();
        self.ring.iter().chain(&self.sessions).for_each(RingEntry::free);
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

    /// Has the worker of this page tell where its threads are. It looks here also while its loop is blocked, and reads no messages.
    pub fn ask_for_stacks(&self, question: u32) {
        self.used.store(question, Relaxed);
    }

    /// The number of the last such question.
    #[must_use]
    pub fn asked_for_stacks(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// How many pages have ever been given out, as the first page says.
    pub(super) fn used(&self) -> usize {
        usize::try_from(self.used.load(Relaxed)).unwrap_or(0)
    }

    /// The loop's timers are this late, in nanoseconds.
    pub fn lags(&self, nanos: u64) {
        self.lag.store(nanos, Relaxed);
        self.counters.lag.count(nanos);
    }

    /// How late the loop's timers were last, in nanoseconds.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.lag.load(Relaxed)
    }

    /// So many bytes of connections were read.
    #[inline]
    pub fn bytes_read(&self, count: usize) {
        add(&self.counters.bytes_read, count as u64);
    }

    /// So many bytes were written to connections.
    #[inline]
    pub fn bytes_written(&self, count: usize) {
        add(&self.counters.bytes_written, count as u64);
    }

    /// So many log lines were dropped, by any thread of the worker.
    pub fn lines_dropped(&self, count: u64) {
        self.counters.lines_dropped.fetch_add(count, Relaxed);
    }

    /// A request waited this long for the application.
    #[inline]
    pub fn request_queued(&self, nanos: u64) {
        self.counters.queued.count(nanos);
    }

    /// The response to a request that has this entry has this status.
    #[inline]
    pub fn request_responded(&self, entry: Option<usize>, status: u16) {
        if let Some(entry) = entry {
            self.ring[entry].respond(status);
        }
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

    /// A debugger holds the worker.
    pub fn is_debugged(&self, now: u64) {
        self.debugged_at.store(now, Relaxed);
    }

    /// When a debugger was last seen to hold the worker; 0 if none was.
    #[must_use]
    pub fn debugged_at(&self) -> u64 {
        self.debugged_at.load(Relaxed)
    }

    /// The process has something to do from now on.
    pub fn becomes_busy(&self, now: u64) {
        self.busy_since.store(now.max(1), Relaxed);
    }

    /// It has done it.
    pub fn becomes_idle(&self, now: u64) {
        let since = self.busy_since.load(Relaxed);
        if since > 0 {
            self.busy_since.store(0, Relaxed);
            add(&self.busy, now.saturating_sub(since));
        }
    }

    /// For how long the process has been busy until now, in nanoseconds: it had tasks, or its loop did not wait. The latter is
    /// measured only where the number of workers follows their load.
    #[must_use]
    pub fn busy_nanos(&self, now: u64) -> u64 {
        let since = self.busy_since.load(Relaxed);
        let current = if since > 0 { now.saturating_sub(since) } else { 0 };
        self.busy.load(Relaxed).saturating_add(current)
    }

    /// How many requests waited for the application, and for how long together, in nanoseconds.
    #[must_use]
    pub fn queued(&self) -> (u64, u64) {
        let queued = self.counters.queued.read();
        (queued.count(), queued.nanos)
    }

    /// A value that changes whenever the loop makes progress: its heartbeat, or a request that begins or ends. A turn may be
    /// long although no call is, when many clients send requests at once.
    #[must_use]
    pub fn progress(&self) -> [u64; 3] {
        [self.beat_at.load(Relaxed), self.in_flight(), self.counters.requests()]
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
        add(&self.counters.accepted, 1);
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

    /// A task began; its entry in the ring, unless all are taken. The queue counts it.
    pub fn task_began(&self, now: u64, name: &str) -> Option<usize> {
        if self.in_flight() == 0 {
            self.becomes_busy(now);
        }
        self.request_began(now, "TASK", name, None)
    }

    /// It ended.
    pub fn task_ended(&self, now: u64, entry: Option<usize>) {
        add(&self.in_flight, u64::MAX);
        if self.in_flight() == 0 {
            self.becomes_idle(now);
        }
        if let Some(entry) = entry {
            self.ring[entry].free();
        }
    }

    /// Whether an entry in the ring has room for all of a method and a path.
    #[must_use]
    pub fn shows_whole(method: &str, path: &str) -> bool {
        RingEntry::has_room(method, path)
    }

    /// A request has this id in its header.
    pub fn request_identified(&self, entry: Option<usize>, id: &str) {
        if let Some(entry) = entry {
            self.ring[entry].identify(id);
        }
    }

    /// From which ids of requests are made, beside when they began.
    pub fn set_seed(&self, seed: [u64; 2]) {
        self.seed.iter().zip(seed).for_each(|(place, part)| place.store(part, Relaxed));
    }

    /// See [`Page::set_seed`].
    #[must_use]
    pub fn seed(&self) -> [u64; 2] {
        [0, 1].map(|part| self.seed[part].load(Relaxed))
    }

    /// A request ended after so many nanoseconds; `status` is 0 if there was no response, `method` of [`super::METHODS`].
    pub fn request_ended(&self, entry: Option<usize>, method: u8, status: u16, nanos: u64) {
        add(&self.in_flight, u64::MAX);
        self.counters.response(method, status, nanos);
        if let Some(entry) = entry {
            self.ring[entry].free();
        }
    }

    /// A request was responded to that never was in flight, because it is refused.
    pub fn request_refused(&self, method: u8, status: u16, nanos: u64) {
        self.counters.response(method, status, nanos);
    }

    /// Another protocol follows the request that has this entry; the protocol's own, unless all are taken.
    pub fn session_began(&self, request: Option<usize>) -> Option<usize> {
        add(&self.open_sessions, 1);
        add(&self.counters.sessions, 1);
        let free = self.sessions.iter().position(RingEntry::is_free)?;
        self.sessions[free].copy(&self.ring[request?]);
        Some(free)
    }

    /// It ended.
    pub fn session_ended(&self, entry: Option<usize>) {
        add(&self.open_sessions, u64::MAX);
        if let Some(entry) = entry {
            self.sessions[entry].free();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn open_sessions(&self) -> u64 {
        self.open_sessions.load(Relaxed)
    }

    /// Background work after a response began; its entry in the ring, unless all are taken.
    pub fn work_began(&self, now: u64, method: &str, path: &str) -> Option<usize> {
        add(&self.background, 1);
        let entry = self.request_began(now, method, path, None);
        self.request_responded(entry, BACKGROUND);
        entry
    }

    /// Background work ended.
    pub fn work_ended(&self, entry: Option<usize>) {
        add(&self.background, u64::MAX);
        add(&self.in_flight, u64::MAX);
        if let Some(entry) = entry {
            self.ring[entry].free();
        }
    }

    /// The counters of a process that has ended: with its requests in flight, which count with their statuses if they had
    /// one, and as requests without a response otherwise.
    #[must_use]
    pub fn final_totals(&self) -> (Totals, u64) {
        let mut totals = self.totals();
        if self.role() == Some(Role::Tasks) {
            // Tasks are the queue's to count.
            return (totals, 0);
        }
        let unanswered = self.in_flight().saturating_sub(self.background.load(Relaxed));
        let mut unknown = unanswered;
        for request in self.requests_in_flight().iter().filter(|request| !request.is_background) {
            if unknown == 0 {
                break;
            }
            unknown -= 1;
            let class = usize::from(request.status / 100).min(CLASSES - 1);
            let count = &mut totals.responses[usize::from(method_index(&request.method))][class];
            *count = count.wrapping_add(1);
        }
        // Beyond the ring nothing else is known of them.
        let rest = &mut totals.responses[METHODS.len() - 1][0];
        *rest = rest.wrapping_add(unknown);
        (totals, unanswered)
    }

    /// The requests in flight, oldest first; those beyond the ring are missing.
    #[must_use]
    pub fn requests_in_flight(&self) -> Vec<InFlight> {
        let mut all: Vec<InFlight> = self.ring.iter().filter_map(RingEntry::read).collect();
        all.sort_by_key(|request| request.started_at);
        all
    }

    /// Protocols that follow requests, oldest first; those beyond the ring are missing.
    #[must_use]
    pub fn sessions(&self) -> Vec<InFlight> {
        let mut all: Vec<InFlight> = self.sessions.iter().filter_map(RingEntry::read).collect();
        all.sort_by_key(|session| session.started_at);
        all
    }

    /// How many requests have ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counters.requests()
    }

    /// The counters.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counters.read()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ring::RingEntry, Page, PageState, RING, SESSIONS};

    fn page() -> Box<Page> {
        Box::new(Page {
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
            background: 0.into(),
            open_sessions: 0.into(),
            debugged_at: 0.into(),
            busy: 0.into(),
            busy_since: 0.into(),
            lag: 0.into(),
            counters: Default::default(),
            seed: Default::default(),
            ring: std::array::from_fn(|_| RingEntry::new()),
            sessions: std::array::from_fn(|_| RingEntry::new()),
        })
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
        assert_eq!((seen[1].path.clone(), seen[1].peer), (format!("{}…", &long[..69]), None));
        assert_eq!((&seen[0].id, &seen[1].id), (&None, &None));
        page.request_ended(first, 0, 200, 5_000);
        page.request_ended(second, 2, 0, 5_000_000);
        assert_eq!((page.in_flight(), page.requests_in_flight()), (0, vec![]));
        let totals = page.totals();
        assert_eq!((totals.requests(), totals.of_class(2), totals.of_class(0)), (2, 1, 1));
        page.request_refused(0, 503, 1_000);
        let totals = page.totals();
        assert_eq!((page.in_flight(), totals.requests(), totals.of_class(5)), (0, 3, 1));
        page.set_state(PageState::Serving);
        page.clear();
        assert_eq!((page.totals(), page.state()), (Default::default(), PageState::Vacant));
    }

    #[test]
    fn requests_of_a_process_that_ended_are_counted_as_what_they_had_come_to() {
        let page = page();
        let done = page.request_began(1, "GET", "/", None);
        page.request_ended(done, 0, 200, 1);
        let answered = page.request_began(2, "POST", "/", None);
        page.request_responded(answered, 201);
        let _lost = page.request_began(3, "GET", "/", None);
        let _work = page.work_began(4, "GET", "/work");
        let beyond = RING + 2;
        for n in 0..beyond - 3 {
            let _ = page.request_began(5 + n as u64, "PUT", "/", None);
        }
        let (totals, lost) = page.final_totals();
        assert_eq!(lost as usize, beyond - 1);
        assert_eq!((totals.requests() as usize, totals.of_class(2)), (beyond, 2));
        assert_eq!((totals.responses[0][0], totals.responses[8][0]), (1, 2));
        assert_eq!(page.requests_in_flight().iter().filter(|it| it.is_background).count(), 1);
    }

    #[test]
    fn a_shorter_path_does_not_show_the_rest_of_a_longer_one() {
        let page = page();
        let entry = page.request_began(1, "OPTIONS", "/a/rather/long/path/of/forty/characters", None);
        page.request_ended(entry, 0, 200, 1);
        let _ = page.request_began(2, "GET", "/12345678", None);
        assert_eq!(page.requests_in_flight()[0].path, "/12345678");
    }

    #[test]
    fn what_was_cut_is_seen_and_what_fits_is_whole() {
        let page = page();
        let (whole, long) = ("/".repeat(72), format!("/{}", "é".repeat(40)));
        let entry = page.request_began(1, "PROPPATCH", &whole, None);
        page.request_identified(entry, "0af76519-16cd-43dd-8448-eb211c80319c");
        let _ = page.request_began(2, "PROPFIND", &long, None);
        let seen = page.requests_in_flight();
        assert_eq!((seen[0].method.as_str(), &seen[0].path), ("PROPP…", &whole));
        assert_eq!(seen[0].id.as_deref(), Some("0af76519-16cd-43dd-8448-eb211c80319c"));
        assert_eq!((seen[1].method.as_str(), &seen[1].path), ("PROPFIND", &format!("/{}…", "é".repeat(34))));
        page.request_identified(entry, &"x".repeat(100));
        assert_eq!(page.requests_in_flight()[0].id, Some(format!("{}…", "x".repeat(37))));
    }

    #[test]
    fn sessions_do_not_take_the_places_of_requests() {
        let page = page();
        let request = page.request_began(7, "GET", "/ws", None);
        page.request_identified(request, "x1");
        let entries: Vec<_> = (0..100).map(|_| page.session_began(request)).collect();
        let session = page.sessions().remove(0);
        assert_eq!(
            (session.path.as_str(), session.started_at, session.id.as_deref()),
            ("/ws", 7, Some("x1"))
        );
        assert_eq!(
            (page.open_sessions(), page.sessions().len(), page.requests_in_flight().len()),
            (100, SESSIONS, 1)
        );
        entries.into_iter().for_each(|entry| page.session_ended(entry));
        assert_eq!((page.open_sessions(), page.sessions(), page.totals().sessions), (0, vec![], 100));
    }

    #[test]
    fn requests_beyond_the_ring_are_counted() {
        let page = page();
        let entries: Vec<_> =
            (0..RING + 2).map(|n| page.request_began(n as u64 + 1, "GET", "/", None)).collect();
        assert_eq!((page.in_flight(), page.requests_in_flight().len()), (26, RING));
        entries.into_iter().for_each(|entry| page.request_ended(entry, 0, 200, 1));
        assert_eq!(page.in_flight(), 0);
    }
}
