//! Groups that have one process in a slot at a time, and that start in an order.

use super::{
    Action, Arbiter, DrainReason, Event, FIRST, Group, KillCause, NEXT, ONE, Policy, RecycleReason, THREE,
    TWO, http, recycled, secs,
};
use crate::{GroupSet, OnReload, Readiness, Vacancy};
use hostler_wire::{Generation, GroupId, SlotId, WorkerId};

const CACHE: GroupId = GroupId(1);

fn cache(count: u16, reload: OnReload) -> Group {
    let policy = Policy { graceful_timeout: secs(5), boot_timeout: Some(secs(20)), ..Policy::new(count) };
    Group { readiness: Readiness::Message, exclusive: true, reload, ..Group::program(CACHE, policy) }
}

fn after_cache(group: Group) -> Group {
    Group { after: GroupSet::of([CACHE]), ..group }
}

fn spawn(worker: WorkerId, index: u16, generation: Generation) -> Action {
    Action::Spawn(worker, SlotId { group: CACHE, index }, generation)
}

/// So many of it serve since time zero.
fn serving(count: u16) -> Arbiter {
    let mut arbiter = Arbiter::new(&[cache(count, OnReload::Keep)]);
    let _ = arbiter.step(Event::Tick, secs(0));
    for id in (1..=u32::from(count)).map(WorkerId) {
        let _ = arbiter.step(Event::Spawned(id), secs(0));
        let _ = arbiter.step(Event::Ready(id), secs(0));
    }
    arbiter
}

#[test]
fn workers_start_when_what_is_before_them_serves_and_do_not_wait_for_it_again() {
    let mut arbiter = Arbiter::new(&[after_cache(http(Policy::new(1))), cache(2, OnReload::Keep)]);
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(0)), [spawn(ONE, 1, FIRST), spawn(TWO, 2, FIRST)]);
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::Spawned(TWO), secs(0));
    assert_eq!(arbiter.step(Event::Ready(ONE), secs(1)), []);
    assert_eq!(arbiter.step(Event::Ready(TWO), secs(2)), [super::spawn(3, 1, FIRST)]);
    let _ = arbiter.step(Event::Spawned(THREE), secs(2));
    let _ = arbiter.step(Event::Ready(THREE), secs(2));
    let _ = arbiter.step(Event::Exited(ONE), secs(3));
    let again = arbiter.step(Event::Exited(THREE), secs(3));
    assert_eq!(again, [super::spawn(5, 1, FIRST)]);
}

#[test]
fn one_that_is_late_is_stopped_and_its_successor_waits_for_its_end() {
    let mut arbiter = Arbiter::new(&[cache(1, OnReload::Keep)]);
    let _ = arbiter.step(Event::Tick, secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    assert_eq!(arbiter.step(Event::Tick, secs(20)), [Action::Terminate(ONE, KillCause::BootTimeout)]);
    assert_eq!(arbiter.step(Event::Tick, secs(26)), [Action::Kill(ONE, KillCause::BootTimeout)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(27)), [spawn(TWO, 1, FIRST)]);
}

#[test]
fn a_reload_that_changes_it_restarts_one_after_the_other_and_never_two_in_a_slot() {
    let mut arbiter = serving(2);
    let groups = vec![cache(2, OnReload::Recycle)];
    let term = |worker| Action::SendTerm { worker, reason: recycled(RecycleReason::Reload) };
    let begun = arbiter.step(Event::Reload(NEXT, groups), secs(1));
    assert_eq!(begun, [Action::Reloaded(NEXT), term(ONE)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [spawn(THREE, 1, NEXT)]);
    assert_eq!(arbiter.step(Event::Spawned(THREE), secs(2)), []);
    assert_eq!(arbiter.step(Event::Ready(THREE), secs(3)), [term(TWO)]);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(4)), [spawn(WorkerId(4), 2, NEXT)]);
}

#[test]
fn what_is_done_is_not_started_again_unless_it_is_changed() {
    let mut arbiter = Arbiter::new(&[after_cache(http(Policy::new(1))), cache(1, OnReload::Keep)]);
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let done = arbiter.step(Event::Finished { worker: ONE, well: true }, secs(1));
    assert_eq!(done, [super::spawn(2, 1, FIRST)], "the workers start");
    assert_eq!(arbiter.vacancy(SlotId { group: CACHE, index: 1 }), Vacancy::Finished);
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    let _ = arbiter.step(Event::Ready(TWO), secs(1));
    let again = |reload| {
        Event::Restart(if reload == OnReload::Keep { NEXT } else { Generation(2) }, vec![cache(1, reload)])
    };
    let kept = arbiter.step(again(OnReload::Keep), secs(2));
    assert!(!kept.iter().any(|action| matches!(action, Action::Spawn(..))), "{kept:?}");
    let changed = arbiter.step(again(OnReload::Recycle), secs(3));
    assert!(changed.contains(&spawn(THREE, 1, Generation(2))), "{changed:?}");
}

#[test]
fn workers_never_start_if_what_is_before_them_has_failed_for_good() {
    let mut arbiter = Arbiter::new(&[after_cache(http(Policy::new(1))), cache(1, OnReload::Keep)]);
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    assert_eq!(arbiter.step(Event::Finished { worker: ONE, well: false }, secs(1)), []);
    assert_eq!(arbiter.next_deadline(), None);
}

#[test]
fn a_reload_that_adds_it_starts_it_before_the_new_workers_and_gives_both_up_together() {
    let policy = Policy::new(1);
    let brought_up = || {
        let mut arbiter = Arbiter::new(&[http(policy)]);
        let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
        let _ = arbiter.step(Event::Spawned(ONE), secs(0));
        let _ = arbiter.step(Event::Ready(ONE), secs(0));
        let groups = vec![after_cache(http(policy)), cache(1, OnReload::Keep)];
        let begun = arbiter.step(Event::Reload(NEXT, groups), secs(1));
        assert_eq!(begun, [spawn(TWO, 1, NEXT)]);
        assert_eq!(arbiter.step(Event::CanSpawn(NEXT), secs(1)), []);
        assert_eq!(arbiter.step(Event::Spawned(TWO), secs(1)), []);
        arbiter
    };
    let mut arbiter = brought_up();
    assert_eq!(arbiter.step(Event::Ready(TWO), secs(2)), [super::spawn(3, 1, NEXT)]);
    let _ = arbiter.step(Event::Spawned(THREE), secs(2));
    let reloaded = arbiter.step(Event::Ready(THREE), secs(3));
    assert_eq!(reloaded, [Action::Reloaded(NEXT), super::drain(ONE, DrainReason::Reload, true)]);
    assert_eq!(arbiter.serving(CACHE), 1);
    let mut failed = brought_up();
    assert_eq!(failed.step(Event::Exited(TWO), secs(2)), [Action::NotReloaded(NEXT)]);
    assert_eq!(failed.serving(GroupId::HTTP), 1);
}

#[test]
fn what_the_user_wants_now_neither_waits_for_its_next_attempt_nor_is_it_done() {
    let slot = SlotId { group: CACHE, index: 1 };
    let mut arbiter = Arbiter::new(&[cache(1, OnReload::Keep)]);
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(0)), [spawn(ONE, 1, FIRST)]);
    // One that prepares to serve is replaced, and that is no failure.
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let asked = Action::SendTerm { worker: ONE, reason: recycled(RecycleReason::Asked) };
    assert_eq!(arbiter.step(Event::TryNow(slot), secs(1)), [asked]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [spawn(TWO, 1, FIRST)]);
    assert_eq!(arbiter.failures(slot), 0);
    // One that has failed waits for no pause.
    let _ = arbiter.step(Event::Spawned(TWO), secs(2));
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(3)), [spawn(THREE, 1, FIRST)]);
    let _ = arbiter.step(Event::Spawned(THREE), secs(3));
    assert_eq!(arbiter.step(Event::Exited(THREE), secs(3)), []);
    assert!(matches!(arbiter.vacancy(slot), Vacancy::UntilNextAttempt(at) if at > secs(3)));
    assert_eq!(arbiter.step(Event::TryNow(slot), secs(3)), [spawn(WorkerId(4), 1, FIRST)]);
    // One that is done runs again.
    let _ = arbiter.step(Event::Spawned(WorkerId(4)), secs(3));
    assert_eq!(arbiter.step(Event::Finished { worker: WorkerId(4), well: false }, secs(4)), []);
    assert_eq!(arbiter.step(Event::TryNow(slot), secs(5)), [spawn(WorkerId(5), 1, FIRST)]);
    let _ = arbiter.step(Event::StopGracefully, secs(6));
    assert_eq!(arbiter.step(Event::TryNow(slot), secs(6)), []);
}
