//! What master, mold and worker say to each other.

use crate::{
    CompanionSpec, Descriptor, Failure, Generation, GroupId, ListenerInfo, Role, SlotId, WorkerId,
    WorkerSettings,
};
use hostler_settings::Log;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// From the master to the mold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToMold {
    /// First message: what to serve, with the descriptor for log lines and what the roles that it forks share.
    Setup {
        /// What each worker is told.
        settings: Box<WorkerSettings>,
        /// How log lines look now; those of a generation that serves look as its settings say.
        log: Box<Log>,
        /// What the descriptors are that come with the message.
        descriptors: Vec<Descriptor>,
    },
    /// Fork a process, with what it alone is given.
    Fork {
        /// What it is made for.
        assignment: Assignment,
        /// What the descriptors are that come with the message.
        descriptors: Vec<Descriptor>,
    },
    /// Log to the descriptors that come with the message from now on: standard error, and that for log lines.
    ReopenLog,
    /// Write the access log to the descriptor that comes with the message from now on.
    ReopenAccessLog,
    /// Log like this from now on, here and in workers that are forked from now on.
    Log(Box<Log>),
}

/// What a worker is made for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The worker.
    pub worker: WorkerId,
    /// The place it fills.
    pub slot: SlotId,
    /// What it does.
    pub role: Role,
    /// The generation it belongs to.
    pub generation: Generation,
    /// Its page of the scoreboard.
    pub page: u16,
    /// After how many requests it asks to be replaced.
    pub request_limit: Option<u64>,
}

/// From the mold to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromMold {
    /// The interpreter runs and the extension is loaded; with preload, the application too.
    Ready {
        /// `3.13.0`, say.
        python: String,
    },
    /// The worker exists and is the master's child from now on.
    Forked {
        /// The worker.
        worker: WorkerId,
        /// Its process id.
        pid: i32,
    },
    /// The mold cannot do its work; it exits after this.
    Failed(Failure),
}

/// From the master to a worker. When the channel reads end-of-file the master is dead: the worker drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The mold has reported the fork, and the worker is still needed: boot. Until then the master does not know the process.
    Boot,
    /// The server will stop soon: keep serving, but close each connection with its next response.
    LameDuck,
    /// Stop accepting, finish the requests in flight, exit 0.
    Drain {
        /// Other workers keep serving: hand idle connections over to them.
        hand_over: bool,
    },
    /// The kernel takes no new connections from now on: accept what waits, for the last time.
    AcceptLast,
    /// The code was changed: leave idle connections to the worker that comes, end what has no end, finish other requests soon.
    StepAside,
    /// There are more workers than before: leave some of the connections to them.
    ShareConnections,
    /// Exit at once.
    Quit,
    /// Serve connections that are accepted from now on with what is in the file that comes with the message.
    Certificates,
    /// Log to the descriptors that come with the message from now on: standard error, and that for log lines.
    ReopenLog,
    /// Write the access log to the descriptor that comes with the message from now on.
    ReopenAccessLog,
    /// Log like this from now on.
    Log(Box<Log>),
    /// Tell where all threads are, as the worker's page asks, too.
    TellStacks,
}

/// From a worker to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// Application imported, lifespan started, accepting.
    Ready {
        /// What the application turned out to be.
        interface: Served,
        /// How many calls into the application can run at once in this worker; `None` is "no limit of ours".
        concurrent_calls: Option<usize>,
    },
    /// It has served its maximum number of requests.
    ReachedRequestLimit,
    /// It was told to drain, and finishes what it has.
    Draining,
    /// The server stops, and this worker has accepted what waited. It accepts once more if it is told to soon.
    AcceptsNoMore,
    /// It could not load the application, and serves why.
    ServesFailure(Failure),
    /// It could not boot and exits with the code of this failure.
    Failed(Failure),
    /// Where all its threads and tasks are.
    Stacks {
        /// Which question this answers ([`crate::Page::asked_for_stacks`]).
        asked: u32,
        /// As faulthandler writes them.
        text: String,
    },
}

/// What a worker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Served {
    /// A Rust service.
    Native,
    /// An ASGI application.
    Asgi,
    /// An RSGI application.
    Rsgi,
    /// A WSGI application.
    Wsgi,
    /// Tasks.
    Tasks,
}

impl Served {
    /// The name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Asgi => "asgi",
            Self::Rsgi => "rsgi",
            Self::Wsgi => "wsgi",
            Self::Tasks => "tasks",
        }
    }
}

/// The version of what two servers say to each other at an upgrade, the frames of the handover line included. They may
/// be of different binaries: a server that is started by one of another version reports it and exits, and the old one
/// keeps serving.
pub const UPGRADE_VERSION: u32 = 5;

/// What a server leaves to the one that replaces it. With it come both ends of the handover channel and the listening
/// sockets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inheritance {
    /// [`UPGRADE_VERSION`]; this field alone is the same in all versions.
    pub version: u32,
    /// What the descriptors are that come with the message.
    pub descriptors: Vec<Descriptor>,
    /// In the order of their sockets.
    pub listeners: Vec<InheritedListener>,
    /// Those of the observer, in the order of their sockets.
    #[serde(default)]
    pub admin: Vec<InheritedListener>,
    /// Those of companions, in the order of their sockets.
    pub companion_sockets: Vec<InheritedListener>,
    /// Files that are to be removed at the end: each path, and the device and inode that were made there.
    pub owned_files: Vec<(PathBuf, (u64, u64))>,
    /// The keys with which TLS sessions are resumed.
    #[serde(default)]
    pub tickets: Option<Vec<u8>>,
    /// The path of its control socket.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// How many workers there are, of groups whose number follows the load.
    #[serde(default)]
    pub workers: Vec<(GroupId, u16)>,
}

/// An address that a server leaves to the one that replaces it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InheritedListener {
    /// As the user wrote it.
    pub spec: String,
    /// Where the sockets listen.
    pub info: ListenerInfo,
    /// How many there are.
    pub sockets: usize,
}

/// From the server that replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSuccessor {
    /// It runs, and heeds orders.
    Runs,
    /// All its workers serve: the old server may drain.
    Serves,
}

/// A companion that a server leaves to the one that replaces it. With it comes the channel of the process that watches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedCompanion {
    /// What it was started as.
    pub spec: CompanionSpec,
    /// Which of its replicas, from 1.
    pub replica: u16,
    /// The process that watches it.
    pub watcher: i32,
    /// Its own process, once it runs.
    pub pid: Option<i32>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it was told to stop.
    pub told_to_stop: bool,
    /// How long it has run.
    pub age: Duration,
}

/// To the server that replaces another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSuccessor {
    /// The new server has this companion from now on.
    Companion(Box<InheritedCompanion>),
    /// There are no more.
    CompanionsLeft {
        /// Whether none is left that could not be handed on, and ends with the old server.
        all: bool,
    },
    /// The old server was told to stop.
    Stop {
        /// At once.
        quickly: bool,
    },
}
