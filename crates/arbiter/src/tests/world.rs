//! A fleet, what is true of the processes that it asked for, and what must never be.

use super::{Action, Arbiter, DrainReason, Event, Group, Launch, Time};
use crate::{KillCause, OnReload, Phase, Readiness, Stop, stop::Haste};
use hostler_wire::{Generation, GroupId, SlotId, WorkerId};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Real {
    Wanted,
    Booting,
    Serving,
    Told,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    slot: SlotId,
    generation: Generation,
    group: Group,
    real: Real,
    /// Leaves what waits to others, or has accepted it for the last time.
    accepts: bool,
    told_last: bool,
}

/// The fleet and what is true of the processes it asked for.
pub(super) struct World {
    arbiter: Arbiter,
    groups: Vec<Group>,
    max_slots: BTreeMap<GroupId, u16>,
    workers: BTreeMap<WorkerId, Process>,
    /// There is a successor's process; whether it was told to stop.
    successor: Option<bool>,
    /// It was forked just now.
    newborn: Option<WorkerId>,
    told_to_stop: bool,
    listens: bool,
    /// A process has accepted what waited for the last time.
    emptied: bool,
    over: bool,
}

impl World {
    pub(super) fn new(groups: &[Group]) -> Self {
        // Half of them replace another server.
        let awaits =
            groups.iter().map(|group| u32::from(group.id.0) + u32::from(group.stop_order)).sum::<u32>() % 2
                == 1;
        Self {
            arbiter: Arbiter::new(groups).awaiting_processes(awaits),
            groups: groups.to_vec(),
            max_slots: groups.iter().map(|group| (group.id, group.policy.workers)).collect(),
            workers: BTreeMap::new(),
            successor: None,
            newborn: None,
            told_to_stop: false,
            listens: true,
            emptied: false,
            over: false,
        }
    }

    /// The oldest and the newest process.
    pub(super) fn ids(&self) -> (u32, u32) {
        let oldest = self.workers.keys().next().map_or(1, |id| id.0);
        (oldest, self.workers.keys().last().map_or(3, |id| id.0))
    }

    /// Whether the event could happen; what becomes true with it.
    fn happens(&mut self, event: &Event) -> bool {
        match event {
            Event::Spawned(id) => {
                let starts = |process: &Process| process.group.readiness == Readiness::Started;
                let serves = self.workers.get(id).is_some_and(starts);
                self.becomes(*id, &[Real::Wanted], if serves { Real::Serving } else { Real::Booting })
            }
            Event::SpawnFailed(id) => {
                let wanted = self.is(*id, &[Real::Wanted]);
                wanted && self.workers.remove(id).is_some()
            }
            Event::Ready(id) => self.becomes(*id, &[Real::Booting], Real::Serving),
            Event::BootFailed(id, _) => self.is(*id, &[Real::Booting]),
            Event::Beat(id) | Event::Recycle(id, _) | Event::Keep(id) => self.is(*id, &[Real::Serving]),
            Event::Exited(id) | Event::Finished { worker: id, .. } => {
                let exists = self.is(*id, &[Real::Booting, Real::Serving, Real::Told]);
                exists && self.workers.remove(id).is_some()
            }
            Event::AcceptsNoMore(id) => {
                let told = self.is(*id, &[Real::Told]);
                let process = self.workers.get_mut(id).filter(|process| process.group.stop == Stop::Drain);
                process.filter(|_| told).is_some_and(|process| {
                    self.emptied |= process.told_last && process.accepts;
                    process.accepts &= !process.told_last;
                    true
                })
            }
            Event::CannotSpawn(lost) => {
                self.workers.retain(|_, process| process.generation != *lost || !awaits_mold(process));
                true
            }
            Event::Scale(group, slots) => {
                self.will_have(*group, *slots);
                true
            }
            Event::Reload(_, groups) | Event::Restart(_, groups) => {
                groups.iter().for_each(|group| self.will_have(group.id, group.policy.workers));
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

    fn will_have(&mut self, group: GroupId, slots: u16) {
        let most = self.max_slots.entry(group).or_default();
        *most = slots.max(*most);
    }

    fn is(&self, id: WorkerId, states: &[Real]) -> bool {
        self.workers.get(&id).is_some_and(|process| states.contains(&process.real))
    }

    fn becomes(&mut self, id: WorkerId, from: &[Real], to: Real) -> bool {
        let possible = self.is(id, from);
        if possible && let Some(process) = self.workers.get_mut(&id) {
            process.real = to;
        }
        possible
    }

    /// Feeds an event if it could happen, and checks the promises.
    pub(super) fn feed(&mut self, event: &Event, now: Time) {
        if self.over || !self.happens(event) {
            return;
        }
        let were_serving: BTreeMap<GroupId, usize> =
            self.groups.iter().map(|group| (group.id, self.arbiter.serving(group.id))).collect();
        let actions = self.arbiter.step(event.clone(), now);
        if actions.contains(&Action::TookBack) {
            // Unless no mold can fork the workers.
            let given_up = actions.iter().any(|action| matches!(action, Action::GiveUp(_)));
            assert!(!self.arbiter.is_stopping() || given_up, "a service is taken back and ended");
        }
        self.newborn = if let Event::Spawned(id) = event { Some(*id) } else { None };
        for action in actions {
            self.check(action, &were_serving);
        }
        self.check_counts();
        assert!(
            self.arbiter.next_deadline().is_none_or(|due| due > now),
            "a deadline did not fire: {event:?}"
        );
        if self.told_to_stop && !self.over {
            assert!(self.arbiter.is_stopping(), "a stop is forgotten");
            assert_ne!(self.successor, Some(false), "the successor is not told of the stop");
        }
    }

    /// Each slot once, each once more during a reload, and the replacements under way.
    fn check_counts(&self) {
        for (group, slots) in &self.max_slots {
            let replacing = self.groups.iter().find(|its| its.id == *group);
            let most = usize::from(2 * slots + replacing.map_or(1, |group| group.policy.max_replacing));
            let alive = [Real::Booting, Real::Serving];
            let its = self.workers.values().filter(|process| process.slot.group == *group);
            let incumbents = its.filter(|process| alive.contains(&process.real)).count();
            assert!(incumbents <= most, "{incumbents} processes for {slots} slots");
        }
    }

    fn check(&mut self, action: Action, were_serving: &BTreeMap<GroupId, usize>) {
        assert!(!self.over, "nothing follows the exit");
        match action {
            Action::Spawn(id, slot, generation) => self.check_spawn(id, slot, generation),
            Action::Drain { worker, reason: DrainReason::Stop, .. } if self.is(worker, &[Real::Told]) => {}
            Action::Drain { worker, reason, hand_over } => {
                self.check_drain(worker, reason, were_serving);
                self.leaves_queues(worker, hand_over);
            }
            Action::SendTerm { worker, reason } => {
                let process = self.process(worker, Stop::Signal);
                self.check_reason(worker, process, reason);
                self.tell(worker, action);
            }
            Action::Quit(worker) => {
                self.process(worker, Stop::Drain);
                self.tell(worker, action);
            }
            Action::Dismiss { worker, hand_over } => {
                self.process(worker, Stop::Drain);
                self.tell(worker, action);
                self.leaves_queues(worker, hand_over);
            }
            Action::Kill(id, cause) => {
                let process = self.workers.get(&id).expect("it exists");
                let hurried = process.group.keeps_grace && cause == KillCause::QuickStop;
                assert!(!hurried || self.is_stopping(Haste::AtOnce), "a quick stop cuts {id} short");
                self.tell(id, action);
            }
            Action::Terminate(id, _) | Action::Report(id, _) => self.tell(id, action),
            Action::LameDuck(id) => {
                self.process(id, Stop::Drain);
                assert!(self.is(id, &[Real::Serving]));
            }
            Action::Reloaded(_) | Action::NotReloaded(_) | Action::Superseded(_) => {}
            Action::GiveUp(_) | Action::CrashLoop(..) => {}
            Action::StopSuccessor { .. } | Action::KillSuccessor => {
                assert!(self.successor.is_some(), "there is no successor to be told {action:?}");
                self.successor = Some(true);
            }
            Action::HandOn(id) => {
                let process = self.workers.remove(&id);
                let is_handed_on = process.is_some_and(|it| it.group.handed_on && it.real != Real::Wanted);
                assert!(is_handed_on && self.successor == Some(false), "{id} is handed on");
            }
            Action::HandedOver => assert!(!self.told_to_stop && self.successor == Some(false)),
            Action::NotUpgraded => assert!(self.successor.is_none()),
            Action::TookBack => {
                assert!(!self.told_to_stop && self.successor.is_none(), "the service is over or another's");
            }
            Action::RefuseConnections => self.check_sockets(),
            Action::AcceptLast(worker) => {
                self.process(worker, Stop::Drain);
                let process = self.workers.get_mut(&worker).expect("it exists");
                assert!(process.accepts && !process.told_last, "a second last time");
                process.told_last = true;
            }
            Action::EndListening => {
                self.check_sockets();
                self.check_nothing_waits();
                self.listens = false;
            }
            Action::Exit(_) => self.check_exit(),
        }
    }

    fn check_spawn(&mut self, id: WorkerId, slot: SlotId, generation: Generation) {
        assert!(!self.arbiter.is_stopping(), "a process is spawned during a stop");
        let Some(group) = self.groups.iter().find(|group| group.id == slot.group).copied() else {
            panic!("a process of an unknown group")
        };
        let rivals = self
            .workers
            .values()
            .filter(|its| its.slot == slot && its.generation == generation && its.real != Real::Told);
        assert!(rivals.count() <= 1, "a slot is filled three times");
        let occupied = group.exclusive && self.workers.values().any(|its| its.slot == slot);
        assert!(!occupied, "a slot that has one process at a time is filled twice");
        let process =
            Process { slot, generation, group, real: Real::Wanted, accepts: true, told_last: false };
        assert!(self.workers.insert(id, process).is_none(), "a used id");
    }

    fn check_drain(&mut self, id: WorkerId, reason: DrainReason, were: &BTreeMap<GroupId, usize>) {
        let process = self.process(id, Stop::Drain);
        self.check_reason(id, process, reason);
        assert!(
            self.becomes(id, &[Real::Serving], Real::Told),
            "{reason:?} of a process that does not serve"
        );
        let remains = self.arbiter.slots(process.slot.group) > 0 && process.group.proves_reload();
        let proven = remains || reason != DrainReason::Reload;
        let planned = matches!(reason, DrainReason::Recycle(_) | DrainReason::Reload) && proven;
        let mut others = self.workers.values().filter(|its| its.slot.group == process.slot.group);
        let left = others.any(|its| its.real == Real::Serving);
        let served = were.get(&process.slot.group).is_some_and(|serving| *serving > 0);
        let exclusive = process.group.exclusive;
        assert!(!planned || left || !served || exclusive, "no process is left to serve");
    }

    /// Reloads tell only what they replace, and a graceful stop goes from group to group, late forks aside.
    fn check_reason(&self, id: WorkerId, process: Process, reason: DrainReason) {
        let reloaded =
            matches!(reason, DrainReason::Reload | DrainReason::Changed | DrainReason::ReloadFailed);
        assert!(!reloaded || process.group.reload != OnReload::Keep, "a kept process is told {reason:?}");
        if !self.is_stopping(Haste::AtOnce)
            && matches!(reason, DrainReason::Stop | DrainReason::Upgrade)
            && self.newborn != Some(id)
        {
            let mut left = self.workers.values().filter(|its| its.real != Real::Wanted);
            let earlier = left.any(|its| its.group.stop_order < process.group.stop_order);
            assert!(!earlier, "a group stops before one that precedes it has exited");
        }
    }

    /// The process of this number, which is stopped in this way.
    fn process(&self, id: WorkerId, stop: Stop) -> Process {
        let process = self.workers.get(&id).copied();
        let process = process.filter(|process| process.group.stop == stop);
        process.unwrap_or_else(|| panic!("{id} is no process that is stopped by {stop:?}"))
    }

    fn leaves_queues(&mut self, id: WorkerId, hand_over: bool) {
        self.workers.get_mut(&id).expect("it exists").accepts &= !hand_over;
    }

    fn tell(&mut self, id: WorkerId, action: Action) {
        let exists = [Real::Booting, Real::Serving, Real::Told];
        assert!(self.becomes(id, &exists, Real::Told), "a process that does not exist is told {action:?}");
    }

    /// New connections can be refused: the sockets are nobody else's, and no process serves on.
    fn check_sockets(&self) {
        assert!(self.listens, "listening is ended a second time");
        let anothers = self.successor == Some(false) || self.arbiter.is_replaced();
        assert!(!anothers, "the successor's sockets are ended");
        let serves = |process: &Process| {
            matches!(process.real, Real::Booting | Real::Serving) && process.group.stop == Stop::Drain
        };
        assert!(self.arbiter.is_stopping() && !self.workers.values().any(serves), "a process serves on");
    }

    fn check_nothing_waits(&self) {
        let quickly = !self.is_stopping(Haste::Graceful);
        let exists = |process: &Process| process.real != Real::Wanted && process.group.stop == Stop::Drain;
        let accepts = self.workers.values().any(|process| exists(process) && process.accepts);
        assert!(quickly || self.emptied || !accepts, "clients that wait are reset");
    }

    fn is_stopping(&self, as_told: Haste) -> bool {
        matches!(self.arbiter.phase, Phase::Stopping { haste, .. } if haste == as_told)
    }

    fn check_exit(&mut self) {
        assert_eq!(
            self.listens,
            self.arbiter.is_replaced(),
            "sockets end with their last server, and only then"
        );
        let left = self.successor.is_some() && !self.arbiter.is_replaced();
        assert!(!left, "the successor is left behind");
        let left = self.workers.values().any(|process| !awaits_mold(process));
        assert!(!left, "a process is left behind");
        self.over = true;
    }

    /// Whatever happened, a stop ends: every process exits when told or killed.
    pub(super) fn finish(&mut self, now: Time) {
        self.feed(&Event::StopQuickly, now);
        for generation in 0..3 {
            self.feed(&Event::CannotSpawn(Generation(generation)), now);
        }
        let ids: Vec<_> = self.workers.keys().copied().collect();
        for id in ids {
            self.feed(&Event::SpawnFailed(id), now);
            self.feed(&Event::Exited(id), now);
        }
        // However it ends: by itself, or because it is killed in time.
        if let (false, Some(due)) = (self.over, self.arbiter.next_deadline()) {
            self.feed(&Event::Tick, due);
            self.feed(&Event::SuccessorEnded { clean: false }, due);
        }
        self.feed(&Event::SuccessorEnded { clean: true }, now);
        assert!(self.over, "the stop does not end");
    }
}

fn awaits_mold(process: &Process) -> bool {
    process.real == Real::Wanted && process.group.launch == Launch::Mold
}
