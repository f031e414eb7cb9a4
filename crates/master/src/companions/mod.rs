//! Companions: programs that run beside the workers, each watched by a process of its own, as the master sees them.
//!
//! Files: `order` which group a companion is, and which groups come before it; `start` its watching process; `said` what that says,
//! and its end; `told` what it is told; `sockets` what it may be handed; `handed_on` companions at an upgrade; `view` what operators see.

mod handed_on;
mod order;
mod said;
mod sockets;
mod start;
mod told;
mod view;

use hostler_sys::{channel::Channel, clock};
use hostler_wire::{CompanionSpec, CompanionView, Generation, GroupId, SlotId, WorkerId};
pub(crate) use order::Names;
pub use sockets::CompanionSocket;
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::Instant,
};
pub(crate) use view::History;

/// Watches a companion in a fork of the master, over this channel; the exit code.
pub type ForkedWatcher = Rc<dyn Fn(OwnedFd) -> u8>;

/// A companion, from the start of its watching process to the end of both.
pub(crate) struct Companion {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    pub(crate) spec: CompanionSpec,
    /// The process that watches it.
    pub(crate) watcher: i32,
    channel: Channel,
    /// Its own process, once it runs.
    pub(crate) pid: Option<i32>,
    began: Instant,
    pub(crate) ready: bool,
    told_to_stop: bool,
    /// What was found instead of its readiness.
    found: Option<String>,
    ended: Option<Ended>,
    /// Other settings count for it by now: it is replaced once it is ready.
    outdated: bool,
    /// Whether its watching process is a child of this one.
    is_child: bool,
}

/// How one ended.
#[derive(Clone, Debug)]
enum Ended {
    /// It could not be started.
    NotStarted(String),
    Exited {
        status: String,
        code: Option<i32>,
        lived_ms: u64,
    },
}

/// All companions, and which groups they are.
#[derive(Default)]
pub(crate) struct Companions {
    all: BTreeMap<WorkerId, Companion>,
    /// Those in no slot: of the server before this one, or left to the next one.
    between: Vec<Companion>,
    /// The server before this one still has companions, or may.
    pub(crate) awaited: bool,
    pub(crate) names: Names,
    /// When the master started, on the scoreboard's clock.
    epoch: u64,
    /// What became of those that were, by name and number.
    pub(crate) history: History,
    /// What an observer was told last, and which one.
    told: Option<(WorkerId, Vec<CompanionView>)>,
}

impl Companions {
    pub(crate) fn new(names: Names, awaited: bool) -> Self {
        Self { names, awaited, epoch: clock::now(), ..Self::default() }
    }

    /// What to wait on for what they say.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.values().map(|companion| companion.channel.as_fd())
    }

    /// How many have not ended, if there are any.
    pub(crate) fn count(&self) -> Option<usize> {
        Some(self.all.len()).filter(|count| *count > 0)
    }

    pub(crate) fn get(&self, id: WorkerId) -> Option<&Companion> {
        self.all.get(&id)
    }

    /// In a process that was forked from the master: they are the master's alone.
    pub(crate) fn give_up(&mut self) -> impl Sized + use<> {
        (std::mem::take(&mut self.all), std::mem::take(&mut self.between))
    }

    /// The name of the companion of this group.
    pub(crate) fn name(&self, group: GroupId) -> Option<&str> {
        self.names.of(group)
    }
}

impl Companion {
    pub(crate) fn name(&self) -> &str {
        &self.spec.companion.name
    }

    /// Which one it is, if there are several.
    pub(crate) fn replica(&self) -> Option<u16> {
        (self.spec.companion.replicas > 1).then_some(self.slot.index)
    }
}
