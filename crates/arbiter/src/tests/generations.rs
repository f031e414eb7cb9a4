//! Reloads and upgrades.

use super::{
    Action, Arbiter, DrainReason, Event, FIRST, Group, KillCause, NEXT, ONE, Policy, TWO, arbiter, boot,
    brought_up, dismiss, drain, http, reload, scale, secs, serving, spawn, storm_policy,
};
use hostler_wire::{ExitStatus, Generation, GroupId, WorkerId};

#[test]
fn a_reload_drains_the_old_generation_when_the_whole_new_one_serves() {
    let mut arbiter = serving(Policy::new(2));
    assert_eq!(arbiter.step(reload(NEXT, 2), secs(1)), []);
    let spawned = arbiter.step(Event::CanSpawn(NEXT), secs(2));
    assert_eq!(spawned, [spawn(3, 1, NEXT), spawn(4, 2, NEXT)]);
    assert_eq!(boot(&mut arbiter, WorkerId(3), secs(3)), []);
    let actions = boot(&mut arbiter, WorkerId(4), secs(4));
    let expected = [
        Action::Reloaded(NEXT),
        drain(ONE, DrainReason::Reload, true),
        drain(TWO, DrainReason::Reload, true),
    ];
    assert_eq!(actions, expected);
    assert_eq!(arbiter.generation(), NEXT);
}

#[test]
fn a_reload_that_fails_anywhere_leaves_the_old_generation_serving() {
    let reloading = || {
        let mut arbiter = serving(Policy::new(2));
        let _ = arbiter.step(reload(NEXT, 2), secs(1));
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
        let actions = arbiter.step(failure.clone(), secs(4));
        assert_eq!(actions[0], Action::NotReloaded(NEXT), "{failure:?}");
        assert!(actions.contains(&drain(WorkerId(3), DrainReason::ReloadFailed, true)));
        assert_eq!((arbiter.serving(GroupId::HTTP), arbiter.generation()), (2, FIRST));
        assert!(!arbiter.is_reloading());
    }
}

#[test]
fn changed_code_takes_over_at_once_and_the_old_one_ends_soon() {
    let mut arbiter = serving(Policy::new(1));
    let restart = |generation| Event::Restart(generation, vec![http(Policy::new(1))]);
    let expected = [Action::Reloaded(NEXT), drain(ONE, DrainReason::Changed, true)];
    assert_eq!(arbiter.step(restart(NEXT), secs(1)), expected);
    assert_eq!(arbiter.generation(), NEXT);
    let due = arbiter.next_deadline().unwrap();
    assert!(due < secs(10), "it is killed at {due:?}");
    assert_eq!(arbiter.step(Event::CanSpawn(NEXT), secs(1)), [spawn(2, 1, NEXT)]);
    assert_eq!(arbiter.step(Event::Spawned(TWO), secs(1)), []);
    assert!(arbiter.is_booting(TWO));
    // Changed again before it serves.
    let next = Generation(2);
    assert_eq!(arbiter.step(restart(next), secs(2)), [Action::Reloaded(next), dismiss(TWO, true)]);
    assert_eq!(arbiter.step(Event::Exited(TWO), secs(2)), []);
    assert_eq!(arbiter.step(Event::CanSpawn(next), secs(2)), [spawn(3, 1, next)]);
}

#[test]
fn changed_code_supersedes_a_reload_and_does_not_hinder_a_stop() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(reload(NEXT, 1), secs(1));
    let restart = |generation| Event::Restart(Generation(generation), vec![http(Policy::new(1))]);
    let actions = arbiter.step(restart(2), secs(1));
    assert_eq!(actions[..2], [Action::Superseded(NEXT), Action::Reloaded(Generation(2))]);
    let _ = arbiter.step(Event::StopGracefully, secs(2));
    assert_eq!(arbiter.step(restart(3), secs(2)), []);
}

#[test]
fn changed_code_whose_mold_is_given_up_starts_nothing_that_the_failed_start_would_end() {
    let groups = [http(storm_policy(1))];
    let program = Group::program(GroupId(1), Policy::unlimited(1, secs(1)));
    let mut arbiter = Arbiter::new(&groups);
    assert_eq!(arbiter.step(Event::Preparing(NEXT), secs(0)), []);
    let restart = Event::Restart(NEXT, vec![groups[0], program]);
    let expected =
        [Action::Reloaded(NEXT), Action::GiveUp(NEXT), Action::EndListening, Action::Exit(ExitStatus::Boot)];
    assert_eq!(arbiter.step(restart, secs(60)), expected);
}

#[test]
fn whoever_is_debugged_has_all_the_time_that_it_takes() {
    let mut arbiter = serving(Policy { stall_timeout: Some(secs(30)), ..Policy::new(1) });
    for at in 1..100 {
        assert_eq!(arbiter.step(Event::Debugged(ONE), secs(at * 10)), []);
    }
    let _ = arbiter.step(Event::Restart(NEXT, vec![http(Policy::new(1))]), secs(1000));
    for at in 1001..1100 {
        assert_eq!(arbiter.step(Event::Debugged(ONE), secs(at)), []);
    }
    let due = arbiter.next_deadline().unwrap();
    let killed = arbiter.step(Event::Tick, due);
    assert_eq!(killed, [Action::Kill(ONE, KillCause::GracefulTimeout)]);
}

#[test]
fn an_old_worker_that_dies_during_a_reload_is_replaced_from_the_old_generation() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(reload(NEXT, 1), secs(1));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [spawn(2, 1, FIRST)]);
}

#[test]
fn another_server_takes_over_everything() {
    let mut arbiter = upgrading();
    assert_eq!(
        arbiter.step(Event::HandOver, secs(1)),
        [Action::HandedOver, drain(ONE, DrainReason::Upgrade, true)]
    );
    assert!(arbiter.is_replaced());
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [Action::Exit(ExitStatus::Clean)]);
}

/// A worker serves, and a successor boots.
fn upgrading() -> Arbiter {
    upgrading_from(arbiter(Policy::new(1)))
}

fn upgrading_from(arbiter: Arbiter) -> Arbiter {
    let mut arbiter = brought_up(arbiter);
    assert!(arbiter.can_upgrade());
    assert_eq!(arbiter.step(Event::UpgradeBegan, secs(1)), []);
    assert_eq!(arbiter.step(Event::SuccessorRuns, secs(1)), []);
    assert!(!arbiter.can_upgrade());
    arbiter
}

#[test]
fn a_stop_during_an_upgrade_stops_both() {
    for (stop, quickly) in [(Event::StopGracefully, false), (Event::StopQuickly, true)] {
        let mut arbiter = upgrading();
        let actions = arbiter.step(stop, secs(2));
        assert_eq!(actions[0], Action::StopSuccessor { quickly });
        assert_eq!(arbiter.step(Event::HandOver, secs(2)), [], "it is too late to take over");
        assert_eq!(arbiter.step(Event::Exited(ONE), secs(2)), [], "the successor lives");
        let ended = Event::SuccessorEnded { clean: true };
        let refused = if quickly { vec![] } else { vec![Action::RefuseConnections] };
        let ended_at_last = [Action::EndListening, Action::Exit(ExitStatus::Clean)];
        assert_eq!(arbiter.step(ended, secs(3)), [refused, ended_at_last.to_vec()].concat());
    }
}

#[test]
fn a_successor_that_does_not_stop_is_killed() {
    let mut arbiter = upgrading();
    let _ = arbiter.step(Event::StopQuickly, secs(2));
    let _ = arbiter.step(Event::Exited(ONE), secs(2));
    let due = arbiter.next_deadline().unwrap();
    assert!(due < secs(10), "{due:?}");
    assert_eq!(arbiter.step(Event::Tick, due), [Action::KillSuccessor]);
    assert_eq!(arbiter.next_deadline(), None);
    let ended = Event::SuccessorEnded { clean: false };
    assert_eq!(arbiter.step(ended, due), [Action::EndListening, Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn a_successor_that_cannot_listen_yet_is_killed_at_once() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::UpgradeBegan, secs(1));
    let expected = [Action::KillSuccessor, drain(ONE, DrainReason::Stop, false)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(1)), expected);
}

#[test]
fn a_stop_after_another_server_took_over_is_passed_on_and_is_no_second_one() {
    let mut arbiter = upgrading();
    let _ = arbiter.step(Event::HandOver, secs(2));
    let first = [Action::StopSuccessor { quickly: false }, drain(ONE, DrainReason::Stop, false)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(3)), first);
    let second = [Action::StopSuccessor { quickly: true }, Action::Quit(ONE)];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(4)), second);
}

#[test]
fn a_successor_that_dies_before_it_serves_changes_nothing() {
    let mut arbiter = upgrading();
    assert_eq!(arbiter.step(Event::SuccessorEnded { clean: false }, secs(2)), [Action::NotUpgraded]);
    assert!(arbiter.can_upgrade());
}

#[test]
fn when_the_successor_dies_the_old_server_serves_again() {
    let mut arbiter = upgrading();
    let _ = arbiter.step(Event::HandOver, secs(2));
    let actions = arbiter.step(Event::SuccessorEnded { clean: false }, secs(3));
    assert_eq!(actions, [Action::TookBack, spawn(2, 1, FIRST)]);
    assert!(!arbiter.is_stopping() && arbiter.can_upgrade());
    let _ = boot(&mut arbiter, TWO, secs(4));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(5)), []);
    assert_eq!(arbiter.serving(GroupId::HTTP), 1);
}

#[test]
fn pid_1_takes_back_after_its_drain_too() {
    let mut arbiter = upgrading_from(Arbiter::new_as_pid1(&[http(Policy::new(1))]));
    let _ = arbiter.step(Event::HandOver, secs(2));
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(3)), []);
    assert!(arbiter.is_forwarding_as_pid1() && arbiter.next_deadline().is_none());
    let taken_back = [Action::TookBack, spawn(2, 1, FIRST)];
    assert_eq!(arbiter.step(Event::SuccessorEnded { clean: false }, secs(9)), taken_back);
    assert!(!arbiter.is_forwarding_as_pid1());

    let mut arbiter = upgrading_from(Arbiter::new_as_pid1(&[http(Policy::new(1))]));
    let _ = arbiter.step(Event::HandOver, secs(2));
    let _ = arbiter.step(Event::Exited(ONE), secs(3));
    let stop = |quickly| [Action::StopSuccessor { quickly }];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(4)), stop(false));
    assert_eq!(arbiter.step(Event::StopGracefully, secs(5)), stop(true));
    let left = arbiter.step(Event::SuccessorEnded { clean: false }, secs(6));
    assert_eq!(left, [Action::EndListening, Action::Exit(ExitStatus::Clean)]);
}

#[test]
fn when_the_successor_was_told_to_stop_the_old_server_leaves_too() {
    let mut arbiter = upgrading();
    let _ = arbiter.step(Event::HandOver, secs(2));
    assert_eq!(arbiter.step(Event::SuccessorEnded { clean: true }, secs(3)), []);
    assert!(arbiter.is_replaced(), "the files are not this server's to remove");
    assert_eq!(arbiter.step(Event::Exited(ONE), secs(5)), [Action::Exit(ExitStatus::Clean)]);
    assert!(arbiter.is_replaced());
}

#[test]
fn a_policy_counts_when_its_generation_is_proven() {
    let mut arbiter = serving(Policy::new(4));
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(Policy::new(1))]), secs(1));
    assert_eq!((arbiter.slots(GroupId::HTTP), arbiter.serving(GroupId::HTTP)), (4, 4));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(WorkerId(5)), secs(1));
    let failed = arbiter.step(Event::BootFailed(WorkerId(5), ExitStatus::AppImport), secs(2));
    assert_eq!(failed, [Action::NotReloaded(NEXT), dismiss(WorkerId(5), true)]);
    assert_eq!((arbiter.slots(GroupId::HTTP), arbiter.serving(GroupId::HTTP)), (4, 4));

    let more = Generation(2);
    let _ = arbiter.step(Event::Reload(more, vec![http(Policy::new(6))]), secs(3));
    let spawned = arbiter.step(Event::CanSpawn(more), secs(3));
    assert_eq!(spawned.len(), 6, "{spawned:?}");
    for worker in 6..=11 {
        let _ = boot(&mut arbiter, WorkerId(worker), secs(3));
    }
    assert_eq!((arbiter.slots(GroupId::HTTP), arbiter.serving(GroupId::HTTP)), (6, 6));
}

#[test]
fn workers_live_by_the_policy_of_their_own_generation() {
    let old = Policy { graceful_timeout: secs(60), ..Policy::new(1) };
    let new = Policy {
        boot_timeout: Some(secs(5)),
        lifetime: Some(secs(100)),
        stall_timeout: Some(secs(20)),
        ..Policy::new(1)
    };
    let mut arbiter = serving(old);
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(new)]), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    assert_eq!(arbiter.next_deadline(), Some(secs(6)), "the boot timeout of the new one");
    let _ = arbiter.step(Event::Ready(TWO), secs(2));
    assert_eq!(arbiter.next_deadline(), Some(secs(22)), "the stall timeout of the new one");
    for now in (10..80).step_by(10) {
        let actions = arbiter.step(Event::Beat(TWO), secs(now));
        let killed = if now == 70 { vec![Action::Kill(ONE, KillCause::GracefulTimeout)] } else { vec![] };
        assert_eq!(actions, killed, "the graceful timeout of the old one, at {now}");
    }
    let _ = arbiter.step(Event::Beat(TWO), secs(95));
    assert_eq!(arbiter.step(Event::Tick, secs(102)), [spawn(3, 1, NEXT)], "the lifetime of the new one");
}

#[test]
fn a_mold_that_does_not_become_ready_is_given_up() {
    let policy = Policy { boot_timeout: Some(secs(60)), ..Policy::new(1) };
    let mut first = arbiter(policy);
    let _ = first.step(Event::Preparing(FIRST), secs(0));
    assert_eq!(first.next_deadline(), Some(secs(60)));
    let expected = [Action::GiveUp(FIRST), Action::EndListening, Action::Exit(ExitStatus::Boot)];
    assert_eq!(first.step(Event::Tick, secs(60)), expected);

    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(Event::Reload(NEXT, vec![http(policy)]), secs(1));
    let _ = arbiter.step(Event::Preparing(NEXT), secs(1));
    let expected = [Action::GiveUp(NEXT), Action::NotReloaded(NEXT)];
    assert_eq!(arbiter.step(Event::Tick, secs(61)), expected);
    let _ = arbiter.step(Event::Preparing(FIRST), secs(70));
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(71)), []);
    assert_eq!(arbiter.next_deadline(), None);
}

#[test]
fn a_mold_that_does_not_fork_is_given_up() {
    let mut arbiter = arbiter(Policy::new(3));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let _ = boot(&mut arbiter, ONE, secs(20));
    assert_eq!(arbiter.next_deadline(), Some(secs(50)), "from its last fork on");
    assert_eq!(arbiter.step(Event::Tick, secs(50)), [Action::GiveUp(FIRST)]);
    assert_eq!(arbiter.next_deadline(), None);
    let _ = arbiter.step(Event::CannotSpawn(FIRST), secs(50));
    let expected = [spawn(4, 2, FIRST), spawn(5, 3, FIRST)];
    assert_eq!(arbiter.step(Event::CanSpawn(FIRST), secs(51)), expected);
}

#[test]
fn a_stop_does_not_wait_for_a_mold_that_does_not_fork() {
    let mut arbiter = arbiter(Policy::new(1));
    let _ = arbiter.step(Event::CanSpawn(FIRST), secs(0));
    let nobody_accepts = [Action::RefuseConnections, Action::EndListening];
    assert_eq!(arbiter.step(Event::StopGracefully, secs(1)), nobody_accepts);
    assert_eq!(arbiter.step(Event::Tick, secs(2)), [Action::GiveUp(FIRST)]);
    let expected = [Action::Exit(ExitStatus::Clean)];
    assert_eq!(arbiter.step(Event::CannotSpawn(FIRST), secs(2)), expected);
}

#[test]
fn a_later_reload_replaces_one_that_is_under_way() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(reload(NEXT, 1), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    let later = Generation(2);
    let replaced = arbiter.step(reload(later, 1), secs(2));
    assert_eq!(replaced, [Action::Superseded(NEXT), dismiss(TWO, true)]);
    let _ = arbiter.step(Event::CannotSpawn(NEXT), secs(2));
    assert_eq!(arbiter.step(Event::CanSpawn(later), secs(2)), [spawn(3, 1, later)]);
    let _ = boot(&mut arbiter, WorkerId(3), secs(3));
    assert_eq!(arbiter.generation(), later);
}

#[test]
fn no_slots_give_up_a_reload_that_nobody_could_prove() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(reload(NEXT, 1), secs(1));
    let expected = [Action::NotReloaded(NEXT), drain(ONE, DrainReason::FewerWorkers, false)];
    assert_eq!(arbiter.step(scale(0), secs(1)), expected);
}

#[test]
fn a_worker_that_is_dismissed_when_it_serves_already_finishes_what_it_took() {
    let mut arbiter = serving(Policy::new(1));
    let _ = arbiter.step(reload(NEXT, 1), secs(1));
    let _ = arbiter.step(Event::CanSpawn(NEXT), secs(1));
    let _ = arbiter.step(Event::Spawned(TWO), secs(1));
    assert_eq!(arbiter.step(reload(Generation(2), 1), secs(2)).last(), Some(&dismiss(TWO, true)));
    // The messages crossed: it has the grace period of a serving worker, not that of a booting one.
    assert_eq!(arbiter.step(Event::Ready(TWO), secs(2)), []);
    assert_eq!(arbiter.step(Event::Tick, secs(20)), []);
    let grace = arbiter.step(Event::Tick, secs(40));
    assert_eq!(grace, [Action::Kill(TWO, KillCause::GracefulTimeout)]);
}
