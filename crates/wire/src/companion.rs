//! What the master and the process that watches a companion say to each other.

use crate::{Appearance, Descriptor, Identity};
use hostler_settings::Companion;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The argument by which the program knows that it is to watch a companion.
pub const COMPANION_ARGUMENT: &str = "--this-process-watches-a-companion";
/// The descriptor on which it is sent what it needs; when it is closed, the server is gone.
pub const COMPANION_CHANNEL: i32 = 3;

/// A companion as it was configured, and what follows from that on this system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionSpec {
    /// What the user says.
    pub companion: Companion,
    /// Whom it runs as.
    pub identity: Identity,
    /// Its working directory, unless it is the server's.
    pub directory: Option<PathBuf>,
    /// What is added to its environment.
    pub env: Vec<(String, String)>,
}

/// What the watching process is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompanionSetup {
    /// What the descriptors are that come with the message.
    pub descriptors: Vec<Descriptor>,
    /// How it appears.
    pub appearance: Appearance,
    /// The companion.
    pub spec: CompanionSpec,
    /// Which of its replicas, from 1.
    pub replica: u16,
    /// The names of its listening sockets, for LISTEN_FDNAMES.
    pub socket_names: Vec<String>,
}

/// How a companion stands, as operators are shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionView {
    /// Its name.
    pub name: String,
    /// Which of its replicas, from 1.
    pub replica: u16,
    /// What it is doing.
    pub state: CompanionState,
    /// Its process, if it has one.
    pub pid: Option<i32>,
    /// The process that watches it.
    pub watcher: Option<i32>,
    /// The generation whose settings it runs with.
    pub generation: Option<u32>,
    /// Since when it runs, on the scoreboard's clock.
    pub started_at: Option<u64>,
    /// How often it was started by this server, or taken over from the one before.
    pub starts: u64,
    /// How often it ended otherwise than it was to.
    pub crashes: u64,
    /// How often it failed in a row.
    pub failures: u32,
    /// When it is started again, on the scoreboard's clock.
    pub next_attempt_at: Option<u64>,
    /// How it ended last.
    pub last_exit: Option<CompanionExit>,
    /// What was found when it was asked whether it is ready.
    pub not_ready_because: Option<String>,
}

/// How a companion ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanionExit {
    /// When, on the scoreboard's clock.
    pub at: u64,
    /// In words.
    pub status: String,
    /// How long it lived; `None` if it could not be started, or if that is not known.
    pub lived_ms: Option<u64>,
}

/// What a companion is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompanionState {
    /// It waits for others to be ready.
    Waiting,
    /// It runs, and is not ready yet.
    Starting,
    /// It is ready.
    Ready,
    /// It is being stopped.
    Stopping,
    /// It has ended, and is started again after a while.
    BackingOff,
    /// It has ended as it was to, and is not started again.
    Finished,
    /// It has failed, and is not started again.
    Failed,
    /// The server stops, and it has ended.
    Stopped,
}

impl CompanionState {
    /// Its name, as in the JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing-off",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// To the watching process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToCompanion {
    /// Stop the companion: its signal, its time, then SIGKILL.
    Stop,
    /// Kill the companion and all that it has started.
    Kill,
    /// Send the companion a signal, by its name.
    Signal(String),
    /// Appear otherwise.
    Appear(Box<Appearance>),
    /// The log was reopened; its descriptors come with the message.
    ReopenLog,
}

/// From the watching process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCompanion {
    /// The companion runs as this process.
    Started {
        /// Its process id, and that of its process group.
        pid: i32,
    },
    /// It could not be started.
    Failed {
        /// Why.
        error: String,
    },
    /// It is ready.
    Ready,
    /// It is not, after so many attempts: what the last one found.
    NotReady {
        /// In words.
        found: String,
    },
    /// It has ended, and nothing is left of it.
    Ended {
        /// How, in words.
        status: String,
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// How long it lived.
        lived_ms: u64,
    },
}
