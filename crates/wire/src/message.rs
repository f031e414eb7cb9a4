//! What master, mold and worker say to each other.

use crate::{Generation, SeatId, WorkerSettings};
use serde::{Deserialize, Serialize};

/// From the master to the mold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToMold {
    /// First message: what to serve. The listening sockets come with it, in the order of
    /// [`WorkerSettings::listeners`].
    Setup(Box<WorkerSettings>),
    /// Fork a worker for this seat. Its end of the worker channel comes with the message.
    Fork {
        /// The seat to fill.
        seat: SeatId,
        /// The generation it belongs to.
        generation: Generation,
    },
}

/// From the mold to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromMold {
    /// The interpreter runs and the extension is loaded.
    Ready {
        /// `3.13.0`, say.
        python: String,
    },
    /// The worker exists and is the master's child from now on.
    Forked {
        /// The seat it fills.
        seat: SeatId,
        /// The generation it belongs to.
        generation: Generation,
        /// Its process id.
        pid: i32,
    },
    /// The mold cannot do its work; it exits after this.
    Failed(BootFailure),
}

/// From the master to a worker. When the channel reads end-of-file the master is dead: the worker drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// Stop accepting, finish the requests in flight, exit 0.
    Drain,
    /// Exit at once.
    Quit,
}

/// From a worker to the master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// Application imported, lifespan started, accepting.
    Ready {
        /// What the application turned out to be: `asgi`, `wsgi`, `native`.
        interface: String,
        /// How many calls into the application can run at once in this worker; `None` is "no limit of ours".
        concurrent_calls: Option<usize>,
    },
    /// It accepts no more and finishes what it has.
    Draining,
    /// It could not boot and exits with the code of this failure.
    Failed(BootFailure),
}

/// Why a mold or a worker could not start, in the words the user gets to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFailure {
    /// Decides the exit code.
    pub kind: FailureKind,
    /// What failed, in the user's terms: "could not load `shop:app`".
    pub message: String,
    /// Why: one line, or a whole Python traceback.
    pub cause: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The stage at which a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The application's import: exit code 4.
    AppImport,
    /// Anything after the import, such as the lifespan: exit code 3.
    Boot,
    /// The setting asks for what is not there: exit code 78.
    Config,
}

impl FailureKind {
    /// The exit status that tells a failure of this kind to the shell.
    #[must_use]
    pub fn exit_status(self) -> crate::ExitStatus {
        match self {
            Self::AppImport => crate::ExitStatus::AppImport,
            Self::Boot => crate::ExitStatus::Boot,
            Self::Config => crate::ExitStatus::Config,
        }
    }
}
