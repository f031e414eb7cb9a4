//! Groups: processes that are supervised alike.

use crate::{Done, Policy, Slot, Time};
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
    /// Groups of which all processes have to serve before the first of this one is made.
    pub after: GroupSet,
    /// A slot has one process at a time: its successor is made when it has ended.
    pub exclusive: bool,
    /// An upgrade leaves its processes to the next server as they are, which makes none before that.
    pub handed_on: bool,
    /// A quick stop stops it in its turn and leaves its processes their graceful timeout; only a second one does not.
    pub keeps_grace: bool,
    /// How many processes there are, and their time limits.
    pub policy: Policy,
}

/// Some groups, of those with the [`GroupSet::ROOM`] lowest numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSet([u64; 4]);

impl GroupSet {
    /// How many groups can be told apart: those of several generations, which may have other ones each.
    pub const ROOM: u16 = 256;

    /// These groups.
    #[must_use]
    pub fn of(groups: impl IntoIterator<Item = GroupId>) -> Self {
        groups.into_iter().fold(Self::default(), |set, group| set.and(Self::one(group)))
    }

    /// Whether a group is one of them.
    #[must_use]
    pub fn has(self, group: GroupId) -> bool {
        let one = Self::one(group);
        self.0.iter().zip(one.0).any(|(word, bit)| word & bit != 0)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    fn one(group: GroupId) -> Self {
        let (word, bit) = (usize::from(group.0 / 64), group.0 % 64);
        Self(std::array::from_fn(|index| if index == word { 1 << bit } else { 0 }))
    }
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
    /// They are replaced one after the other, once the new generation is proven.
    Recycle,
}

impl Group {
    /// The place of the workers in the order in which groups stop.
    pub const WORKERS_STOP: u8 = 64;

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
            stop_order: Self::WORKERS_STOP,
            after: GroupSet::default(),
            exclusive: false,
            handed_on: false,
            keeps_grace: false,
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
            stop_order: u8::MAX,
            after: GroupSet::default(),
            exclusive: false,
            handed_on: false,
            keeps_grace: false,
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
    /// All its processes have served at the same time, once.
    pub(crate) was_up: bool,
}

impl GroupState {
    pub(crate) fn new(group: Group) -> Self {
        let slots = vec![Slot::default(); usize::from(group.policy.workers)];
        Self { group, slots, replaced_at: None, was_up: false }
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
        let is_recycled = group.reload == OnReload::Recycle;
        let before = std::mem::take(&mut self.slots);
        let done = |index: usize| before.get(index).map_or(Done::No, |slot| slot.done);
        let slot = |index| Slot {
            spawn_at: now,
            done: if is_recycled { Done::No } else { done(index) },
            ..Slot::default()
        };
        self.slots = (0..usize::from(group.policy.workers)).map(slot).collect();
    }

    pub(crate) fn count(&self) -> u16 {
        let wanted = self.slots.iter().filter(|slot| !slot.is_retired).count();
        u16::try_from(wanted).unwrap_or(u16::MAX)
    }

    /// Its slots with their numbers, free numbers aside.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        let group = self.group.id;
        let numbered = (1..).zip(&self.slots).filter(|(_, slot)| !slot.is_retired);
        numbered.map(move |(index, slot)| (SlotId { group, index }, slot))
    }

    pub(crate) fn slot_ids(&self) -> impl Iterator<Item = SlotId> {
        let group = self.group.id;
        let numbered = (1..).zip(&self.slots).filter(|(_, slot)| !slot.is_retired);
        numbered.map(move |(index, _)| SlotId { group, index })
    }
}
