//! Every event in every state, and events at random, for all kinds of groups.

use super::{
    Event, FIRST, Group, Launch, NEXT, ONE, Policy, RecycleReason, TWO, Time, http, secs, storm_policy,
    world::World,
};
use crate::{GroupSet, Liveness, OnReload, Readiness, Stop};
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};
use proptest::prelude::*;
use std::time::Duration;

/// All kinds of groups that can be described, each with one process.
fn all_kinds() -> Vec<Group> {
    let mut kinds = Vec::new();
    for bits in 0u8..64 {
        let is = |bit: u8| bits & 1 << bit != 0;
        kinds.push(Group {
            id: GroupId(1),
            launch: if is(0) { Launch::Mold } else { Launch::Direct },
            readiness: if is(1) { Readiness::Message } else { Readiness::Started },
            liveness: if is(2) { Liveness::Beat } else { Liveness::None },
            stop: if is(3) { Stop::Drain } else { Stop::Signal },
            reload: match (is(4), bits % 3) {
                (true, _) => OnReload::Replace,
                (false, 0) => OnReload::Recycle,
                (false, _) => OnReload::Keep,
            },
            after: if bits % 7 == 1 { GroupSet::of([GroupId::HTTP]) } else { GroupSet::default() },
            exclusive: !is(4) && bits % 5 < 3,
            handed_on: !is(3) && !is(4) && bits % 5 < 3,
            keeps_grace: !is(3) && bits % 5 > 1,
            gates_startup: is(5),
            stop_order: bits % 3,
            policy: storm_policy(1),
        });
    }
    kinds
}

/// The ways in which a group and its reloads get somewhere.
fn paths(groups: &[Group]) -> Vec<Vec<Event>> {
    let up: &[Event] = &[Event::CanSpawn(FIRST), Event::Spawned(ONE), Event::Ready(ONE)];
    let then = |events: &[Event]| [up, events].concat();
    let reload = || reload(groups, NEXT, 1);
    let upgrade = [Event::UpgradeBegan, Event::SuccessorRuns];
    let upgrading = |events: &[Event]| [up, &upgrade, events].concat();
    vec![
        vec![],
        up[..1].to_vec(),
        up[..2].to_vec(),
        up.to_vec(),
        then(&[Event::StopGracefully]),
        then(&[Event::StopGracefully, Event::Tick]),
        then(&[Event::StopGracefully, Event::Tick, Event::AcceptsNoMore(ONE)]),
        then(&[Event::StopQuickly, Event::Tick]),
        then(&[Event::StopGracefully, Event::StopQuickly, Event::StopGracefully]),
        then(&[Event::Recycle(ONE, RecycleReason::Memory), Event::Spawned(TWO)]),
        then(&[Event::Recycle(ONE, RecycleReason::Memory), Event::Spawned(TWO), Event::Ready(TWO)]),
        vec![Event::Preparing(FIRST)],
        then(&[reload(), Event::Preparing(NEXT)]),
        then(&[reload(), Event::CanSpawn(NEXT)]),
        then(&[reload(), Event::CanSpawn(NEXT), Event::Spawned(TWO)]),
        then(&[reload(), Event::CanSpawn(NEXT), Event::Spawned(TWO), Event::Ready(TWO)]),
        then(&[restart(groups, NEXT)]),
        then(&[restart(groups, NEXT), Event::CanSpawn(NEXT)]),
        then(&[restart(groups, NEXT), Event::CanSpawn(NEXT), Event::Spawned(TWO)]),
        then(&[Event::UpgradeBegan]),
        upgrading(&[]),
        upgrading(&[reload(), Event::CanSpawn(NEXT)]),
        upgrading(&[Event::StopGracefully]),
        upgrading(&[Event::HandOver]),
        upgrading(&[Event::HandOver, Event::StopGracefully]),
        then(&[Event::UpgradeBegan, Event::HandOver, Event::SuccessorEnded { clean: false }]),
        then(&vec![Event::Tick; 4]),
        then(&vec![Event::Tick; 5]),
    ]
}

/// A reload to these groups, with so many processes each.
fn reload(groups: &[Group], generation: Generation, workers: u16) -> Event {
    let with = |group: &Group| Group { policy: Policy { workers, ..group.policy }, ..*group };
    Event::Reload(generation, groups.iter().map(with).collect())
}

/// A restart as these groups.
fn restart(groups: &[Group], generation: Generation) -> Event {
    Event::Restart(generation, groups.to_vec())
}

fn every_event(groups: &[Group], workers: u32) -> Vec<Event> {
    let mut events = vec![
        Event::StopGracefully,
        Event::StopQuickly,
        Event::UpgradeBegan,
        Event::SuccessorRuns,
        Event::HandOver,
        Event::ProcessesHandedOn,
        Event::SuccessorEnded { clean: true },
        Event::SuccessorEnded { clean: false },
        Event::Tick,
        Event::Headroom(false),
        Event::StartFailed(ExitStatus::Boot),
        Event::Headroom(true),
        Event::Suspended(secs(5)),
    ];
    for generation in [FIRST, NEXT, Generation(2)] {
        events.extend([
            Event::Preparing(generation),
            Event::CanSpawn(generation),
            Event::CannotSpawn(generation),
            reload(groups, generation, 1),
            reload(groups, generation, 3),
            // The first group alone: the others are gone.
            reload(&groups[..1], generation, 2),
            Event::ReloadFailed(generation),
            restart(groups, generation),
        ]);
    }
    for group in groups {
        events.extend([Event::Scale(group.id, 0), Event::Scale(group.id, 2)]);
        events.extend([1, 2].map(|index| Event::Retire(SlotId { group: group.id, index })));
        events.extend([1, 2].map(|index| Event::TryNow(SlotId { group: group.id, index })));
    }
    for id in (1..=workers).map(WorkerId) {
        events.extend(events_of(id));
    }
    events
}

fn events_of(id: WorkerId) -> [Event; 13] {
    [
        Event::Spawned(id),
        Event::SpawnFailed(id),
        Event::Ready(id),
        Event::BootFailed(id, ExitStatus::Boot),
        Event::Beat(id),
        Event::Debugged(id),
        Event::Recycle(id, RecycleReason::MaxRequests),
        Event::Recycle(id, RecycleReason::Asked),
        Event::Keep(id),
        Event::AcceptsNoMore(id),
        Event::Exited(id),
        Event::Finished { worker: id, well: true },
        Event::Finished { worker: id, well: false },
    ]
}

fn live(groups: &[Group], path: &[Event], more: &[&Event]) {
    let mut world = World::new(groups);
    for (event, at) in path.iter().chain(more.iter().copied()).zip(0..) {
        world.feed(event, secs(at * 10));
    }
    world.finish(secs(1000));
}

/// Any two events, in every state an HTTP worker can be in, keep the promises of [`World`].
#[test]
fn every_two_events_in_every_state() {
    let groups = [http(storm_policy(1))];
    let events = every_event(&groups, 3);
    for path in &paths(&groups) {
        for event in &events {
            for second in &events {
                live(&groups, path, &[event, second]);
            }
        }
    }
}

/// Every event, in every state a process of any kind can be in, alone and beside HTTP workers.
#[test]
fn every_event_in_every_state_of_every_kind() {
    for kind in all_kinds() {
        for groups in [vec![kind], vec![http(storm_policy(1)), kind]] {
            let events = every_event(&groups, 4);
            for path in &paths(&groups) {
                for event in &events {
                    live(&groups, path, &[event]);
                }
            }
        }
    }
}

fn storm(groups: &[Group], storm: Vec<(prop::sample::Index, u64)>) {
    let mut world = World::new(groups);
    let mut now = Time::ZERO;
    for (which, wait) in storm {
        now += Duration::from_millis(wait);
        // Mostly about processes that exist.
        let (oldest, newest) = world.ids();
        let mut events = every_event(groups, 0);
        events.retain(|event| {
            !matches!(event, Event::StopQuickly | Event::StopGracefully) || wait.is_multiple_of(20)
        });
        events.extend((oldest..=newest).map(WorkerId).flat_map(events_of));
        world.feed(which.get(&events), now);
    }
    world.finish(now);
}

fn storm_events() -> impl Strategy<Value = Vec<(prop::sample::Index, u64)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0u64..20_000), 1..300)
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let others = prop::collection::vec((prop::sample::select(all_kinds()), 0u16..3), 1..4);
    others.prop_map(|kinds| {
        let others = kinds.into_iter().zip(1..).map(|((kind, workers), id)| Group {
            id: GroupId(id),
            policy: Policy { workers, ..kind.policy },
            ..kind
        });
        [http(storm_policy(2))].into_iter().chain(others).collect()
    })
}

proptest! {
    #[test]
    fn storms_of_events_break_no_promise(events in storm_events()) {
        storm(&[http(storm_policy(3))], events);
    }

    #[test]
    fn storms_over_several_groups_break_no_promise(groups in groups(), events in storm_events()) {
        storm(&groups, events);
    }
}
