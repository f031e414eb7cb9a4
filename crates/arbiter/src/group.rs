//! Groups: processes that are supervised alike.

use crate::{Policy, Slot, Time};
use hostler_wire::{GroupId, SlotId};

/// How the processes of a group are supervised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Which group.
    pub id: GroupId,
    /// Who makes its processes.
    pub launch: Launch,
    /// When a process counts as serving.
    pub readiness: Readiness,
    /// How a process shows that it is not stuck.
    pub liveness: Liveness,
    /// How a process is stopped.
    pub stop: Stop,
    /// What a reload does to it.
    pub reload: OnReload,
    /// The server serves, and a reload is proven, only when all slots of this group are served.
    pub gates_startup: bool,
    /// When the server stops, the groups with the lowest number stop first, and the next ones once they have exited.
    pub stop_order: u8,
    /// How many processes there are, and their time limits.
    pub policy: Policy,
}

/// Who makes the processes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// The mold of their generation, once it can.
    Mold,
    /// The master itself, at any time.
    Direct,
}

/// When a process counts as serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It says so.
    Message,
    /// It was started.
    Started,
}

/// How a process shows that it is not stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It writes heartbeats to its page of the scoreboard.
    Beat,
    /// It does not.
    None,
}

/// How a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By messages: lame duck, drain, quit.
    Drain,
    /// By SIGTERM.
    Signal,
}

/// What a reload does to the processes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// They are replaced. If they gate the start-up, their successors serve before they drain; otherwise their
    /// successors are started when the new generation is proven.
    Replace,
    /// They stay; those that are started later are of the new generation.
    Keep,
}

impl Group {
    /// The workers that serve HTTP.
    #[must_use]
    pub fn http(launch: Launch, policy: Policy) -> Self {
        Self {
            id: GroupId::HTTP,
            launch,
            readiness: Readiness::Message,
            liveness: Liveness::Beat,
            stop: Stop::Drain,
            reload: OnReload::Replace,
            gates_startup: true,
            stop_order: 0,
            policy,
        }
    }

    /// The workers that run tasks. The server serves without them.
    #[must_use]
    pub fn tasks(policy: Policy) -> Self {
        Self { id: GroupId::TASKS, gates_startup: false, ..Self::http(Launch::Mold, policy) }
    }

    /// A program that runs beside the workers, from the start to after their end, and knows nothing of the server.
    #[must_use]
    pub fn program(id: GroupId, policy: Policy) -> Self {
        Self {
            id,
            launch: Launch::Direct,
            readiness: Readiness::Started,
            liveness: Liveness::None,
            stop: Stop::Signal,
            reload: OnReload::Keep,
            gates_startup: false,
            stop_order: 1,
            policy,
        }
    }

    /// Its slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotId> + use<> {
        let group = self.id;
        (1..=self.policy.workers).map(move |index| SlotId { group, index })
    }

    /// Whether a reload is proven by this group.
    pub(crate) fn proves_reload(&self) -> bool {
        self.gates_startup && self.reload == OnReload::Replace
    }
}

/// A group of the generation that serves, and its slots.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    pub(crate) group: Group,
    pub(crate) slots: Vec<Slot>,
    /// When the last planned replacement began.
    pub(crate) replaced_at: Option<Time>,
}

impl GroupState {
    pub(crate) fn new(group: Group) -> Self {
        let slots = vec![Slot::default(); usize::from(group.policy.workers)];
        Self { group, slots, replaced_at: None }
    }

    /// So many slots: new ones have the lowest numbers that are free, and those with the highest numbers go.
    pub(crate) fn resize(&mut self, slots: u16) {
        for _ in self.count()..slots {
            match self.slots.iter_mut().find(|slot| slot.is_retired) {
                Some(free) => *free = Slot::default(),
                None => self.slots.push(Slot::default()),
            }
        }
        for _ in slots..self.count() {
            if let Some(last) = self.slots.iter_mut().rfind(|slot| !slot.is_retired) {
                last.is_retired = true;
            }
        }
        self.forget_retired();
    }

    /// One slot less, that of this number.
    pub(crate) fn retire(&mut self, index: u16) {
        if let Some(slot) = usize::from(index).checked_sub(1).and_then(|at| self.slots.get_mut(at)) {
            slot.is_retired = true;
        }
        self.forget_retired();
    }

    /// Those behind which there are others stay, for the numbers of these.
    fn forget_retired(&mut self) {
        while self.slots.pop_if(|last| last.is_retired).is_some() {}
    }

    /// Whether it has the slot of this number.
    pub(crate) fn has(&self, index: u16) -> bool {
        let slot = usize::from(index).checked_sub(1).and_then(|at| self.slots.get(at));
        slot.is_some_and(|slot| !slot.is_retired)
    }

    /// Takes over what a new generation says of the group. Failures of the old one do not count.
    pub(crate) fn adopt(&mut self, group: Group, now: Time) {
        self.group = group;
        let slot = Slot { spawn_at: now, ..Slot::default() };
        self.slots = vec![slot; usize::from(group.policy.workers)];
    }

    pub(crate) fn count(&self) -> u16 {
        let wanted = self.slots.iter().filter(|slot| !slot.is_retired).count();
        u16::try_from(wanted).unwrap_or(u16::MAX)
    }

    pub(crate) fn slot_ids(&self) -> impl Iterator<Item = SlotId> {
        let group = self.group.id;
        let numbered = (1..).zip(&self.slots).filter(|(_, slot)| !slot.is_retired);
        numbered.map(move |(index, _)| SlotId { group, index })
    }
}
