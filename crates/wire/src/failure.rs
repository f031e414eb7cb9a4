//! Why there is no server, or no worker: one form, from the command line to a worker's boot.

use crate::ExitStatus;
use serde::{Deserialize, Serialize};

/// What failed in the user's terms, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code.
    pub status: ExitStatus,
    /// What failed, in the user's terms: "could not load `shop:app`".
    pub message: String,
    /// Why: one line, or a whole Python traceback.
    pub cause: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of which no more is known yet.
    #[must_use]
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), cause: None, hint: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// All of it as the text of a log event: message, cause and hint on lines of their own.
    #[must_use]
    pub fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}"));
        let lines = [Some(&self.message), self.cause.as_ref(), hint.as_ref()];
        lines.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
