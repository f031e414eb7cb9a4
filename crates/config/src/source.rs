//! Where a value was set, and the errors that say so.

use hostler_settings::Declaration;
use hostler_wire::{ExitStatus, Failure};
use std::fmt;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// On the command line.
    Argv,
    /// In this environment variable.
    Env(String),
    /// In this file.
    File(String),
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argv => f.write_str("command line"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Source {
    /// Something is wrong there: exit code 2 for the command line, 78 for environment and files.
    pub(crate) fn failure(&self, message: impl Into<String>) -> Failure {
        let status = match self {
            Self::Argv | Self::Default => ExitStatus::Usage,
            Self::Env(_) | Self::File(_) => ExitStatus::Config,
        };
        Failure::new(status, message)
    }

    /// A value that the option does not take.
    pub(crate) fn invalid(&self, option: &Declaration, text: &str) -> Failure {
        self.failure(format!("invalid value '{text}' for --{} ({self})", option.name))
    }
}
