//! The words that master, mold and worker share: slots, generations, messages, settings, exit codes.
//!
//! Everything here is plain data. Messages travel as one JSON document per datagram of a
//! `SOCK_SEQPACKET` socket pair (unix(7)), so a reader never sees half a message; descriptors ride along
//! as `SCM_RIGHTS`. Sending and receiving is `hostler_sys::channel`'s work.
//!
//! [`Page`] is the layout of the scoreboard, which shares counters through memory.
//!
//! Not here: anything that does I/O, the mapping of that memory included (`hostler_sys::board`).

#![forbid(unsafe_code)]

mod exit;
mod handover;
mod message;
mod scoreboard;
mod settings;

pub use exit::ExitStatus;
pub use handover::{HANDOVER_HEAD, HANDOVER_INLINE, HandoverHead};
pub use message::{
    Assignment, BootFailure, FailureKind, FromMold, FromSuccessor, FromWorker, Inheritance,
    InheritedListener, Served, ToMold, ToSuccessor, ToWorker, UPGRADE_VERSION,
};
pub use scoreboard::{Glance, InFlight, LATENCY_BUCKETS, PAGES, Page, PageState, SiblingPage, Totals, used};
pub use settings::{
    AppSettings, DeflateSettings, HttpSettings, Identity, Interface, ListenerInfo, ListenerSettings, LogForm,
    LogLevel, LogSettings, Preload, WebSocketSettings, WorkerSettings, WsgiSettings,
};

use serde::{Deserialize, Serialize};
use std::fmt;

/// A numbered place that a worker fills, from 1; it survives the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId(pub u16);

/// One worker process; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub u32);

/// Rises by one with every reload; all workers of a generation run the same code and configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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
