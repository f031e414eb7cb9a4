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

mod companion;
pub mod control;
mod descriptors;
mod exit;
mod failure;
mod handover;
mod ids;
mod keeper;
mod message;
mod observer;
mod scoreboard;
mod settings;
mod task_stats;
pub mod timing;

pub use companion::{
    COMPANION_ARGUMENT, COMPANION_CHANNEL, CompanionExit, CompanionSetup, CompanionSpec, CompanionState,
    CompanionView, FromCompanion, ToCompanion,
};
pub use descriptors::{Descriptor, MAX_DESCRIPTORS, MAX_LISTENING_SOCKETS};
pub use exit::ExitStatus;
pub use failure::{Cause, Failure};
pub use handover::{HANDOVER_HEAD, HANDOVER_INLINE, HandoverHead, ProxiedEnds};
pub use ids::{Generation, GroupId, Role, SlotId, WorkerId};
pub use keeper::{FromKeeper, KEEPER_ARGUMENT, KEEPER_CHANNEL, KeeperSetup, TasksWaiting};
pub use message::{
    Assignment, FromMold, FromSuccessor, FromWorker, Inheritance, InheritedCompanion, InheritedListener,
    Served, ToMold, ToSuccessor, ToWorker, UPGRADE_VERSION,
};
pub use observer::{Appearance, OBSERVER_ARGUMENT, OBSERVER_CHANNEL, ObserverSetup, OtlpSettings, ToProgram};
pub use scoreboard::{
    BOUND_NANOS, BUCKETS, CLASSES, Departure, Glance, Histogram, InFlight, METHODS, MasterPage, MasterRecord,
    MasterView, PAGES, Page, PageState, PageView, Reload, Scoreboard, Seat, SeatView, ServerState,
    SiblingPage, Totals, method_index, used,
};
pub use settings::{Identity, ListenerInfo, ListenerSettings, WorkerSettings};
pub use task_stats::{QueueStats, TaskStats, TaskTotals, Times, keeper_socket};
