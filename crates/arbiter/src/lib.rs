//! Supervision as a pure state machine: events in, actions out; no I/O and no clock.
//!
//! The master feeds it what happened and when, and carries out what it answers. All rules about when a
//! worker is started, told to drain or killed are here, and only here.
//!
//! ```text
//! Vacant ──spawn──► Spawning ──spawned──► Booting ──ready──► Serving ──stop──► Draining
//!    ▲                                       │                  │                 │ kill deadline
//!    └──────────── exited ◄──────────────────┴──────────────────┴──────► Killed ◄─┘
//! ```
//! A state says where a seat is, not why. Why the server stops is kept apart, in `Phase`.
//!
//! Not here yet: retirement, reload and stall detection.

#![forbid(unsafe_code)]

use hostler_wire::{ExitStatus, SeatId};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A point of time: the time since the master started, on a monotonic clock.
pub type Time = Duration;

/// The numbers that the rules use.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How many workers there should be.
    pub workers: u16,
    /// How long a worker told to drain may take before it is killed.
    pub graceful_timeout: Duration,
}

/// A worker that drains by itself within the graceful timeout gets this much more before it is killed.
const KILL_MARGIN: Duration = Duration::from_secs(1);
/// How long a worker told to leave at once may take.
const QUICK_LIMIT: Duration = Duration::from_secs(1);
/// The wait before the second attempt at a seat; it doubles from then on. The first is made at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A worker that served this long was healthy: the next failure counts as the first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Workers can be spawned: the mold is ready, or the service is native.
    CanSpawn,
    /// Workers can't be spawned for now: the mold is gone.
    CannotSpawn,
    /// The worker asked for exists.
    Spawned(SeatId),
    /// The worker asked for could not be made.
    SpawnFailed(SeatId),
    /// The worker serves.
    Ready(SeatId),
    /// The worker told why it can't boot; its exit follows.
    BootFailed(SeatId, ExitStatus),
    /// The worker's process ended.
    Exited(SeatId),
    /// The user asked for an end after the requests in flight.
    StopGracefully,
    /// The user asked for an end now.
    StopQuickly,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a worker for this seat.
    Spawn(SeatId),
    /// Tell the worker to finish what it has and leave.
    Drain(SeatId),
    /// Tell the worker to leave at once.
    Quit(SeatId),
    /// Kill the worker, for this reason.
    Kill(SeatId, Why),
    /// No worker is left: leave with this status.
    Exit(ExitStatus),
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its graceful timeout ran out.
    GracefulTimeout,
    /// It did not leave although it was told to leave at once.
    QuickStop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Vacant { spawn_at: Time },
    Spawning,
    Booting,
    Serving { since: Time },
    Draining { kill_at: Time, why: Why },
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seat {
    state: State,
    /// Failures in a row, which decide the wait before the next attempt.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping { quickly: bool, status: ExitStatus },
    Over,
}

/// The state of the fleet.
#[derive(Clone, Debug)]
pub struct Arbiter {
    policy: Policy,
    seats: Vec<Seat>,
    phase: Phase,
    can_spawn: bool,
    ever_served: bool,
}

impl Arbiter {
    /// A fleet of vacant seats.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let vacant = Seat { state: State::Vacant { spawn_at: Time::ZERO }, failures: 0 };
        let seats = vec![vacant; usize::from(policy.workers)];
        Self { policy, seats, phase: Phase::Running, can_spawn: false, ever_served: false }
    }

    /// Whether any worker ever became ready.
    #[must_use]
    pub fn ever_served(&self) -> bool {
        self.ever_served
    }

    /// Whether the fleet is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.phase != Phase::Running
    }

    /// When the next [`Event::Tick`] is due, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.seats.iter().filter_map(|seat| self.deadline_of(seat)).min()
    }

    /// Takes in what happened at `now`.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::CanSpawn => self.can_spawn = true,
            Event::CannotSpawn => self.stop_spawning(now),
            Event::Spawned(seat) => self.spawned(seat, now, &mut actions),
            Event::SpawnFailed(seat) | Event::Exited(seat) => self.exited(seat, now),
            Event::Ready(seat) => self.ready(seat, now),
            Event::BootFailed(_, status) => self.boot_failed(status, now, &mut actions),
            Event::StopGracefully => self.stop_by_user(now, &mut actions),
            Event::StopQuickly => self.stop(true, ExitStatus::Clean, now, &mut actions),
            Event::Tick => {}
        }
        self.act_on_time(now, &mut actions);
        self.leave_when_empty(&mut actions);
        actions
    }

    fn seat(&mut self, id: SeatId) -> Option<&mut Seat> {
        self.seats.get_mut(usize::from(id.0).checked_sub(1)?)
    }

    fn deadline_of(&self, seat: &Seat) -> Option<Time> {
        match seat.state {
            State::Vacant { spawn_at } => {
                (self.can_spawn && self.phase == Phase::Running).then_some(spawn_at)
            }
            State::Draining { kill_at, .. } => Some(kill_at),
            State::Spawning | State::Booting | State::Serving { .. } | State::Killed => None,
        }
    }

    /// Requests to the mold that it did not fulfil will not be fulfilled any more.
    fn stop_spawning(&mut self, now: Time) {
        self.can_spawn = false;
        for seat in &mut self.seats {
            if seat.state == State::Spawning {
                seat.state = State::Vacant { spawn_at: now };
            }
        }
    }

    fn spawned(&mut self, id: SeatId, now: Time, actions: &mut Vec<Action>) {
        let phase = self.phase;
        let graceful = self.policy.graceful_timeout;
        let Some(seat) = self.seat(id) else { return };
        if seat.state == State::Spawning {
            seat.state = State::Booting;
            if let Phase::Stopping { quickly, .. } = phase {
                stop_seat(seat, id, quickly, graceful, now, actions);
            }
        }
    }

    fn ready(&mut self, id: SeatId, now: Time) {
        self.ever_served = true;
        if let Some(seat) = self.seat(id)
            && seat.state == State::Booting
        {
            seat.state = State::Serving { since: now };
        }
    }

    fn exited(&mut self, id: SeatId, now: Time) {
        let Some(seat) = self.seat(id) else { return };
        if matches!(seat.state, State::Serving { since } if now.saturating_sub(since) >= HEALTHY_AFTER) {
            seat.failures = 0;
        }
        if !matches!(seat.state, State::Vacant { .. }) {
            seat.state = State::Vacant { spawn_at: now + backoff(seat.failures) };
            seat.failures = seat.failures.saturating_add(1);
        }
    }

    /// Before anything served, a boot failure is a failure of the whole start.
    fn boot_failed(&mut self, status: ExitStatus, now: Time, actions: &mut Vec<Action>) {
        if !self.ever_served && self.phase == Phase::Running {
            self.stop(true, status, now, actions);
        }
    }

    /// The second request is meant more urgently than the first.
    fn stop_by_user(&mut self, now: Time, actions: &mut Vec<Action>) {
        let again = self.phase != Phase::Running;
        self.stop(again, ExitStatus::Clean, now, actions);
    }

    fn stop(&mut self, quickly: bool, status: ExitStatus, now: Time, actions: &mut Vec<Action>) {
        let status = match self.phase {
            Phase::Running => status,
            Phase::Stopping { quickly: true, .. } | Phase::Over => return,
            Phase::Stopping { quickly: false, .. } if !quickly => return,
            Phase::Stopping { status, .. } => status,
        };
        self.phase = Phase::Stopping { quickly, status };
        let graceful = self.policy.graceful_timeout;
        for (seat, number) in self.seats.iter_mut().zip(1..) {
            stop_seat(seat, SeatId(number), quickly, graceful, now, actions);
        }
    }

    fn act_on_time(&mut self, now: Time, actions: &mut Vec<Action>) {
        let spawning = self.can_spawn && self.phase == Phase::Running;
        for (seat, number) in self.seats.iter_mut().zip(1..) {
            match seat.state {
                State::Vacant { spawn_at } if spawning && now >= spawn_at => {
                    seat.state = State::Spawning;
                    actions.push(Action::Spawn(SeatId(number)));
                }
                State::Draining { kill_at, why } if now >= kill_at => {
                    seat.state = State::Killed;
                    actions.push(Action::Kill(SeatId(number), why));
                }
                State::Vacant { .. }
                | State::Spawning
                | State::Booting
                | State::Serving { .. }
                | State::Draining { .. }
                | State::Killed => {}
            }
        }
    }

    fn leave_when_empty(&mut self, actions: &mut Vec<Action>) {
        let Phase::Stopping { status, .. } = self.phase else { return };
        if self.seats.iter().all(|seat| matches!(seat.state, State::Vacant { .. })) {
            self.phase = Phase::Over;
            actions.push(Action::Exit(status));
        }
    }
}

fn stop_seat(
    seat: &mut Seat,
    id: SeatId,
    quickly: bool,
    graceful: Duration,
    now: Time,
    actions: &mut Vec<Action>,
) {
    // One that is being spawned is told as soon as it exists.
    if matches!(seat.state, State::Vacant { .. } | State::Spawning | State::Killed) {
        return;
    }
    if quickly {
        seat.state = State::Draining { kill_at: now + QUICK_LIMIT, why: Why::QuickStop };
        actions.push(Action::Quit(id));
    } else {
        let kill_at = now + graceful + KILL_MARGIN;
        seat.state = State::Draining { kill_at, why: Why::GracefulTimeout };
        actions.push(Action::Drain(id));
    }
}

/// The wait before an attempt that follows `failures` failures in a row.
fn backoff(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => FIRST_BACKOFF.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_BACKOFF),
    }
}
