//! The names of processes: groups, slots, generations, single processes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A group of processes that are supervised alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u16);

impl GroupId {
    /// The workers that serve HTTP.
    pub const HTTP: Self = Self(0);
    /// The process that shows operators what the server does.
    pub const OBSERVER: Self = Self(u16::MAX);
    /// The workers that run tasks.
    pub const TASKS: Self = Self(u16::MAX - 1);
    /// The process that has the task queue's file.
    pub const KEEPER: Self = Self(u16::MAX - 2);
}

/// A numbered place for a process of a group; it outlives the process that fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId {
    /// The group.
    pub group: GroupId,
    /// Which one of the group's, from 1: the number by which logs and titles call a worker.
    pub index: u16,
}

impl SlotId {
    /// The slot of the HTTP worker of this number.
    #[must_use]
    pub const fn http(index: u16) -> Self {
        Self { group: GroupId::HTTP, index }
    }

    /// Its number, if it is of this group; log lines name the groups of workers by different fields.
    #[must_use]
    pub fn number_in(self, group: GroupId) -> Option<u16> {
        (self.group == group).then_some(self.index)
    }
}

/// What kind of process fills a slot, and so what its page of the scoreboard means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum Role {
    /// A worker that serves HTTP connections.
    Http = 1,
    /// A program that runs beside the workers.
    Companion = 2,
    /// The process that shows operators what the server does.
    Observer = 3,
    /// A worker that runs tasks.
    Tasks = 4,
    /// The process that has the task queue's file.
    Keeper = 5,
}

impl Role {
    /// The role of this number on a page of the scoreboard.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Http, Self::Companion, Self::Observer, Self::Tasks, Self::Keeper]
            .into_iter()
            .find(|role| *role as u32 == number)
    }
}

/// One process; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub u32);

/// Rises by one with every reload; all workers of a generation run the same code and configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
