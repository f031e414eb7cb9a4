//! Made-up events at made-up times.

mod companions;
mod generations;
mod groups;
mod listening;
mod scaling;
mod storms;
mod world;

use super::{Action, Arbiter, DrainReason, Event, Group, KillCause, Launch, Policy, RecycleReason, Time};
use crate::policy::backoff;
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};
use std::time::Duration;

const ONE: WorkerId = WorkerId(1);
const TWO: WorkerId = WorkerId(2);
const THREE: WorkerId = WorkerId(3);
const FIRST: Generation = Generation(0);
const NEXT: Generation = Generation(1);

fn secs(n: u64) -> Time {
    Duration::from_secs(n)
}

fn spawn(worker: u32, slot: u16, generation: Generation) -> Action {
    Action::Spawn(WorkerId(worker), SlotId::http(slot), generation)
}

fn recycled(reason: RecycleReason) -> DrainReason {
    DrainReason::Recycle(reason)
}

fn drain(worker: WorkerId, reason: DrainReason, hand_over: bool) -> Action {
    Action::Drain { worker, reason, hand_over }
}

impl Policy {
    /// Without limits but the grace period.
    fn new(workers: u16) -> Self {
        Self::unlimited(workers, secs(30))
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

fn http(policy: Policy) -> Group {
    Group::http(Launch::Mold, policy)
}

/// A fleet of HTTP workers.
fn arbiter(policy: Policy) -> Arbiter {
    Arbiter::new(&[http(policy)])
}

fn scale(workers: u16) -> Event {
    Event::Scale(GroupId::HTTP, workers)
}

/// A reload to so many workers.
fn reload(generation: Generation, workers: u16) -> Event {
    Event::Reload(generation, vec![http(storm_policy(workers))])
}

/// A fleet whose workers 1 to `workers` serve since time zero.
fn serving(policy: Policy) -> Arbiter {
    brought_up(arbiter(policy))
}

fn brought_up(mut arbiter: Arbiter) -> Arbiter {
    let slots = arbiter.slots(GroupId::HTTP);
    let spawned = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    assert_eq!(spawned.len(), usize::from(slots));
    for worker in (1..=u32::from(slots)).map(WorkerId) {
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

fn dismiss(worker: WorkerId, hand_over: bool) -> Action {
    Action::Dismiss { worker, hand_over }
}

#[test]
fn all_slots_are_filled_once_workers_can_be_spawned() {
    let mut arbiter = arbiter(Policy::new(2));
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
        let at_once = !arbiter.step(Event::Exited(WorkerId(worker)), now).is_empty();
        assert!(at_once || arbiter.next_deadline().is_none_or(|due| due <= now + Duration::from_millis(400)));
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
        told += actions
            .iter()
            .filter(|action| matches!(action, Action::CrashLoop(SlotId { index: 1, .. }, _)))
            .count();
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
    let mut arbiter = arbiter(Policy::new(2));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::Spawned(TWO), secs(0));
    let failed = Event::BootFailed(ONE, ExitStatus::AppImport);
    assert_eq!(arbiter.step(failed, secs(1)), [Action::Quit(ONE), Action::Quit(TWO), Action::EndListening]);
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
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [drain(ONE, DrainReason::Stop, false)]);
    assert_eq!(arbiter.step(Event::Tick, secs(40)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [Action::Kill(ONE, KillCause::GracefulTimeout)]);
    assert_eq!(
        arbiter.step(Event::Exited(ONE), secs(41)),
        [Action::RefuseConnections, Action::EndListening, Action::Exit(ExitStatus::Clean)]
    );
}

#[test]
fn a_second_request_to_stop_is_a_quick_one() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::StopGracefully, secs(10));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(11)), [Action::Quit(ONE), Action::EndListening]);
    assert_eq!(arbiter.step(Event::StopQuickly, secs(11)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(12)), [Action::Kill(ONE, KillCause::QuickStop)]);
}

#[test]
fn with_a_drain_delay_workers_serve_on_for_a_while() {
    let mut arbiter = serving(Policy { drain_delay: secs(5), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [Action::LameDuck(ONE)]);
    assert_eq!(arbiter.next_deadline(), Some(secs(15)));
    assert_eq!(arbiter.step(Event::Tick, secs(15)), [drain(ONE, DrainReason::Stop, false)]);
}

#[test]
fn a_worker_that_appears_during_a_stop_is_told_too() {
    let mut arbiter = arbiter(Policy::new(1));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let nobody_accepts = [Action::RefuseConnections, Action::EndListening];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(0)), nobody_accepts);
    assert_eq!(arbiter.step(Event::Spawned(ONE), secs(1)), [Action::Quit(ONE)]);
}

#[test]
fn a_lost_mold_leaves_no_slot_waiting_for_it() {
    let mut arbiter = arbiter(Policy::new(1));
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
    assert_eq!(
        arbiter.step(Event::Ready(TWO), secs(90)),
        [drain(ONE, recycled(RecycleReason::Lifetime), true)]
    );
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(91)), []);
}

#[test]
fn a_successor_that_dies_booting_leaves_the_old_worker_serving() {
    let mut arbiter = serving(Policy { lifetime: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::Tick, secs(60));
    let _ = arbiter.step(Event::Spawned(TWO), secs(60));
    // The first failure costs no wait.
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(61)), [spawn(3, 1, FIRST)]);
    assert_eq!(arbiter.serving(GroupId::HTTP), 1);
}

#[test]
fn replacements_keep_their_distance() {
    let policy = Policy { respawn_interval: secs(10), ..Policy::new(3) };
    let mut arbiter = serving(policy);
    let retire = |id| Event::Recycle(WorkerId(id), RecycleReason::MaxRequests);
    assert_eq!(arbiter.step(retire(1), secs(5)), [spawn(4, 1, FIRST)]);
    assert_eq!(arbiter.step(retire(2), secs(5)), []);
    // One at a time, however long it takes.
    assert_eq!(arbiter.step(Event::Tick, secs(30)), []);
    assert_eq!(
        boot(&mut arbiter, WorkerId(4), secs(31)),
        [drain(ONE, recycled(RecycleReason::MaxRequests), true), spawn(5, 2, FIRST)]
    );
    assert_eq!(
        boot(&mut arbiter, WorkerId(5), secs(32)),
        [drain(TWO, recycled(RecycleReason::MaxRequests), true)]
    );
    assert_eq!(arbiter.step(retire(3), secs(33)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(41)));
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [spawn(6, 3, FIRST)]);
}

#[test]
fn without_headroom_the_old_worker_goes_first_if_another_serves() {
    let mut arbiter = serving(Policy::new(2));
    let _ = arbiter.step(Event::Headroom(false), secs(1));
    let actions = arbiter.step(Event::Recycle(ONE, RecycleReason::Memory), secs(2));
    assert_eq!(actions, [drain(ONE, recycled(RecycleReason::Memory), true), spawn(3, 1, FIRST)]);
    let mut alone = serving(Policy::new(1));
    let _ = alone.step(Event::Headroom(false), secs(1));
    assert_eq!(alone.step(Event::Recycle(ONE, RecycleReason::Memory), secs(2)), [spawn(2, 1, FIRST)]);
}

#[test]
fn jitter_spreads_lifetimes() {
    let policy = Policy { lifetime: Some(secs(1000)), lifetime_jitter: 0.1, seed: 7, ..Policy::new(50) };
    let dues: Vec<Time> = (0..50).filter_map(|salt| policy.recycling(secs(0), salt)).collect();
    assert!(dues.iter().all(|due| *due > secs(900) && *due <= secs(1000)));
    assert!(dues.iter().max().unwrap().saturating_sub(*dues.iter().min().unwrap()) > secs(50));
}

#[test]
fn a_stalled_worker_is_reported_replaced_terminated_and_killed() {
    let mut arbiter = serving(Policy { stall_timeout: Some(secs(30)), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::Beat(ONE), secs(10)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(40)));
    let actions = arbiter.step(Event::Tick, secs(40));
    assert_eq!(actions, [Action::Report(ONE, KillCause::Stall), spawn(2, 1, FIRST)]);
    let _ = boot(&mut arbiter, TWO, secs(40));
    assert_eq!(arbiter.step(Event::Tick, secs(41)), [Action::Terminate(ONE, KillCause::Stall)]);
    assert_eq!(arbiter.step(Event::Tick, secs(42)), [Action::Kill(ONE, KillCause::Stall)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(42)), []);
}

#[test]
fn a_machine_that_stood_still_blames_nobody() {
    let mut arbiter = serving(Policy { stall_timeout: Some(secs(30)), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::Suspended(secs(3600)), secs(3600)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(3630)));
}

#[test]
fn a_boot_that_takes_too_long_is_reported_and_tried_again() {
    let mut arbiter = arbiter(Policy { boot_timeout: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let actions = arbiter.step(Event::Tick, secs(60));
    assert_eq!(actions, [Action::Report(ONE, KillCause::BootTimeout), spawn(2, 1, FIRST)]);
}

#[test]
fn slots_come_and_go() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(scale(2), secs(1)), [spawn(2, 2, FIRST)]);
    let _ = boot(&mut arbiter, TWO, secs(2));
    assert_eq!(arbiter.step(scale(1), secs(3)), [drain(TWO, DrainReason::FewerWorkers, true)]);
    assert_eq!(arbiter.step(scale(0), secs(4)), [drain(ONE, DrainReason::FewerWorkers, false)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(5)), []);
    assert!(!arbiter.is_stopping());
}

#[test]
fn whoever_retires_when_the_server_stops_is_told_that_nobody_takes_its_connections() {
    let mut arbiter = serving(Policy { lifetime: Some(secs(60)), ..Policy::new(1) });
    let _ = arbiter.step(Event::Tick, secs(60));
    assert_eq!(boot(&mut arbiter, TWO, secs(61)), [drain(ONE, recycled(RecycleReason::Lifetime), true)]);
    let expected = [drain(ONE, DrainReason::Stop, false), drain(TWO, DrainReason::Stop, false)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(62)), expected);
}

#[test]
fn when_all_slots_go_nobody_is_left_to_hand_over_to() {
    let mut arbiter = serving(Policy::new(2));
    let expected =
        [drain(ONE, DrainReason::FewerWorkers, false), drain(TWO, DrainReason::FewerWorkers, false)];
    assert_eq!(arbiter.step(scale(0), secs(1)), expected);
}

#[test]
fn what_the_user_asked_for_can_be_taken_back_until_it_begins() {
    let policy = Policy { respawn_interval: secs(10), ..Policy::new(2) };
    let mut arbiter = serving(policy);
    let asked = |id| Event::Recycle(id, RecycleReason::Asked);
    assert_eq!(arbiter.step(asked(ONE), secs(1)), [spawn(3, 1, FIRST)]);
    assert_eq!(arbiter.step(asked(TWO), secs(1)), []);
    assert_eq!(arbiter.step(Event::Keep(TWO), secs(2)), []);
    assert_eq!(boot(&mut arbiter, WorkerId(3), secs(3)), [drain(ONE, recycled(RecycleReason::Asked), true)]);
    assert_eq!(arbiter.step(Event::Tick, secs(20)), [], "the second one stays");
    assert!(arbiter.serves(TWO) && !arbiter.serves(ONE) && arbiter.exists(ONE));
}
