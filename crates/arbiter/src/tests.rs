//! Made-up events at made-up times.

use super::{Action, Arbiter, Event, Policy, Time, Why, backoff};
use hostler_wire::{ExitStatus, SeatId};
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

const ONE: SeatId = SeatId(1);

fn fleet(workers: u16) -> Arbiter {
    Arbiter::new(Policy { workers, graceful_timeout: Duration::from_secs(30) })
}

fn secs(n: u64) -> Time {
    Duration::from_secs(n)
}

/// A fleet of one that serves since time zero.
fn serving() -> Arbiter {
    let mut arbiter = fleet(1);
    assert_eq!(arbiter.step(Event::CanSpawn, secs(0)), [Action::Spawn(ONE)]);
    assert_eq!(arbiter.step(Event::Spawned(ONE), secs(0)), []);
    assert_eq!(arbiter.step(Event::Ready(ONE), secs(0)), []);
    arbiter
}

#[test]
fn all_seats_are_filled_once_workers_can_be_spawned() {
    let mut arbiter = fleet(2);
    assert_eq!(arbiter.step(Event::Tick, secs(0)), []);
    assert_eq!(arbiter.step(Event::CanSpawn, secs(0)), [Action::Spawn(ONE), Action::Spawn(SeatId(2))]);
}

#[test]
fn a_dead_worker_is_replaced_at_once_and_then_ever_more_slowly() {
    let mut arbiter = serving();
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(1)), [Action::Spawn(ONE)]);
    let _ = arbiter.step(Event::Spawned(ONE), secs(1));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(2) + Duration::from_millis(100)));
    assert_eq!(arbiter.step(Event::Tick, secs(3)), [Action::Spawn(ONE)]);
    assert_eq!(backoff(40), secs(30));
}

#[test]
fn long_service_forgives_earlier_failures() {
    let mut arbiter = serving();
    let _ = arbiter.step(Event::Exited(ONE), secs(1));
    let _ = arbiter.step(Event::Spawned(ONE), secs(1));
    let _ = arbiter.step(Event::Ready(ONE), secs(1));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(61)), [Action::Spawn(ONE)]);
}

#[test]
fn a_boot_failure_before_anything_served_stops_everything_with_its_status() {
    let mut arbiter = fleet(2);
    let _ = arbiter.step(Event::CanSpawn, secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::Spawned(SeatId(2)), secs(0));
    let failed = Event::BootFailed(ONE, ExitStatus::AppImport);
    assert_eq!(arbiter.step(failed, secs(1)), [Action::Quit(ONE), Action::Quit(SeatId(2))]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(1)), []);
    assert_eq!(arbiter.step(Event::Exited(SeatId(2)), secs(1)), [Action::Exit(ExitStatus::AppImport)]);
}

#[test]
fn a_boot_failure_later_is_a_crash_like_any_other() {
    let mut arbiter = serving();
    let _ = arbiter.step(Event::Exited(ONE), secs(1));
    let _ = arbiter.step(Event::Spawned(ONE), secs(1));
    assert_eq!(arbiter.step(Event::BootFailed(ONE, ExitStatus::AppImport), secs(1)), []);
    assert!(!arbiter.is_stopping());
}

#[test]
fn a_drain_that_takes_too_long_ends_in_a_kill() {
    let mut arbiter = serving();
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [Action::Drain(ONE)]);
    assert_eq!(arbiter.step(Event::Tick, secs(40)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [Action::Kill(ONE, Why::GracefulTimeout)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(41)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_second_request_to_stop_is_a_quick_one() {
    let mut arbiter = serving();
    let _ = arbiter.step(Event::StopGracefully, secs(10));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(11)), [Action::Quit(ONE)]);
    assert_eq!(arbiter.step(Event::StopQuickly, secs(11)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(12)), [Action::Kill(ONE, Why::QuickStop)]);
}

#[test]
fn a_worker_that_appears_during_a_stop_is_told_too() {
    let mut arbiter = fleet(1);
    let _ = arbiter.step(Event::CanSpawn, secs(0));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(0)), []);
    assert_eq!(arbiter.step(Event::Spawned(ONE), secs(1)), [Action::Drain(ONE)]);
}

#[test]
fn a_lost_mold_leaves_no_seat_waiting_for_it() {
    let mut arbiter = fleet(1);
    let _ = arbiter.step(Event::CanSpawn, secs(0));
    assert_eq!(arbiter.step(Event::CannotSpawn, secs(1)), []);
    assert_eq!(arbiter.step(Event::CanSpawn, secs(2)), [Action::Spawn(ONE)]);
}

/// Every event, in every state a seat can be in, is taken without a panic and keeps the promises below.
#[test]
fn every_event_in_every_state() {
    let paths: [&[Event]; 6] = [
        &[],
        &[Event::CanSpawn],
        &[Event::CanSpawn, Event::Spawned(ONE)],
        &[Event::CanSpawn, Event::Spawned(ONE), Event::Ready(ONE)],
        &[Event::CanSpawn, Event::Spawned(ONE), Event::Ready(ONE), Event::StopGracefully],
        &[Event::CanSpawn, Event::Spawned(ONE), Event::StopQuickly, Event::Tick],
    ];
    for path in paths {
        for event in every_event(1) {
            let mut world = World::new(1);
            for (event, second) in path.iter().chain([&event]).zip(0..) {
                world.feed(*event, secs(second * 2));
            }
        }
    }
}

fn every_event(seats: u16) -> Vec<Event> {
    let mut events =
        vec![Event::CanSpawn, Event::CannotSpawn, Event::StopGracefully, Event::StopQuickly, Event::Tick];
    for seat in (1..=seats).map(SeatId) {
        events.extend([
            Event::Spawned(seat),
            Event::SpawnFailed(seat),
            Event::Ready(seat),
            Event::BootFailed(seat, ExitStatus::Boot),
            Event::Exited(seat),
        ]);
    }
    events
}

/// The fleet and what is true of the processes it asked for.
struct World {
    arbiter: Arbiter,
    wanted: BTreeSet<u16>,
    alive: BTreeSet<u16>,
    over: bool,
}

impl World {
    fn new(workers: u16) -> Self {
        Self { arbiter: fleet(workers), wanted: BTreeSet::new(), alive: BTreeSet::new(), over: false }
    }

    /// Feeds an event if it could happen, and checks the promises.
    fn feed(&mut self, event: Event, now: Time) {
        let possible = match event {
            Event::Spawned(seat) => self.wanted.remove(&seat.0) && self.alive.insert(seat.0),
            Event::SpawnFailed(seat) => self.wanted.remove(&seat.0),
            Event::Exited(seat) => self.alive.remove(&seat.0),
            Event::Ready(seat) | Event::BootFailed(seat, _) => self.alive.contains(&seat.0),
            Event::CannotSpawn => {
                self.wanted.clear();
                true
            }
            Event::CanSpawn | Event::StopGracefully | Event::StopQuickly | Event::Tick => true,
        };
        if !possible {
            return;
        }
        for action in self.arbiter.step(event, now) {
            self.check(action);
        }
        assert!(self.arbiter.next_deadline().is_none_or(|due| due > now), "a deadline did not fire");
    }

    fn check(&mut self, action: Action) {
        assert!(!self.over, "nothing follows the exit");
        match action {
            Action::Spawn(seat) => {
                assert!(!self.arbiter.is_stopping(), "a worker is spawned during a stop");
                assert!(!self.alive.contains(&seat.0), "a seat is filled twice");
                assert!(self.wanted.insert(seat.0), "a worker is asked for twice");
            }
            Action::Drain(seat) | Action::Quit(seat) | Action::Kill(seat, _) => {
                assert!(self.alive.contains(&seat.0), "a worker that does not exist is told something");
            }
            Action::Exit(_) => {
                assert!(self.alive.is_empty() && self.wanted.is_empty(), "somebody is left behind");
                self.over = true;
            }
        }
    }
}

proptest! {
    #[test]
    fn storms_of_events_break_no_promise(
        storm in prop::collection::vec((0usize..20, 0u64..20_000), 1..200)
    ) {
        let events = every_event(3);
        let mut world = World::new(3);
        let mut now = Time::ZERO;
        for (which, wait) in storm {
            now += Duration::from_millis(wait);
            world.feed(events[which], now);
        }
        // Whatever happened, a stop ends: every worker exits when told or killed.
        world.feed(Event::StopQuickly, now);
        world.feed(Event::CannotSpawn, now);
        for seat in 1..=3 {
            world.feed(Event::Exited(SeatId(seat)), now);
        }
        prop_assert!(world.over);
    }
}
