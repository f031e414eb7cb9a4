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

    /// All of it as text: message, cause and hint on lines of their own.
    #[must_use]
    pub fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}"));
        let lines = [Some(&self.message), self.cause.as_ref(), hint.as_ref()];
        lines.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Its cause as fields of a log event.
    #[must_use]
    pub fn split_cause(&self) -> Cause<'_> {
        let cause = self.cause.as_deref().map(str::trim_end);
        match cause.filter(|cause| cause.contains(TRACEBACK)) {
            Some(traceback) => Cause { cause: last_error(traceback), traceback: Some(traceback) },
            None => Cause { cause, traceback: None },
        }
    }
}

/// What a traceback of Python begins with; one of a SyntaxError alone may lack it.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Why something failed: in a line, and the whole traceback if it is one of Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The exception's class and message, or what else was the cause.
    pub cause: Option<&'a str>,
    /// The traceback.
    pub traceback: Option<&'a str>,
}

/// The line with the exception: the last one that is not indented, and what follows it of a long message is left out.
fn last_error(traceback: &str) -> Option<&str> {
    let after = traceback.rsplit(TRACEBACK).next().unwrap_or(traceback);
    after.lines().skip(1).find(|line| !line.starts_with([' ', '\t']) && !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitStatus;

    #[test]
    fn a_traceback_has_its_exception_in_a_line() {
        let text = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 1\n\nDuring …:\n\n\
                    Traceback (most recent call last):\n  File \"a.py\", line 2\n    f()\nValueError: two\nlines\n";
        let failure = Failure::new(ExitStatus::Boot, "it failed").because(text);
        let expected = Cause { cause: Some("ValueError: two"), traceback: Some(text.trim_end()) };
        assert_eq!(failure.split_cause(), expected);
        let plain = Failure::new(ExitStatus::Boot, "it failed").because("no memory");
        assert_eq!(plain.split_cause(), Cause { cause: Some("no memory"), traceback: None });
    }
}
