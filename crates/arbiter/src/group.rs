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

    pub(crate) fn resize(&mut self, slots: u16) {
        self.slots.resize(usize::from(slots), Slot::default());
    }

    /// Takes over what a new generation says of the group. Failures of the old one do not count.
    pub(crate) fn adopt(&mut self, group: Group, now: Time) {
        self.group = group;
        self.resize(group.policy.workers);
        for slot in &mut self.slots {
            *slot = Slot { failures: 0, spawn_at: now };
        }
    }

    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    pub(crate) fn slot_ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        let group = self.group.id;
        (1..=self.count()).map(move |index| SlotId { group, index })
    }
}
