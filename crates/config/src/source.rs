//! Where a value was set, and the errors that say so.

use hostler_peers::{Origin, Place};
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
    File {
        /// Its path.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// In a command line, an environment or a file of a peer.
    Peer(Origin),
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argv => f.write_str("command line"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "file {path}, line {line}"),
            Self::Peer(origin) => write!(f, "{} of {}", origin.place, origin.peer.name()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Source {
    /// Something is wrong there: exit code 2 for the command line, 78 for environment and files.
    pub(crate) fn failure(&self, message: impl Into<String>) -> Failure {
        let status = match self {
            Self::Argv | Self::Default => ExitStatus::Usage,
            Self::Peer(origin) if origin.place == Place::Argv => ExitStatus::Usage,
            Self::Env(_) | Self::File { .. } | Self::Peer(_) => ExitStatus::Config,
        };
        Failure::new(status, message)
    }

    /// A value that the option does not take.
    pub(crate) fn invalid(&self, option: &Declaration, text: &str) -> Failure {
        if let Self::Peer(Origin { name, value, place, .. }) = self
            && *place != Place::Default
        {
            let text = option.shown(value);
            return self.failure(format!("invalid value '{text}' for {name} ({self})"));
        }
        let text = option.shown(text);
        self.failure(format!("invalid value '{text}' for --{} ({self})", option.name))
    }

    /// As a user wrote it who wrote it for a peer.
    pub(crate) fn written(&self) -> Option<String> {
        match self {
            Self::Peer(origin) if origin.place != Place::Default => Some(origin.shown()),
            Self::Peer(_) | Self::Argv | Self::Env(_) | Self::File { .. } | Self::Default => None,
        }
    }
}
