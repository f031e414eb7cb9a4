//! Made-up events at made-up times.

use super::{Action, Arbiter, Event, Policy, Reason, Time, Why};
use crate::policy::backoff;
use hostler_wire::{ExitStatus, Generation, SeatId, WorkerId};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const ONE: WorkerId = WorkerId(1);
const TWO: WorkerId = WorkerId(2);
const FIRST: Generation = Generation(0);
const NEXT: Generation = Generation(1);

fn secs(n: u64) -> Time {
    Duration::from_secs(n)
}

fn spawn(worker: u32, seat: u16, generation: Generation) -> Action {
    Action::Spawn(WorkerId(worker), SeatId(seat), generation)
}

fn drain(worker: WorkerId, reason: Reason, hand_over: bool) -> Action {
    Action::Drain { worker, reason, hand_over }
}

/// A fleet whose workers 1 to `workers` serve since time zero.
fn serving(policy: Policy) -> Arbiter {
    let mut arbiter = Arbiter::new(policy);
    let spawned = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    assert_eq!(spawned.len(), usize::from(policy.workers));
    for worker in (1..=u32::from(policy.workers)).map(WorkerId) {
        assert_eq!(arbiter.step(Event::Spawned(worker), secs(0)), []);
        assert_eq!(arbiter.step(Event::Ready(worker), secs(0)), []);
    }
    arbiter
}

/// Brings a worker that was asked for into service.
fn boot(arbiter: &mut Arbiter, worker: WorkerId, now: Time) -> Vec<Action> {
    let mut actions = arbiter.step(Event::Spawned(worker), now);
    actions.extend(arbiter.step(Event::Ready(worker), now));
    actions
}

#[test]
fn all_seats_are_filled_once_workers_can_be_spawned() {
    let mut arbiter = Arbiter::new(Policy::new(2));
    assert_eq!(arbiter.step(Event::Tick, secs(0)), []);
    let expected = [spawn(1, 1, FIRST), spawn(2, 2, FIRST)];
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(0)), expected);
}

#[test]
fn a_dead_worker_is_replaced_at_once_and_then_ever_more_slowly() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(1)), [spawn(2, 1, FIRST)]);
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(2)), []);
    let due = arbiter.next_deadline().unwrap() - secs(2);
    assert!(due > Duration::from_millis(74) && due <= Duration::from_millis(100), "{due:?}");
    assert_eq!(arbiter.step(Event::Tick, secs(3)), [spawn(3, 1, FIRST)]);
    assert_eq!(backoff(40, 0.0), secs(30));
}

#[test]
fn whoever_served_is_replaced_soon_however_often_it_dies() {
    let mut arbiter = serving(Policy::new(1));
    for worker in 1..20 {
        let now = secs(u64::from(worker));
        let _ = arbiter.step(Event::Exited(WorkerId(worker)), now);
        assert!(arbiter.next_deadline().is_none_or(|due| due <= now + Duration::from_millis(400)));
        let _ = arbiter.step(Event::Tick, now + Duration::from_millis(400));
        let _ = boot(&mut arbiter, WorkerId(worker + 1), now + Duration::from_millis(500));
    }
}

#[test]
fn a_crash_loop_is_told() {
    let mut arbiter = serving(Policy::new(1));
    let (mut now, mut worker, mut told) = (secs(1), 1, 0);
    for _ in 0..6 {
        let actions = arbiter.step(Event::Exited(WorkerId(worker)), now);
        told += actions.iter().filter(|action| matches!(action, Action::CrashLoop(SeatId(1), _))).count();
        now += secs(60);
        let _ = arbiter.step(Event::Tick, now);
        worker += 1;
        let _ = boot(&mut arbiter, WorkerId(worker), now);
    }
    assert_eq!(told, 2);
}

#[test]
fn long_service_forgives_earlier_failures() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Exited(ONE), secs(1));
    let _ = boot(&mut arbiter, TWO, secs(1));
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(61)), [spawn(3, 1, FIRST)]);
}

#[test]
fn a_boot_failure_before_anything_served_stops_everything_with_its_status() {
    let mut arbiter = Arbiter::new(Policy::new(2));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::Spawned(TWO), secs(0));
    let failed = Event::BootFailed(ONE, ExitStatus::AppImport);
    assert_eq!(arbiter.step(failed, secs(1)), [Action::Quit(ONE), Action::Quit(TWO)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(1)), []);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(1)), [Action::Exit(ExitStatus::AppImport)]);
}

#[test]
fn a_boot_failure_later_is_a_crash_like_any_other() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Exited(ONE), secs(1));
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    assert_eq!(arbiter.step(Event::BootFailed(TWO, ExitStatus::AppImport), secs(1)), []);
    assert!(!arbiter.is_stopping());
}

#[test]
fn a_drain_that_takes_too_long_ends_in_a_kill() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [drain(ONE, Reason::Stop, false)]);
    assert_eq!(arbiter.step(Event::Tick, secs(40)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [Action::Kill(ONE, Why::GracefulTimeout)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(41)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_second_request_to_stop_is_a_quick_one() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::StopGracefully, secs(10));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(11)), [Action::Quit(ONE)]);
    assert_eq!(arbiter.step(Event::StopQuickly, secs(11)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(12)), [Action::Kill(ONE, Why::QuickStop)]);
}

#[test]
fn with_a_drain_delay_workers_serve_on_for_a_while() {
    let mut arbiter = serving(Policy { drain_delay: secs(5), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [Action::LameDuck(ONE)]);
    assert_eq!(arbiter.next_deadline(), Some(secs(15)));
    assert_eq!(arbiter.step(Event::Tick, secs(15)), [drain(ONE, Reason::Stop, false)]);
}

#[test]
fn a_worker_that_appears_during_a_stop_is_told_too() {
    let mut arbiter = Arbiter::new(Policy::new(1));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(0)), []);
    assert_eq!(arbiter.step(Event::Spawned(ONE), secs(1)), [Action::Quit(ONE)]);
}

#[test]
fn a_lost_mold_leaves_no_seat_waiting_for_it() {
    let mut arbiter = Arbiter::new(Policy::new(1));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    assert_eq!(arbiter.step(Event::CannotSpawn(FIRST), secs(1)), []);
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(2)), [spawn(2, 1, FIRST)]);
}

#[test]
fn an_aged_worker_drains_when_its_successor_is_ready_and_not_before() {
    let mut arbiter = serving(Policy { lifetime: Some(secs(60)), ..Policy::new(1) });
    assert_eq!(arbiter.next_deadline(), Some(secs(60)));
    assert_eq!(arbiter.step(Event::Tick, secs(60)), [spawn(2, 1, FIRST)]);
    assert_eq!(arbiter.step(Event::Spawned(TWO), secs(60)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(80)), []);
    assert_eq!(arbiter.step(Event::Ready(TWO), secs(90)), [drain(ONE, Reason::Lifetime, true)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(91)), []);
}

#[test]
fn a_successor_that_dies_booting_leaves_the_old_worker_serving() {
    let mut arbiter = serving(Policy { lifetime: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::Tick, secs(60));
    let _ = arbiter.step(Event::Spawned(TWO), secs(60));
    // The first failure costs no wait.
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(61)), [spawn(3, 1, FIRST)]);
    assert_eq!(arbiter.serving(), 1);
}

#[test]
fn replacements_keep_their_distance() {
    let policy = Policy { respawn_interval: secs(10), ..Policy::new(3) };
    let mut arbiter = serving(policy);
    let retire = |id| Event::Retire(WorkerId(id), Reason::MaxRequests);
    assert_eq!(arbiter.step(retire(1), secs(5)), [spawn(4, 1, FIRST)]);
    assert_eq!(arbiter.step(retire(2), secs(5)), []);
    // One at a time, however long it takes.
    assert_eq!(arbiter.step(Event::Tick, secs(30)), []);
    assert_eq!(
        boot(&mut arbiter, WorkerId(4), secs(31)),
        [drain(ONE, Reason::MaxRequests, true), spawn(5, 2, FIRST)]
    );
    assert_eq!(boot(&mut arbiter, WorkerId(5), secs(32)), [drain(TWO, Reason::MaxRequests, true)]);
    assert_eq!(arbiter.step(retire(3), secs(33)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(41)));
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [spawn(6, 3, FIRST)]);
}

#[test]
fn without_headroom_the_old_worker_goes_first_if_another_serves() {
    let mut arbiter = serving(Policy::new(2));
    let _ = arbiter.step(Event::Headroom(false), secs(1));
    let actions = arbiter.step(Event::Retire(ONE, Reason::Memory), secs(2));
    assert_eq!(actions, [drain(ONE, Reason::Memory, true), spawn(3, 1, FIRST)]);
    let mut alone = serving(Policy::new(1));
    let _ = alone.step(Event::Headroom(false), secs(1));
    assert_eq!(alone.step(Event::Retire(ONE, Reason::Memory), secs(2)), [spawn(2, 1, FIRST)]);
}

#[test]
fn jitter_spreads_lifetimes() {
    let policy = Policy { lifetime: Some(secs(1000)), lifetime_jitter: 0.1, seed: 7, ..Policy::new(50) };
    let dues: Vec<Time> = (0..50).filter_map(|salt| policy.retirement(secs(0), salt)).collect();
    assert!(dues.iter().all(|due| *due > secs(900) && *due <= secs(1000)));
    assert!(dues.iter().max().unwrap().saturating_sub(*dues.iter().min().unwrap()) > secs(50));
}

#[test]
fn a_stalled_worker_is_reported_replaced_terminated_and_killed() {
    let mut arbiter = serving(Policy { stall_timeout: Some(secs(30)), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::Beat(ONE), secs(10)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(40)));
    let actions = arbiter.step(Event::Tick, secs(40));
    assert_eq!(actions, [Action::Report(ONE, Why::Stall), spawn(2, 1, FIRST)]);
    let _ = boot(&mut arbiter, TWO, secs(40));
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [Action::Terminate(ONE, Why::Stall)]);
    assert_eq!(arbiter.step(Event::Tick, secs(42)), [Action::Kill(ONE, Why::Stall)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(42)), []);
}

#[test]
fn a_machine_that_stood_still_blames_nobody() {
    let mut arbiter = serving(Policy { stall_timeout: Some(secs(30)), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::Skipped(secs(3600)), secs(3600)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(3630)));
}

#[test]
fn a_boot_that_takes_too_long_is_reported_and_tried_again() {
    let mut arbiter = Arbiter::new(Policy { boot_timeout: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let actions = arbiter.step(Event::Tick, secs(60));
    assert_eq!(actions, [Action::Report(ONE, Why::BootTimeout), spawn(2, 1, FIRST)]);
}

#[test]
fn a_reload_drains_the_old_generation_when_the_whole_new_one_serves() {
    let mut arbiter = serving(Policy::new(2));
    assert_eq!(arbiter.step(Event::Reload(NEXT), secs(1)), []);
    let spawned = arbiter.step(Event::CanSpawn(NEXT), secs(2));
    assert_eq!(spawned, [spawn(3, 1, NEXT), spawn(4, 2, NEXT)]);
    assert_eq!(boot(&mut arbiter, WorkerId(3), secs(3)), []);
    let actions = boot(&mut arbiter, WorkerId(4), secs(4));
    let expected =
        [Action::Reloaded(NEXT), drain(ONE, Reason::Reload, true), drain(TWO, Reason::Reload, true)];
    assert_eq!(actions, expected);
    assert_eq!(arbiter.generation(), NEXT);
}

#[test]
fn a_reload_that_fails_anywhere_leaves_the_old_generation_serving() {
    let reloading = || {
        let mut arbiter = serving(Policy::new(2));
        let _ = arbiter.step(Event::Reload(NEXT), secs(1));
        let _ = arbiter.step(Event::CanSpawn(NEXT), secs(2));
        let _ = boot(&mut arbiter, WorkerId(3), secs(3));
        let _ = arbiter.step(Event::Spawned(WorkerId(4)), secs(3));
        arbiter
    };
    let failures = [
        Event::BootFailed(WorkerId(4), ExitStatus::AppImport),
        Event::Exited(WorkerId(4)),
        Event::CannotSpawn(NEXT),
        Event::ReloadFailed(NEXT),
        Event::SpawnFailed(WorkerId(4)),
    ];
    for failure in failures {
        let mut arbiter = reloading();
        let actions = arbiter.step(failure, secs(4));
        assert_eq!(actions[0], Action::NotReloaded(NEXT), "{failure:?}");
        assert!(actions.contains(&drain(WorkerId(3), Reason::ReloadFailed, true)));
        assert_eq!((arbiter.serving(), arbiter.generation()), (2, FIRST));
        assert!(!arbiter.is_reloading());
    }
}

#[test]
fn an_old_worker_that_dies_during_a_reload_is_replaced_from_the_old_generation() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Reload(NEXT), secs(1));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [spawn(2, 1, FIRST)]);
}

#[test]
fn seats_come_and_go() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(Event::Seats(2), secs(1)), [spawn(2, 2, FIRST)]);
    let _ = boot(&mut arbiter, TWO, secs(2));
    assert_eq!(arbiter.step(Event::Seats(1), secs(3)), [drain(TWO, Reason::Seats, true)]);
    assert_eq!(arbiter.step(Event::Seats(0), secs(4)), [drain(ONE, Reason::Seats, false)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(5)), []);
    assert!(!arbiter.is_stopping());
}

#[test]
fn whoever_retires_when_the_server_stops_is_told_that_nobody_takes_its_connections() {
    let mut arbiter = serving(Policy { lifetime: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::Tick, secs(60));
    assert_eq!(boot(&mut arbiter, TWO, secs(61)), [drain(ONE, Reason::Lifetime, true)]);
    let expected = [drain(ONE, Reason::Stop, false), drain(TWO, Reason::Stop, false)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(62)), expected);
}

#[test]
fn when_all_seats_go_nobody_is_left_to_hand_over_to() {
    let mut arbiter = serving(Policy::new(2));
    let expected = [drain(ONE, Reason::Seats, false), drain(TWO, Reason::Seats, false)];
    assert_eq!(arbiter.step(Event::Seats(0), secs(1)), expected);
}

#[test]
fn another_server_takes_over_everything() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(Event::HandOver, secs(1)), [drain(ONE, Reason::Upgrade, true)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [Action::Exit(ExitStatus::Clean)]);
}

/// Every event, in every state a worker can be in, keeps the promises of [`World`].
#[test]
fn every_event_in_every_state() {
    let up: &[Event] = &[Event::CanSpawn(FIRST), Event::Spawned(ONE), Event::Ready(ONE)];
    let then = |events: &[Event]| [up, events].concat();
    let paths = [
        vec![],
        up[..1].to_vec(),
        up[..2].to_vec(),
        up.to_vec(),
        then(&[Event::StopGracefully]),
        then(&[Event::StopGracefully, Event::Tick]),
        then(&[Event::StopQuickly, Event::Tick]),
        then(&[Event::Retire(ONE, Reason::Memory), Event::Spawned(TWO)]),
        then(&[Event::Retire(ONE, Reason::Memory), Event::Spawned(TWO), Event::Ready(TWO)]),
        then(&[Event::Reload(NEXT), Event::CanSpawn(NEXT)]),
        then(&[Event::Reload(NEXT), Event::CanSpawn(NEXT), Event::Spawned(TWO)]),
        then(&[Event::Reload(NEXT), Event::CanSpawn(NEXT), Event::Spawned(TWO), Event::Ready(TWO)]),
        then(&[Event::Tick; 4]),
        then(&[Event::Tick; 5]),
    ];
    for path in &paths {
        for event in every_event(3) {
            for second in every_event(3) {
                let mut world = World::new(storm_policy(1));
                for (event, at) in path.iter().chain([&event, &second]).zip(0..) {
                    world.feed(*event, secs(at * 10));
                }
                world.finish(secs(1000));
            }
        }
    }
}

fn storm_policy(workers: u16) -> Policy {
    Policy {
        stall_timeout: Some(secs(30)),
        boot_timeout: Some(secs(60)),
        lifetime: Some(secs(100)),
        lifetime_jitter: 0.2,
        respawn_interval: secs(3),
        drain_delay: secs(2),
        ..Policy::new(workers)
    }
}

fn every_event(workers: u32) -> Vec<Event> {
    let mut events = vec![
        Event::StopGracefully,
        Event::StopQuickly,
        Event::HandOver,
        Event::Tick,
        Event::Headroom(false),
        Event::StartFailed(ExitStatus::Boot),
    ];
    for generation in [FIRST, NEXT, Generation(2)] {
        events.extend([
            Event::CanSpawn(generation),
            Event::CannotSpawn(generation),
            Event::Reload(generation),
            Event::ReloadFailed(generation),
        ]);
    }
    events.extend([Event::Headroom(true), Event::Skipped(secs(5)), Event::Seats(0), Event::Seats(2)]);
    for id in (1..=workers).map(WorkerId) {
        events.extend([
            Event::Spawned(id),
            Event::SpawnFailed(id),
            Event::Ready(id),
            Event::BootFailed(id, ExitStatus::Boot),
            Event::Beat(id),
            Event::Retire(id, Reason::MaxRequests),
            Event::Exited(id),
        ]);
    }
    events
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Real {
    Wanted,
    Booting,
    Serving,
    Told,
}

/// The fleet and what is true of the processes it asked for.
struct World {
    arbiter: Arbiter,
    policy: Policy,
    seats: u16,
    most_seats: u16,
    workers: BTreeMap<WorkerId, (SeatId, Generation, Real)>,
    over: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        let arbiter = Arbiter::new(policy);
        Self {
            arbiter,
            policy,
            seats: policy.workers,
            most_seats: policy.workers,
            workers: BTreeMap::new(),
            over: false,
        }
    }

    /// Whether the event could happen; what becomes true with it.
    fn happens(&mut self, event: Event) -> bool {
        match event {
            Event::Spawned(id) => self.becomes(id, &[Real::Wanted], Real::Booting),
            Event::SpawnFailed(id) => {
                let wanted = self.is(id, &[Real::Wanted]);
                wanted && self.workers.remove(&id).is_some()
            }
            Event::Ready(id) => self.becomes(id, &[Real::Booting], Real::Serving),
            Event::BootFailed(id, _) => self.is(id, &[Real::Booting]),
            Event::Beat(id) | Event::Retire(id, _) => self.is(id, &[Real::Serving]),
            Event::Exited(id) => {
                let exists = self.is(id, &[Real::Booting, Real::Serving, Real::Told]);
                exists && self.workers.remove(&id).is_some()
            }
            Event::CannotSpawn(lost) => {
                self.workers.retain(|_, (_, generation, real)| *generation != lost || *real != Real::Wanted);
                true
            }
            Event::Seats(seats) => {
                self.seats = seats;
                self.most_seats = self.most_seats.max(seats);
                true
            }
            _ => true,
        }
    }

    fn is(&self, id: WorkerId, states: &[Real]) -> bool {
        self.workers.get(&id).is_some_and(|(_, _, real)| states.contains(real))
    }

    fn becomes(&mut self, id: WorkerId, from: &[Real], to: Real) -> bool {
        let possible = self.is(id, from);
        if possible && let Some((_, _, real)) = self.workers.get_mut(&id) {
            *real = to;
        }
        possible
    }

    /// Feeds an event if it could happen, and checks the promises.
    fn feed(&mut self, event: Event, now: Time) {
        if self.over || !self.happens(event) {
            return;
        }
        let was_serving = self.arbiter.serving();
        for action in self.arbiter.step(event, now) {
            self.check(action, was_serving);
        }
        // Each seat once, each once more during a reload, and the replacements under way.
        let most = usize::from(2 * self.most_seats + self.policy.max_replacing);
        let alive = [Real::Booting, Real::Serving];
        let incumbents = self.workers.values().filter(|(_, _, real)| alive.contains(real)).count();
        assert!(incumbents <= most, "{incumbents} workers for {} seats", self.seats);
        assert!(
            self.arbiter.next_deadline().is_none_or(|due| due > now),
            "a deadline did not fire: {event:?}"
        );
    }

    fn check(&mut self, action: Action, was_serving: usize) {
        assert!(!self.over, "nothing follows the exit");
        match action {
            Action::Spawn(id, seat, generation) => {
                assert!(!self.arbiter.is_stopping(), "a worker is spawned during a stop");
                let rivals = self
                    .workers
                    .values()
                    .filter(|(its, of, real)| *its == seat && *of == generation && *real != Real::Told);
                assert!(rivals.count() <= 1, "a seat is filled three times");
                assert!(self.workers.insert(id, (seat, generation, Real::Wanted)).is_none(), "a used id");
            }
            Action::Drain { worker, reason: Reason::Stop, .. } if self.is(worker, &[Real::Told]) => {}
            Action::Drain { worker, reason, .. } => {
                assert!(
                    self.becomes(worker, &[Real::Serving], Real::Told),
                    "{reason:?} of one who does not serve"
                );
                let planned = matches!(
                    reason,
                    Reason::Lifetime | Reason::MaxRequests | Reason::Memory | Reason::Reload
                );
                let left = self.workers.values().any(|(_, _, real)| *real == Real::Serving);
                assert!(!planned || left || was_serving == 0, "nobody is left to serve");
            }
            Action::Quit(id) | Action::Terminate(id, _) | Action::Kill(id, _) | Action::Report(id, _) => {
                let exists = [Real::Booting, Real::Serving, Real::Told];
                assert!(
                    self.becomes(id, &exists, Real::Told),
                    "a worker that does not exist is told {action:?}"
                );
            }
            Action::LameDuck(id) => assert!(self.is(id, &[Real::Serving])),
            Action::Reloaded(_) | Action::NotReloaded(_) | Action::CrashLoop(..) => {}
            Action::Exit(_) => {
                let left = self.workers.values().any(|(_, _, real)| *real != Real::Wanted);
                assert!(!left, "somebody is left behind");
                self.over = true;
            }
        }
    }

    /// Whatever happened, a stop ends: every worker exits when told or killed.
    fn finish(&mut self, now: Time) {
        self.feed(Event::StopQuickly, now);
        for generation in 0..3 {
            self.feed(Event::CannotSpawn(Generation(generation)), now);
        }
        let ids: Vec<_> = self.workers.keys().copied().collect();
        for id in ids {
            self.feed(Event::Exited(id), now);
        }
        assert!(self.over, "the stop does not end");
    }
}

proptest! {
    #[test]
    fn storms_of_events_break_no_promise(
        storm in prop::collection::vec((any::<prop::sample::Index>(), 0u64..20_000), 1..300)
    ) {
        let mut world = World::new(storm_policy(3));
        let mut now = Time::ZERO;
        for (which, wait) in storm {
            now += Duration::from_millis(wait);
            // Mostly about workers that exist.
            let newest = world.workers.keys().last().map_or(3, |id| id.0);
            let oldest = world.workers.keys().next().map_or(1, |id| id.0);
            let events: Vec<Event> = every_event(newest)
                .into_iter()
                .filter(|event| !matches!(event,
                    Event::Spawned(id) | Event::SpawnFailed(id) | Event::Ready(id) | Event::BootFailed(id, _)
                    | Event::Beat(id) | Event::Retire(id, _) | Event::Exited(id)
                    if id.0 < oldest))
                .filter(|event| !matches!(event, Event::StopQuickly | Event::StopGracefully | Event::HandOver)
                    || wait % 20 == 0)
                .collect();
            world.feed(*which.get(&events), now);
        }
        world.finish(now);
    }
}
