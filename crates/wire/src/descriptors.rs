//! What the descriptors are that come with a message: each has a name, so that no side counts positions.

use crate::Role;
use serde::{Deserialize, Serialize};

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Descriptor {
    /// Where log lines go.
    Log,
    /// Where the access log's lines go.
    AccessLog,
    /// The scoreboard, for reading.
    Scoreboard,
    /// The scoreboard, for a process to map its own page.
    OwnPage,
    /// The receiving end of the channel on which idle connections go from worker to worker.
    HandoverReceiver,
    /// Its sending end.
    HandoverSender,
    /// A listening socket: in the order of the listeners, and of the slots where each has one.
    Listener,
    /// A listening socket of the observer.
    Admin,
    /// A listening socket of companions.
    CompanionSocket,
    /// The process's channel to the master.
    Channel,
    /// The file to which a process writes its stacks.
    Stacks,
    /// A file in memory with certificates, keys and those of session tickets.
    Certificates,
}

/// The most descriptors in one message (SCM_MAX_FD, unix(7)).
pub const MAX_DESCRIPTORS: usize = 253;

/// The most listening sockets: they travel in one message beside one descriptor of each other kind.
pub const MAX_LISTENING_SOCKETS: usize = MAX_DESCRIPTORS - 9;

impl Role {
    /// What processes of this role have in common and are given, and nothing else.
    #[must_use]
    pub fn shared_descriptors(self) -> &'static [Descriptor] {
        match self {
            Self::Http => &[
                Descriptor::Scoreboard,
                Descriptor::HandoverReceiver,
                Descriptor::HandoverSender,
                Descriptor::Listener,
            ],
            Self::Companion | Self::Keeper => &[],
            // What the mold that forks them has anyway; they use none of the sockets.
            Self::Tasks => Self::Http.shared_descriptors(),
            Self::Observer => &[Descriptor::Scoreboard, Descriptor::Listener, Descriptor::Admin],
        }
    }
}
