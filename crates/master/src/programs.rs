//! Processes of the server beside its workers, which end when their channel is closed: the observer, and the keeper of the task queue.

use hostler_sys::channel::Channel;
use hostler_wire::WorkerId;
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
};

/// One of them.
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) pid: i32,
    pub(crate) channel: Option<Channel>,
    /// The keeper's: what it says is received.
    pub(crate) speaks: bool,
}

impl Running {
    /// Where it says something, if it does.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().filter(|_| self.speaks).map(AsFd::as_fd)
    }
}

/// All of them.
pub(crate) type Programs = BTreeMap<WorkerId, Running>;
