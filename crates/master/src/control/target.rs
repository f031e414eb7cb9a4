//! Commands about one worker, one task worker or one companion: which one is meant, and its replacement.

use super::{
    commands::Answer,
    waiting::{Awaited, noun, workers_in_words},
};
use crate::run::Master;
use hostler_arbiter::{Event, RecycleReason, Vacancy};
use hostler_wire::{GroupId, SlotId, WorkerId, control::Refusal};
use std::collections::VecDeque;

/// What is meant.
pub(super) enum Target {
    /// All workers for requests.
    Workers,
    /// One worker, for requests or for tasks.
    Worker(SlotId),
    /// A companion, or one of its replicas.
    Companion {
        /// As the user called it.
        name: String,
        /// Its slots, or that of the replica.
        slots: Vec<SlotId>,
    },
}

impl Master {
    pub(super) fn target(&self, worker: Option<u16>, name: Option<&str>) -> Result<Target, Refusal> {
        match (worker, name) {
            (Some(_), Some(_)) => Err(Refusal::invalid("`worker` and `name` exclude each other")),
            (None, None) => Ok(Target::Workers),
            (Some(number), None) => {
                self.worker_target(GroupId::HTTP, number).ok_or_else(|| self.no_worker(GroupId::HTTP, number))
            }
            (None, Some(name)) => self.named(name),
        }
    }

    fn worker_target(&self, group: GroupId, index: u16) -> Option<Target> {
        let slot = SlotId { group, index };
        self.arbiter.has_slot_of(slot).then_some(Target::Worker(slot))
    }

    fn no_worker(&self, group: GroupId, number: u16) -> Refusal {
        let all = workers_in_words(self.arbiter.slots(group));
        let all = if group == GroupId::TASKS { all.replace("worker", "task worker") } else { all };
        Refusal::invalid(format!("there is no {} {number}", noun(group))).because(format!("there are {all}"))
    }

    /// A companion goes before a replica of another one, and both before a task worker.
    fn named(&self, name: &str) -> Result<Target, Refusal> {
        let replica = || {
            let (own, number) = name.rsplit_once('-')?;
            Some((own, number.parse::<u16>().ok()?))
        };
        let companion = self.companion_target(name, None);
        let companion = companion
            .or_else(|| replica().and_then(|(own, number)| self.companion_target(own, Some(number))));
        if let Some(slots) = companion {
            return Ok(Target::Companion { name: name.to_owned(), slots });
        }
        if let Some(number) = name.strip_prefix('t').and_then(|number| number.parse().ok()) {
            let target = self.worker_target(GroupId::TASKS, number);
            return target.ok_or_else(|| self.no_worker(GroupId::TASKS, number));
        }
        let all: Vec<&str> =
            self.plan.spec.companions.iter().map(|its| its.companion.name.as_str()).collect();
        let cause = match all.as_slice() {
            [] => "there are no companions".to_owned(),
            all => format!("there are {}", all.join(", ")),
        };
        let hint = "workers are called by their numbers, task workers t1, t2, …";
        Err(Refusal::invalid(format!("there is no companion `{name}`")).because(cause).hint(hint))
    }

    /// The slots of a companion, or of one of its replicas; `None` if there is none.
    fn companion_target(&self, name: &str, replica: Option<u16>) -> Option<Vec<SlotId>> {
        let its = self.plan.spec.companions.iter().find(|its| its.companion.name == name)?;
        let group = self.companions.names.group(&its.companion.name)?;
        let numbers = 1..=self.arbiter.slots(group);
        let slots: Vec<SlotId> = numbers
            .filter(|index| replica.is_none_or(|wanted| wanted == *index))
            .map(|index| SlotId { group, index })
            .collect();
        (replica.is_none() || !slots.is_empty()).then_some(slots)
    }

    pub(super) fn command_restart(&mut self, target: Target, events: &mut VecDeque<Event>) -> Answer {
        match target {
            Target::Workers => self.command_replace(None, false, events),
            Target::Worker(slot) => self.command_replace(Some(slot), false, events),
            Target::Companion { name, slots } => self.restart_companion(name, slots, events),
        }
    }

    pub(super) fn command_replace(
        &mut self,
        one: Option<SlotId>,
        ended: bool,
        events: &mut VecDeque<Event>,
    ) -> Answer {
        let group = one.map_or(GroupId::HTTP, |slot| slot.group);
        let wanted = |slot: SlotId| one.is_none_or(|one| slot == one);
        let workers: Vec<(WorkerId, SlotId)> =
            self.arbiter.serving_in(group).filter(|(_, slot)| wanted(*slot)).collect();
        let noun = noun(group);
        if let (Some(SlotId { index, .. }), true) = (one, workers.is_empty()) {
            return Refusal::busy(format!("{noun} {index} does not serve now: its process boots or ends"))
                .into();
        }
        events.extend(workers.iter().map(|(id, _)| Event::Recycle(*id, RecycleReason::Asked)));
        let message = match one {
            Some(SlotId { index, .. }) => format!("a successor for {noun} {index} is started"),
            None => format!("{} are replaced", workers_in_words(self.arbiter.slots(group))),
        };
        Answer::Later(Awaited::Replaced { workers, ended }, message)
    }

    /// Those that are ready one after another; those that are not, or have ended, at once.
    fn restart_companion(
        &mut self,
        name: String,
        slots: Vec<SlotId>,
        events: &mut VecDeque<Event>,
    ) -> Answer {
        if slots.is_empty() {
            return Refusal::invalid(format!("companion `{name}` is to have no replicas")).into();
        }
        let waits = |slot: &SlotId| {
            self.arbiter.processes_in(*slot).next().is_none()
                && self.arbiter.vacancy(*slot) == Vacancy::WaitsForOthers
        };
        if slots.iter().any(waits) {
            return Refusal::busy(format!("companion `{name}` is not started yet: it waits for others"))
                .hint("`hostler ctl status` says how they stand")
                .into();
        }
        let before: Vec<WorkerId> = slots.iter().flat_map(|slot| self.arbiter.processes_in(*slot)).collect();
        for slot in &slots {
            let serving = self.arbiter.processes_in(*slot).find(|id| self.arbiter.serves(*id));
            events.push_back(match serving {
                Some(id) => Event::Recycle(id, RecycleReason::Asked),
                None => Event::TryNow(*slot),
            });
        }
        let message = match slots.len() {
            1 => format!("companion `{name}` is restarted"),
            more => format!("the {more} replicas of companion `{name}` are restarted, one after another"),
        };
        Answer::Later(Awaited::Restarted { name, slots, before }, message)
    }
}
