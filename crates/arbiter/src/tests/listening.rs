//! When the listening sockets end.

use super::{
    Action, DrainReason, Event, ExitStatus, ONE, Policy, RecycleReason, THREE, TWO, WorkerId, dismiss, drain,
    scale, secs, serving,
};

/// No other worker accepts.
fn last(worker: WorkerId) -> [Action; 2] {
    [Action::RefuseConnections, Action::AcceptLast(worker)]
}

#[test]
fn listening_ends_when_no_worker_accepts_any_more() {
    let mut arbiter = serving(Policy::new(3));
    let told = [ONE, TWO, THREE].map(|worker| drain(worker, DrainReason::Stop, false));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(10)), told);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(11)), []);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(11)), []);
    let refused = [Action::RefuseConnections, Action::AcceptLast(ONE), Action::AcceptLast(THREE)];
    assert_eq!(arbiter.step(Event::AcceptsNoMore(THREE), secs(11)), refused);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(11)), []);
    assert_eq!(arbiter.step(Event::AcceptsNoMore(THREE), secs(11)), [Action::EndListening]);
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(12)), []);
    assert_eq!(arbiter.step(Event::Exited(THREE), secs(12)), [Action::Exit(ExitStatus::Clean)]);
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

    // One that is stopped before it took over may still accept.
    let mut arbiter = serving(Policy::new(1));
    for event in [Event::UpgradeBegan, Event::SuccessorRuns, Event::StopGracefully] {
        let _ = arbiter.step(event, secs(1));
    }
    assert_eq!(arbiter.step(Event::AcceptsNoMore(ONE), secs(2)), []);
    assert_eq!(arbiter.step(Event::SuccessorEnded { clean: true }, secs(3)), last(ONE));
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
