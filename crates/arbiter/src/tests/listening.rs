//! When the listening sockets end.

use super::{
    Action, DrainReason, Event, ExitStatus, ONE, Policy, RecycleReason, THREE, TWO, WorkerId, dismiss, drain,
    scale, secs, serving,
};

/// What follows when it has accepted what waited.
fn last(worker: WorkerId) -> [Action; 2] {
    [Action::RefuseConnections, Action::AcceptLast(worker)]
}

#[test]
fn listening_ends_when_a_worker_has_accepted_what_waited() {
    let mut arbiter = serving(Policy::new(3));
    let told = [ONE, TWO, THREE].map(|worker| drain(worker, DrainReason::Stop, false));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), told);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(11)), last(ONE));
    // It does not have to do it alone.
    assert_eq!(arbiter.step(Event::AcceptsNoMore(THREE), secs(11)), [Action::AcceptLast(THREE)]);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(11)), [Action::EndListening]);
    // These need not wait for it, either.
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(11)), [Action::AcceptLast(TWO)]);
    for event in [Event::AcceptsNoMore(THREE), Event::Exited(ONE), Event::Exited(TWO)] {
        assert_eq!(arbiter.step(event, secs(12)), []);
    }
    assert_eq!(arbiter.step(Event::Exited(THREE), secs(12)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_worker_that_boots_or_hangs_is_not_waited_for() {
    let mut arbiter = serving(Policy::new(2));
    let _ = arbiter.step(scale(3), secs(1));
    let _ = arbiter.step(Event::Spawned(THREE), secs(1));
    let told =
        [drain(ONE, DrainReason::Stop, false), drain(TWO, DrainReason::Stop, false), dismiss(THREE, false)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(2)), told);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(2)), last(TWO));
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(2)), [Action::EndListening]);
}

#[test]
fn one_that_exits_before_it_has_accepted_what_waited_is_replaced_by_another() {
    let mut arbiter = serving(Policy::new(2));
    let _ = arbiter.step(Event::StopGracefully, secs(2));
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), last(ONE));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), []);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(3)), [Action::AcceptLast(TWO)]);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(3)), [Action::EndListening]);
}

#[test]
fn a_worker_that_leaves_what_waits_to_others_is_not_asked() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Recycle(ONE, RecycleReason::Memory), secs(1));
    let _ = super::boot(&mut arbiter, TWO, secs(2));
    let _ = arbiter.step(Event::StopGracefully, secs(3));
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(3)), []);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(3)), last(TWO));
}

#[test]
fn listening_goes_on_beyond_workers_that_are_replaced_or_not_wanted() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Recycle(ONE, RecycleReason::Memory), secs(1));
    let _ = super::boot(&mut arbiter, TWO, secs(2));
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), []);
    // One that is alone is told to drain as at a stop.
    assert_eq!(arbiter.step(scale(0), secs(3)), [drain(TWO, DrainReason::FewerWorkers, false)]);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(TWO), secs(4)), []);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(4)), []);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(4)), []);
    assert_eq!(
        arbiter.step(Event::StopGracefully, secs(5)),
        [Action::RefuseConnections, Action::EndListening, Action::Exit(ExitStatus::Clean)]
    );
}

#[test]
fn a_drain_delay_accepts_to_its_end() {
    let mut arbiter = serving(Policy { drain_delay: secs(5), ..Policy::new(1) });
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), [Action::LameDuck(ONE)]);
    assert_eq!(arbiter.step(Event::Tick, secs(15)), [drain(ONE, DrainReason::Stop, false)]);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(16)), last(ONE));
}

#[test]
fn a_worker_that_may_serve_by_now_is_waited_for() {
    let mut arbiter = super::arbiter(Policy::new(1));
    let _ = arbiter.step(Event::CanSpawn(super::FIRST), secs(0));
    let _ = arbiter.step(Event::Spawned(ONE), secs(0));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(1)), [dismiss(ONE, false)]);
    assert_eq!(arbiter.step(Event::Ready(ONE), secs(1)), []);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), last(ONE));
}

#[test]
fn sockets_of_a_successor_are_left_to_it() {
    let mut arbiter = serving(Policy::new(1));
    for event in [Event::UpgradeBegan, Event::SuccessorRuns, Event::HandOver, Event::StopGracefully] {
        let _ = arbiter.step(event, secs(1));
    }
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), []);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_successor_that_is_stopped_before_it_serves_is_not_waited_for() {
    for before in [&[][..], &[Event::SuccessorRuns]] {
        let mut arbiter = serving(Policy::new(1));
        for event in [&[Event::UpgradeBegan], before, &[Event::StopGracefully]].concat() {
            let _ = arbiter.step(event, secs(1));
        }
        assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), last(ONE));
        assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), [Action::EndListening]);
        assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), []);
        let ended = Event::SuccessorEnded { clean: true };
        assert_eq!(arbiter.step(ended, secs(3)), [Action::Exit(ExitStatus::Clean)]);
    }
}

#[test]
fn a_quick_stop_ends_listening_at_once() {
    let mut arbiter = serving(Policy::new(1));
    assert_eq!(arbiter.step(Event::StopQuickly, secs(1)), [Action::Quit(ONE), Action::EndListening]);

    let mut arbiter = serving(Policy::new(2));
    for event in [Event::StopGracefully, Event::AcceptsNoMore(ONE)] {
        let _ = arbiter.step(event, secs(1));
    }
    let _ = arbiter.step(Event::Exited(TWO), secs(1));
    let quickly = [Action::Quit(ONE), Action::EndListening];
    assert_eq!(arbiter.step(Event::StopQuickly, secs(2)), quickly);
}
