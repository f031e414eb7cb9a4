//! Why the program leaves before it serves.

use hostler_wire::ExitStatus;

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
