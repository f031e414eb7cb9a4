//! Groups beside the HTTP workers.

use super::{
    Action, Arbiter, DrainReason, Event, FIRST, Group, KillCause, NEXT, ONE, Policy, THREE, TWO, Time, drain,
    http, secs,
};
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};

const PROGRAMS: GroupId = GroupId(1);

fn program(count: u16) -> Group {
    Group::program(PROGRAMS, Policy { graceful_timeout: secs(5), ..Policy::new(count) })
}

fn spawn_program(worker: WorkerId, index: u16, generation: Generation) -> Action {
    Action::Spawn(worker, SlotId { group: PROGRAMS, index }, generation)
}

fn term(worker: WorkerId, reason: DrainReason) -> Action {
    Action::SendTerm { worker, reason }
}

/// An HTTP worker, number two, and a program, number one, serve.
fn both() -> Arbiter {
    let mut arbiter = Arbiter::new(&[http(Policy::new(1)), program(1)]);
    assert_eq!(arbiter.step(Event::Tick, secs(0)), [spawn_program(ONE, 1, FIRST)]);
    assert_eq!(arbiter.step(Event::Spawned(ONE), secs(0)), []);
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(0)).len(), 1);
    assert_eq!(arbiter.step(Event::Spawned(TWO), secs(0)), []);
    assert!(!arbiter.is_complete() && !arbiter.ever_served(), "the program gates nothing");
    assert_eq!(arbiter.step(Event::Ready(TWO), secs(0)), []);
    assert!(arbiter.is_complete() && arbiter.ever_served());
    arbiter
}

#[test]
fn a_program_is_started_without_a_mold_and_serves_once_it_runs() {
    let arbiter = both();
    assert_eq!((arbiter.serving(PROGRAMS), arbiter.serving(GroupId::HTTP)), (1, 1));
    assert_eq!(arbiter.watched().collect::<Vec<_>>(), [TWO], "a program does not beat");
}

#[test]
fn a_program_that_dies_is_started_again_ever_more_slowly() {
    let mut arbiter = both();
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(1)), [spawn_program(THREE, 1, FIRST)]);
    let (mut waited, mut id) = (Time::ZERO, 3);
    for round in 2..10u64 {
        let now = secs(round * 100);
        // It dies before it has run for long, again and again.
        let _ = arbiter.step(Event::Spawned(WorkerId(id)), now);
        let _ = arbiter.step(Event::Exited(WorkerId(id)), now);
        let wait = arbiter.next_deadline().unwrap() - now;
        assert!(wait > waited, "{wait:?} after {waited:?}");
        waited = wait;
        id += 1;
        let next = arbiter.step(Event::Tick, now + wait);
        assert_eq!(next, [spawn_program(WorkerId(id), 1, FIRST)]);
    }
    assert!(waited > secs(9), "{waited:?}");
    assert!(!arbiter.is_stopping() && arbiter.serving(GroupId::HTTP) == 1);
}

#[test]
fn a_program_that_cannot_be_started_is_no_failure_of_the_start() {
    let mut arbiter = Arbiter::new(&[http(Policy::new(1)), program(1)]);
    let _ = arbiter.step(Event::Tick, secs(0));
    assert_eq!(arbiter.step(Event::SpawnFailed(ONE), secs(0)), [spawn_program(TWO, 1, FIRST)]);
    assert_eq!(arbiter.step(Event::SpawnFailed(TWO), secs(0)), [], "the next attempt waits");
    assert!(!arbiter.is_stopping());
}

#[test]
fn a_reload_keeps_a_program_and_later_ones_are_of_the_new_generation() {
    let mut arbiter = both();
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(Policy::new(1)), program(1)]), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(THREE), secs(1));
    let reloaded = arbiter.step(Event::Ready(THREE), secs(2));
    assert_eq!(reloaded, [Action::Reloaded(NEXT), drain(TWO, DrainReason::Reload, true)]);
    assert_eq!(arbiter.serving(PROGRAMS), 1);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(10)), [spawn_program(WorkerId(4), 1, NEXT)]);
}

#[test]
fn a_reload_starts_and_stops_programs_only_when_it_is_proven() {
    let mut arbiter = both();
    let other = Group { id: GroupId(2), ..program(1) };
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(Policy::new(1)), other]), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(THREE), secs(1));
    let slot = SlotId { group: GroupId(2), index: 1 };
    let expected = [
        Action::Reloaded(NEXT),
        drain(TWO, DrainReason::Reload, true),
        term(ONE, DrainReason::FewerWorkers),
        Action::Spawn(WorkerId(4), slot, NEXT),
    ];
    assert_eq!(arbiter.step(Event::Ready(THREE), secs(2)), expected);
    assert_eq!(arbiter.slots(PROGRAMS), 0);
}

#[test]
fn what_gates_nothing_is_replaced_when_the_reload_is_proven() {
    let replaced = Group { reload: crate::OnReload::Replace, ..program(1) };
    let mut arbiter = Arbiter::new(&[http(Policy::new(1)), replaced]);
    let _ = arbiter.step(Event::Tick, secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = super::boot(&mut arbiter, TWO, secs(0));
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(Policy::new(1)), replaced]), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let expected = [
        Action::Reloaded(NEXT),
        term(ONE, DrainReason::Reload),
        drain(TWO, DrainReason::Reload, true),
        spawn_program(WorkerId(4), 1, NEXT),
    ];
    assert_eq!(super::boot(&mut arbiter, THREE, secs(2)), expected);
}

#[test]
fn groups_stop_in_their_order() {
    let mut arbiter = both();
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [drain(TWO, DrainReason::Stop, false)]);
    assert_eq!(arbiter.step(Event::Tick, secs(20)), []);
    assert_eq!(
        arbiter.step(Event::Exited(TWO), secs(30)),
        [term(ONE, DrainReason::Stop), Action::RefuseConnections, Action::EndListening]
    );
    assert_eq!(arbiter.next_deadline(), Some(secs(36)), "its own graceful timeout, from then on");
    assert_eq!(arbiter.step(Event::Tick, secs(36)), [Action::Kill(ONE, KillCause::GracefulTimeout)]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(36)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_quick_stop_cuts_workers_and_then_programs() {
    let mut arbiter = both();
    let expected = [Action::Quit(TWO), Action::EndListening];
    assert_eq!(arbiter.step(Event::StopQuickly, secs(10)), expected);
    assert_eq!(arbiter.step(Event::Tick, secs(11)), [Action::Kill(TWO, KillCause::QuickStop)]);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(11)), [term(ONE, DrainReason::Stop)]);
    assert_eq!(arbiter.step(Event::Tick, secs(12)), [Action::Kill(ONE, KillCause::QuickStop)]);
}

/// Two programs with a grace of five seconds, number one and then number two in the stop order, and a worker between them.
fn with_grace() -> Arbiter {
    let program = |id, stop_order| Group { id: GroupId(id), stop_order, keeps_grace: true, ..program(1) };
    let first = program(1, Group::WORKERS_STOP - 1);
    let mut arbiter = Arbiter::new(&[http(Policy::new(1)), first, program(2, u8::MAX)]);
    let _ = arbiter.step(Event::Tick, secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let _ = arbiter.step(Event::Spawned(TWO), secs(0));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = super::boot(&mut arbiter, THREE, secs(0));
    arbiter
}

#[test]
fn a_quick_stop_leaves_those_their_order_and_time_that_keep_their_grace() {
    let mut arbiter = with_grace();
    let quickly = [Action::Quit(THREE), term(ONE, DrainReason::Stop), Action::EndListening];
    assert_eq!(arbiter.step(Event::StopQuickly, secs(10)), quickly);
    assert_eq!(arbiter.step(Event::Tick, secs(11)), [Action::Kill(THREE, KillCause::QuickStop)]);
    assert_eq!(arbiter.step(Event::Exited(THREE), secs(11)), []);
    assert_eq!(arbiter.next_deadline(), Some(secs(16)));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(15)), [term(TWO, DrainReason::Stop)]);
    assert_eq!(arbiter.step(Event::Tick, secs(21)), [Action::Kill(TWO, KillCause::GracefulTimeout)]);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(21)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_second_quick_stop_cuts_everything_at_once() {
    for second in [Event::StopQuickly, Event::StopGracefully] {
        let mut arbiter = with_grace();
        let _ = arbiter.step(Event::StopQuickly, secs(10));
        assert!(arbiter.is_stopping_quickly());
        let told = [term(ONE, DrainReason::Stop), term(TWO, DrainReason::Stop)];
        assert_eq!(arbiter.step(second, secs(10)), told);
        let killed = [ONE, TWO, THREE].map(|id| Action::Kill(id, KillCause::QuickStop));
        assert_eq!(arbiter.step(Event::Tick, secs(11)), killed);
    }
}

#[test]
fn each_request_to_stop_is_a_step_more_urgent() {
    let mut arbiter = with_grace();
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [term(ONE, DrainReason::Stop)]);
    let quickly = [Action::Quit(THREE), Action::EndListening];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(11)), quickly);
    let _ = arbiter.step(Event::Exited(THREE), secs(11));
    assert_eq!(arbiter.next_deadline(), Some(secs(16)), "what it was told to do it is given the time for");
    let at_once = [term(ONE, DrainReason::Stop), term(TWO, DrainReason::Stop)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(12)), at_once);
    assert_eq!(arbiter.next_deadline(), Some(secs(13)));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(12)), []);
}

#[test]
fn nobody_is_in_a_hurry_when_a_start_has_failed() {
    let program = Group { keeps_grace: true, ..program(1) };
    let mut arbiter = Arbiter::new(&[http(Policy::new(1)), program]);
    let _ = arbiter.step(Event::Tick, secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    let failed = arbiter.step(Event::StartFailed(ExitStatus::Boot), secs(1));
    assert_eq!(failed, [term(ONE, DrainReason::Stop), Action::EndListening]);
    assert_eq!(arbiter.step(Event::StopQuickly, secs(2)), [], "the first request of the user's");
    assert_eq!(arbiter.next_deadline(), Some(secs(7)));
    let _ = arbiter.step(Event::StopQuickly, secs(3));
    assert_eq!(arbiter.next_deadline(), Some(secs(4)));
}

#[test]
fn a_program_that_dies_while_others_drain_is_not_started_again() {
    let mut arbiter = both();
    let _ = arbiter.step(Event::StopGracefully, secs(10));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(11)), []);
    assert_eq!(
        arbiter.step(Event::Exited(TWO), secs(12)),
        [Action::RefuseConnections, Action::EndListening, Action::Exit(ExitStatus::Clean)]
    );
}

#[test]
fn programs_are_scaled_apart_from_workers() {
    let mut arbiter = both();
    assert_eq!(arbiter.step(Event::Scale(PROGRAMS, 2), secs(1)), [spawn_program(THREE, 2, FIRST)]);
    let _ = arbiter.step(Event::Spawned(THREE), secs(1));
    let fewer = arbiter.step(Event::Scale(PROGRAMS, 1), secs(2));
    assert_eq!(fewer, [term(THREE, DrainReason::FewerWorkers)]);
    assert_eq!(arbiter.slots(GroupId::HTTP), 1);
}
