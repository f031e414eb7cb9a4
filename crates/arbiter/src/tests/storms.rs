//! Every event in every state, and events at random, against what must never be.

use super::{
    Action, Arbiter, DrainReason, Event, FIRST, NEXT, ONE, Policy, RecycleReason, TWO, Time, reload, secs,
    storm_policy,
};
use hostler_wire::{ExitStatus, Generation, SlotId, WorkerId};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

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
        then(&[Event::Recycle(ONE, RecycleReason::Memory), Event::Spawned(TWO)]),
        then(&[Event::Recycle(ONE, RecycleReason::Memory), Event::Spawned(TWO), Event::Ready(TWO)]),
        vec![Event::Preparing(FIRST)],
        then(&[reload(NEXT, 1), Event::Preparing(NEXT)]),
        then(&[reload(NEXT, 1), Event::CanSpawn(NEXT)]),
        then(&[reload(NEXT, 1), Event::CanSpawn(NEXT), Event::Spawned(TWO)]),
        then(&[reload(NEXT, 1), Event::CanSpawn(NEXT), Event::Spawned(TWO), Event::Ready(TWO)]),
        then(&[Event::UpgradeBegan]),
        then(&[Event::UpgradeBegan, Event::SuccessorRuns]),
        then(&[Event::UpgradeBegan, Event::SuccessorRuns, reload(NEXT, 1), Event::CanSpawn(NEXT)]),
        then(&[Event::UpgradeBegan, Event::SuccessorRuns, Event::StopGracefully]),
        then(&[Event::UpgradeBegan, Event::SuccessorRuns, Event::HandOver]),
        then(&[Event::UpgradeBegan, Event::SuccessorRuns, Event::HandOver, Event::StopGracefully]),
        then(&[Event::UpgradeBegan, Event::HandOver, Event::SuccessorEnded { clean: false }]),
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

fn every_event(workers: u32) -> Vec<Event> {
    let mut events = vec![
        Event::StopGracefully,
        Event::StopQuickly,
        Event::UpgradeBegan,
        Event::SuccessorRuns,
        Event::HandOver,
        Event::SuccessorEnded { clean: true },
        Event::SuccessorEnded { clean: false },
        Event::Tick,
        Event::Headroom(false),
        Event::StartFailed(ExitStatus::Boot),
    ];
    for generation in [FIRST, NEXT, Generation(2)] {
        events.extend([
            Event::Preparing(generation),
            Event::CanSpawn(generation),
            Event::CannotSpawn(generation),
            reload(generation, 1),
            reload(generation, 3),
            Event::ReloadFailed(generation),
        ]);
    }
    events.extend([Event::Headroom(true), Event::Suspended(secs(5)), Event::Scale(0), Event::Scale(2)]);
    for id in (1..=workers).map(WorkerId) {
        events.extend([
            Event::Spawned(id),
            Event::SpawnFailed(id),
            Event::Ready(id),
            Event::BootFailed(id, ExitStatus::Boot),
            Event::Beat(id),
            Event::Recycle(id, RecycleReason::MaxRequests),
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
    slots: u16,
    max_slots: u16,
    workers: BTreeMap<WorkerId, (SlotId, Generation, Real)>,
    /// There is a successor's process; whether it was told to stop.
    successor: Option<bool>,
    told_to_stop: bool,
    over: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        let arbiter = Arbiter::new(policy);
        Self {
            arbiter,
            policy,
            slots: policy.workers,
            max_slots: policy.workers,
            workers: BTreeMap::new(),
            successor: None,
            told_to_stop: false,
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
            Event::Beat(id) | Event::Recycle(id, _) => self.is(id, &[Real::Serving]),
            Event::Exited(id) => {
                let exists = self.is(id, &[Real::Booting, Real::Serving, Real::Told]);
                exists && self.workers.remove(&id).is_some()
            }
            Event::CannotSpawn(lost) => {
                self.workers.retain(|_, (_, generation, real)| *generation != lost || *real != Real::Wanted);
                true
            }
            Event::Scale(slots) | Event::Reload(_, Policy { workers: slots, .. }) => {
                self.slots = self.slots.max(slots);
                self.max_slots = self.max_slots.max(slots);
                true
            }
            Event::UpgradeBegan => {
                let possible = self.arbiter.can_upgrade();
                assert!(!possible || self.successor.is_none(), "a second successor");
                self.successor = if possible { Some(false) } else { self.successor };
                possible
            }
            Event::SuccessorRuns | Event::HandOver => self.successor.is_some(),
            Event::SuccessorEnded { .. } => self.successor.take().is_some(),
            Event::StopGracefully | Event::StopQuickly => {
                self.told_to_stop = true;
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
        let actions = self.arbiter.step(event, now);
        if actions.contains(&Action::TookBack) {
            // Unless nobody can be had who would serve.
            let given_up = actions.iter().any(|action| matches!(action, Action::GiveUp(_)));
            assert!(!self.arbiter.is_stopping() || given_up, "a service is taken back and ended");
        }
        for action in actions {
            self.check(action, was_serving);
        }
        // Each slot once, each once more during a reload, and the replacements under way.
        let most = usize::from(2 * self.max_slots + self.policy.max_replacing);
        let alive = [Real::Booting, Real::Serving];
        let incumbents = self.workers.values().filter(|(_, _, real)| alive.contains(real)).count();
        assert!(incumbents <= most, "{incumbents} workers for {} slots", self.slots);
        assert!(
            self.arbiter.next_deadline().is_none_or(|due| due > now),
            "a deadline did not fire: {event:?}"
        );
        if self.told_to_stop && !self.over {
            assert!(self.arbiter.is_stopping(), "a stop is forgotten");
            assert_ne!(self.successor, Some(false), "the successor is not told of the stop");
        }
    }

    fn check(&mut self, action: Action, was_serving: usize) {
        assert!(!self.over, "nothing follows the exit");
        match action {
            Action::Spawn(id, slot, generation) => {
                assert!(!self.arbiter.is_stopping(), "a worker is spawned during a stop");
                let rivals = self
                    .workers
                    .values()
                    .filter(|(its, of, real)| *its == slot && *of == generation && *real != Real::Told);
                assert!(rivals.count() <= 1, "a slot is filled three times");
                assert!(self.workers.insert(id, (slot, generation, Real::Wanted)).is_none(), "a used id");
            }
            Action::Drain { worker, reason: DrainReason::Stop, .. } if self.is(worker, &[Real::Told]) => {}
            Action::Drain { worker, reason, .. } => {
                assert!(
                    self.becomes(worker, &[Real::Serving], Real::Told),
                    "{reason:?} of one who does not serve"
                );
                let planned = matches!(reason, DrainReason::Recycle(_) | DrainReason::Reload);
                let left = self.workers.values().any(|(_, _, real)| *real == Real::Serving);
                assert!(!planned || left || was_serving == 0, "nobody is left to serve");
            }
            Action::Quit(id)
            | Action::Dismiss { worker: id, .. }
            | Action::Terminate(id, _)
            | Action::Kill(id, _)
            | Action::Report(id, _) => {
                let exists = [Real::Booting, Real::Serving, Real::Told];
                assert!(
                    self.becomes(id, &exists, Real::Told),
                    "a worker that does not exist is told {action:?}"
                );
            }
            Action::LameDuck(id) => assert!(self.is(id, &[Real::Serving])),
            Action::Reloaded(_) | Action::NotReloaded(_) | Action::Superseded(_) => {}
            Action::GiveUp(_) | Action::CrashLoop(..) => {}
            Action::StopSuccessor { .. } | Action::KillSuccessor => {
                assert!(self.successor.is_some(), "nobody is there to be told {action:?}");
                self.successor = Some(true);
            }
            Action::HandedOver => assert!(!self.told_to_stop && self.successor == Some(false)),
            Action::NotUpgraded => assert!(self.successor.is_none()),
            Action::TookBack => {
                assert!(!self.told_to_stop && self.successor.is_none(), "the service is over or another's");
            }
            Action::Exit(_) => {
                let left = self.successor.is_some() && !self.arbiter.is_replaced();
                assert!(!left, "the successor is left behind");
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
        // However it ends: by itself, or because it is killed in time.
        if let (false, Some(due)) = (self.over, self.arbiter.next_deadline()) {
            self.feed(Event::Tick, due);
            self.feed(Event::SuccessorEnded { clean: false }, due);
        }
        self.feed(Event::SuccessorEnded { clean: true }, now);
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
                    | Event::Beat(id) | Event::Recycle(id, _) | Event::Exited(id)
                    if id.0 < oldest))
                .filter(|event| !matches!(event, Event::StopQuickly | Event::StopGracefully)
                    || wait % 20 == 0)
                .collect();
            world.feed(*which.get(&events), now);
        }
        world.finish(now);
    }
}
