//! Failures as the user reads them: what failed, why, what to do, what the server did.

use hostler_sys::logging::without_number;
use hostler_wire::{Cause, Failure};
use std::fmt::Write as _;
use tracing::error;

/// What was reported of the start: one thing, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StartReport {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Why it failed.
    Failure,
    /// How many calls of the application there can be at once.
    Concurrency,
}

/// A failure as text of several lines.
#[must_use]
pub fn text(message: &str, causes: &[&str], hint: Option<&str>, note: Option<&str>) -> String {
    let mut text = format!("error: {message}\n");
    for cause in causes {
        let _ = writeln!(text, "  caused by: {}", cause.trim_end().replace('\n', "\n    "));
    }
    if hint.is_some() || note.is_some() {
        text.push('\n');
    }
    for (label, line) in [("hint", hint), ("note", note)] {
        if let Some(line) = line {
            let _ = writeln!(text, "{label}: {line}");
        }
    }
    text
}

/// Writes to the log, whatever its level is: the server does not start.
pub fn print(failure: &Failure, note: Option<&str>) {
    let Failure { message, cause, hint, .. } = failure;
    let (causes, hint): (Vec<&str>, _) = (cause.as_deref().into_iter().collect(), hint.as_deref());
    let event = || {
        let Cause { cause, traceback } = failure.split_cause();
        error!(cause, hint, note, traceback, "{message}");
    };
    let text = without_number(&text(message, &causes, hint, note));
    hostler_sys::logging::write_last_words(&text, event);
}

pub(crate) fn print_boot_failure(failure: &Failure) {
    let note =
        format!("nothing was serving yet, so the server stopped (exit code {})", failure.status.code());
    print(failure, Some(&note));
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_report_has_message_causes_hint_and_note() {
        let report = text("could not load `a:b`", &["line 1\nline 2"], Some("do this"), Some("we stopped"));
        assert_eq!(
            report,
            "error: could not load `a:b`\n  caused by: line 1\n    line 2\n\nhint: do this\nnote: we stopped\n"
        );
    }
}
