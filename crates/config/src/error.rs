//! What can be wrong with a configuration.

use hostler_settings::Declaration;
use hostler_wire::ExitStatus;
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

/// A wrong option or value: what, why, what to do, and the exit code that tells it.
#[derive(Debug)]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// Why.
    pub cause: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// 2 for the command line, 78 for environment and files.
    pub status: ExitStatus,
}

impl Error {
    pub(crate) fn at(source: &Source, message: impl Into<String>) -> Self {
        let status = match source {
            Source::Argv | Source::Default => ExitStatus::Usage,
            Source::Env(_) | Source::File(_) => ExitStatus::Config,
        };
        Self { message: message.into(), cause: None, hint: None, status }
    }

    /// A value that an option does not take.
    pub(crate) fn invalid(option: &Declaration, text: &str, source: &Source) -> Self {
        Self::at(source, format!("invalid value '{text}' for --{} ({source})", option.name))
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
