//! Why the program leaves before it serves.

use hostler_wire::{BootFailure, ExitStatus, FailureKind};

/// What failed, why, what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) status: ExitStatus,
}

impl Failure {
    /// Tells the user; returns the status to leave with.
    pub(crate) fn report(self) -> ExitStatus {
        let causes: Vec<&str> = self.causes.iter().map(String::as_str).collect();
        hostler_master::report::print(&self.message, &causes, self.hint.as_deref(), None);
        self.status
    }
}

impl Failure {
    /// A configuration that served before asks for a text now.
    pub(crate) fn unexpected() -> Self {
        Self {
            message: "the configuration asks for a printed text, not for a server".into(),
            causes: Vec::new(),
            hint: None,
            status: ExitStatus::Config,
        }
    }
}

impl From<Failure> for BootFailure {
    fn from(failure: Failure) -> Self {
        let cause = (!failure.causes.is_empty()).then(|| failure.causes.join(": "));
        Self { kind: FailureKind::Config, message: failure.message, cause, hint: failure.hint }
    }
}

impl From<hostler_config::Error> for Failure {
    fn from(error: hostler_config::Error) -> Self {
        Self {
            message: error.message,
            causes: error.cause.into_iter().collect(),
            hint: error.hint,
            status: error.status,
        }
    }
}
