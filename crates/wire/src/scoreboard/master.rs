//! What the master writes of the server, and of each worker: memory that all others only read.
//!
//! A worker's page is its own, and is cleared when it is gone. What the master knows of it (its process, its generation, why
//! it goes) is its [`Seat`] here, and what it had counted moves to the counters of those that ended. A reader that
//! must not see that half done reads with [`MasterPage::consistently`].

use super::{
    PAGES,
    departure::{Departure, Reload, ServerState},
    totals::{Counters, Totals, add},
};
use crate::{Generation, SlotId};
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// How often a reader tries to see all counters at rest. A move takes microseconds.
const ATTEMPTS: usize = 1000;
/// Numbers of departures.
const DEPARTURES: usize = 32;
/// Numbers of outcomes of a reload.
const OUTCOMES: usize = 8;

const _: () = assert!(Departure::ALL.len() < DEPARTURES && Reload::ALL.len() < OUTCOMES);

/// The master's part of the scoreboard. All zeroes is a server of which nothing is known.
#[repr(C, align(4096))]
pub struct MasterPage {
    /// Odd while counters move from a page to those of workers that ended.
    moves: AtomicU64,
    pid: AtomicU32,
    state: AtomicU32,
    /// Whether no other server has the service.
    is_service: AtomicU32,
    /// Whether all workers have served at some time.
    has_started: AtomicU32,
    generation: AtomicU32,
    wanted: AtomicU32,
    serving: AtomicU32,
    /// When the server started: nanoseconds of the monotonic clock, and milliseconds since 1970.
    started_at: AtomicU64,
    started_unix: AtomicU64,
    /// When the master last turned, on the same clock.
    turned_at: AtomicU64,
    /// Workers started, and those that ended, by [`Departure`].
    starts: AtomicU64,
    ends: [AtomicU64; DEPARTURES],
    /// Requests that were in flight in workers that ended without finishing them.
    lost: AtomicU64,
    /// By [`Reload`].
    reloads: [AtomicU64; OUTCOMES],
    last_reload: AtomicU32,
    last_reload_generation: AtomicU32,
    last_reload_at: AtomicU64,
    ended: Counters,
    seats: [Seat; PAGES],
}

/// What the master knows of the worker that has the page of the same number.
#[repr(C, align(64))]
pub struct Seat {
    group: AtomicU32,
    slot: AtomicU32,
    pid: AtomicU32,
    generation: AtomicU32,
    /// A [`Departure`].
    departure: AtomicU32,
    killed: AtomicU32,
    started_at: AtomicU64,
    serving_at: AtomicU64,
}

/// A seat as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatView {
    /// The group of the worker's slot ([`crate::GroupId`]).
    pub group: u32,
    /// The index of the worker's slot.
    pub slot: u32,
    /// The worker's process, once it exists.
    pub pid: Option<i32>,
    /// Its generation.
    pub generation: u32,
    /// Why it goes, if it is on its way.
    pub departure: Option<Departure>,
    /// It was sent SIGKILL.
    pub killed: bool,
    /// When it was asked for, on the scoreboard's clock; 0 if there is none.
    pub started_at: u64,
    /// When it was ready; 0 until then.
    pub serving_at: u64,
}

impl Seat {
    /// A worker was asked for.
    pub fn take(&self, slot: SlotId, generation: Generation, now: u64) {
        self.leave();
        self.group.store(u32::from(slot.group.0), Relaxed);
        self.slot.store(u32::from(slot.index), Relaxed);
        self.generation.store(generation.0, Relaxed);
        self.started_at.store(now, Relaxed);
    }

    /// Its process exists.
    pub fn is_process(&self, pid: i32) {
        self.pid.store(pid.cast_unsigned(), Relaxed);
    }

    /// It serves.
    pub fn serves(&self, now: u64) {
        self.serving_at.store(now, Relaxed);
    }

    /// It goes for this reason.
    pub fn departs(&self, why: Departure) {
        self.departure.store(why as u32, Relaxed);
    }

    /// It was sent SIGKILL.
    pub fn is_killed(&self) {
        self.killed.store(1, Relaxed);
    }

    /// There is no worker.
    pub fn leave(&self) {
        [&self.pid, &self.generation, &self.departure, &self.killed]
            .into_iter()
            .for_each(|it| it.store(0, Relaxed));
        [&self.started_at, &self.serving_at].into_iter().for_each(|it| it.store(0, Relaxed));
    }

    /// What it shows.
    #[must_use]
    pub fn view(&self) -> SeatView {
        SeatView {
            group: self.group.load(Relaxed),
            slot: self.slot.load(Relaxed),
            pid: Some(self.pid.load(Relaxed).cast_signed()).filter(|pid| *pid > 0),
            generation: self.generation.load(Relaxed),
            departure: Some(Departure::from_number(self.departure.load(Relaxed)))
                .filter(|why| *why != Departure::Unknown),
            killed: self.killed.load(Relaxed) != 0,
            started_at: self.started_at.load(Relaxed),
            serving_at: self.serving_at.load(Relaxed),
        }
    }
}

/// The master's part of the scoreboard, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterView {
    /// The master's process.
    pub pid: i32,
    /// What the server is doing.
    pub state: ServerState,
    /// Whether no other server has the service: of two during an upgrade, one.
    pub is_service: bool,
    /// Whether all workers have served at some time.
    pub has_started: bool,
    /// The generation that serves.
    pub generation: u32,
    /// How many HTTP workers there are to be.
    pub wanted: u32,
    /// How many serve.
    pub serving: u32,
    /// When the server started, on the scoreboard's clock.
    pub started_at: u64,
    /// The same in milliseconds since 1970.
    pub started_unix: u64,
    /// When the master last turned, on the scoreboard's clock.
    pub turned_at: u64,
    /// Workers that were started.
    pub starts: u64,
    /// Workers that ended, by reason.
    pub ends: Vec<(Departure, u64)>,
    /// Requests that were in flight in workers that ended.
    pub lost: u64,
    /// Reloads by outcome.
    pub reloads: Vec<(Reload, u64)>,
    /// The last reload: how it stands, the generation that it is to bring, and when that was so, on the scoreboard's clock.
    pub last_reload: Option<(Reload, u32, u64)>,
    /// The counters of workers that ended.
    pub ended: Totals,
}

impl MasterPage {
    /// The server starts.
    pub fn starts(&self, pid: u32, now: u64, unix_millis: u64) {
        self.pid.store(pid, Relaxed);
        self.started_at.store(now, Relaxed);
        self.started_unix.store(unix_millis, Relaxed);
        self.set_state(ServerState::Starting);
    }

    /// Says what the server is doing.
    pub fn set_state(&self, state: ServerState) {
        self.state.store(state as u32, Relaxed);
        if state == ServerState::Serving {
            self.has_started.store(1, Relaxed);
        }
    }

    /// Whether all workers have served at some time.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.has_started.load(Relaxed) != 0
    }

    /// Says whether this server has the service.
    pub fn set_service(&self, is_service: bool) {
        self.is_service.store(u32::from(is_service), Relaxed);
    }

    /// The master has turned: how many workers serve, of how many there are to be, and which generation does.
    pub fn turn(&self, now: u64, serving: u32, wanted: u32, generation: Generation) {
        self.turned_at.store(now, Relaxed);
        self.serving.store(serving, Relaxed);
        self.wanted.store(wanted, Relaxed);
        self.generation.store(generation.0, Relaxed);
    }

    /// How a reload stands now.
    pub fn reload(&self, outcome: Reload, generation: Generation, now: u64) {
        add(&self.reloads[outcome as usize], 1);
        if generation.0 < self.last_reload_generation.load(Relaxed) {
            return;
        }
        self.last_reload_generation.store(generation.0, Relaxed);
        self.last_reload_at.store(now, Relaxed);
        self.last_reload.store(outcome as u32, Release);
    }

    /// A worker was started.
    pub fn worker_started(&self) {
        add(&self.starts, 1);
    }

    /// A worker ended: why, what it had counted, and how many requests were lost with it. `clear` clears its page: no reader
    /// sees what it counted twice, or not at all.
    pub fn worker_ended(&self, why: Departure, counted: &Totals, lost: u64, clear: impl FnOnce()) {
        let moves = self.moves.load(Relaxed);
        self.moves.store(moves.wrapping_add(1), Relaxed);
        fence(Release);
        add(&self.ends[why as usize], 1);
        add(&self.lost, lost);
        self.ended.add(counted);
        clear();
        self.moves.store(moves.wrapping_add(2), Release);
    }

    /// The counters of workers that ended.
    #[must_use]
    pub fn ended(&self) -> Totals {
        self.ended.read()
    }

    /// How many requests have ended in workers that have.
    #[must_use]
    pub fn ended_requests(&self) -> u64 {
        self.ended.requests()
    }

    /// What the master knows of the worker that has this page.
    #[must_use]
    pub fn seat(&self, page: u16) -> Option<&Seat> {
        self.seats.get(usize::from(page))
    }

    /// Reads this page and others, again and again until no counters moved meanwhile. A master that was stopped in the middle
    /// of that does not hold its readers up for longer than some milliseconds.
    pub fn consistently<R>(&self, mut read: impl FnMut() -> R) -> R {
        for _ in 0..ATTEMPTS {
            let before = self.moves.load(Acquire);
            if before.is_multiple_of(2) {
                let seen = read();
                fence(Acquire);
                if self.moves.load(Relaxed) == before {
                    return seen;
                }
            }
            std::thread::yield_now();
        }
        read()
    }

    /// What it shows.
    #[must_use]
    pub fn view(&self) -> MasterView {
        let count = |counts: &[AtomicU64], number: u32| counts[number as usize].load(Relaxed);
        // First of all: what was shown before it is seen with it.
        let last = Reload::from_number(self.last_reload.load(Acquire));
        let detail = (last, self.last_reload_generation.load(Relaxed), self.last_reload_at.load(Relaxed));
        MasterView {
            pid: self.pid.load(Relaxed).cast_signed(),
            state: ServerState::from_number(self.state.load(Relaxed)),
            is_service: self.is_service.load(Relaxed) != 0,
            has_started: self.has_started.load(Relaxed) != 0,
            generation: self.generation.load(Relaxed),
            wanted: self.wanted.load(Relaxed),
            serving: self.serving.load(Relaxed),
            started_at: self.started_at.load(Relaxed),
            started_unix: self.started_unix.load(Relaxed),
            turned_at: self.turned_at.load(Relaxed),
            starts: self.starts.load(Relaxed),
            ends: Departure::ALL.iter().map(|why| (*why, count(&self.ends, *why as u32))).collect(),
            lost: self.lost.load(Relaxed),
            reloads: Reload::ALL.iter().map(|how| (*how, count(&self.reloads, *how as u32))).collect(),
            last_reload: (last != Reload::Unknown).then_some(detail),
            ended: self.ended.read(),
        }
    }
}
