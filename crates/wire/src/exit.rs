//! Exit codes, of the whole server and of single workers.

use serde::{Deserialize, Serialize};

/// Why a process of ours ended; the number is what `wait(2)` and the shell see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitStatus {
    /// Asked to stop, and stopped.
    Clean = 0,
    /// Failed for a reason that has no code of its own, such as a port in use.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The worker could not boot: the lifespan failed, a listener could not be used.
    Boot = 3,
    /// The application could not be imported, found or called.
    AppImport = 4,
    /// `hostler ctl`: no server can be asked, or it is not clear which one.
    NoServer = 5,
    /// `hostler ctl`: the server is busy with something else, or does not take commands of this user.
    Refused = 6,
    /// `hostler ctl`: the outcome is not known.
    Unknown = 7,
    /// A configuration file, an environment variable or the chosen Python was wrong (`EX_CONFIG`, sysexits.h).
    Config = 78,
}

impl ExitStatus {
    /// The number for `_exit(2)`.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}
