//! What `hostler check` prints: what was tried and how it went, and what would run.

use hostler_wire::{ExitStatus, Failure};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// All that was tried.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    warnings: Vec<String>,
    /// What would run: names and values.
    would_run: Vec<(&'static str, Value)>,
}

/// How it went with one thing.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    outcome: Result<String, Failure>,
}

impl Report {
    /// Only this failed: the rest could not be tried.
    pub(crate) fn of_failure(what: &'static str, failure: Failure) -> Self {
        let mut report = Self::default();
        report.add(what, Err(failure));
        report
    }

    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Adds how it went with one thing.
    pub(crate) fn add(&mut self, what: &'static str, outcome: Result<String, Failure>) {
        self.findings.push(Finding { what, outcome });
    }

    /// As [`Report::add`], and gives what came of it.
    pub(crate) fn keep<T>(
        &mut self,
        what: &'static str,
        outcome: Result<T, Failure>,
        told: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.add(what, Ok(told(&value)));
                Some(value)
            }
            Err(failure) => {
                self.add(what, Err(failure));
                None
            }
        }
    }

    /// Adds what would run.
    pub(crate) fn would_run(&mut self, name: &'static str, value: impl Into<Value>) {
        self.would_run.push((name, value.into()));
    }

    fn problems(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.findings.iter().filter_map(|finding| Some((finding.what, finding.outcome.as_ref().err()?)))
    }

    /// As the start would exit that meets the first of the problems.
    pub(crate) fn status(&self) -> ExitStatus {
        self.problems().next().map_or(ExitStatus::Clean, |(_, failure)| failure.status)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, outcome } in &self.findings {
            let _ = match outcome {
                Ok(detail) => writeln!(text, "ok       {what}: {}", indented(detail)),
                Err(failure) => write!(text, "error    {what}: {}", told(failure)),
            };
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning  {}", indented(warning));
        }
        let problems = self.problems().count();
        let _ = match problems {
            0 => write!(text, "\nThis would run:\n{}", listed(&self.would_run)),
            1 => writeln!(text, "\nThe start would fail: 1 problem."),
            _ => writeln!(text, "\nThe start would fail: {problems} problems."),
        };
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let problems = self.problems().map(|(what, failure)| {
            json!({
                "of": what, "message": failure.message, "cause": failure.cause, "hint": failure.hint,
                "exit_code": failure.status.code(),
            })
        });
        let checked = self.findings.iter().filter_map(|finding| {
            let detail = finding.outcome.as_ref().ok()?;
            Some(json!({"of": finding.what, "detail": detail}))
        });
        let would_run: serde_json::Map<String, Value> =
            self.would_run.iter().map(|(name, value)| (name.replace(' ', "_"), value.clone())).collect();
        let whole = json!({
            "ok": self.problems().next().is_none(),
            "exit_code": self.status().code(),
            "checked": checked.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
            "warnings": self.warnings,
            "would_run": would_run,
        });
        format!("{whole:#}\n")
    }
}

/// A failure with its cause and hint below it.
fn told(failure: &Failure) -> String {
    let mut text = format!("{}\n", indented(&failure.message));
    let parts = [("cause", &failure.cause), ("hint", &failure.hint)];
    for (label, part) in parts.into_iter().filter_map(|(label, part)| Some((label, part.as_ref()?))) {
        let _ = writeln!(text, "         {label}: {}", indented(part.trim_end()));
    }
    text
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n           ")
}

fn listed(pairs: &[(&'static str, Value)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Value::Null => continue,
            other => other.to_string(),
        };
        let _ = writeln!(text, "  {name:18} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Report;
    use hostler_wire::{ExitStatus, Failure};

    fn broken() -> Report {
        let mut report = Report::default();
        report.add("python", Ok("3.13".into()));
        let failure = Failure::new(ExitStatus::Failed, "cannot listen").because("in use").hint("stop it");
        report.add("addresses", Err(failure));
        report.add("application", Err(Failure::new(ExitStatus::AppImport, "could not load").because("a\nb")));
        report
    }

    #[test]
    fn all_problems_are_told_and_the_first_gives_the_status() {
        let report = broken().with_warnings(vec!["careful".into()]);
        assert_eq!(report.status(), ExitStatus::Failed);
        assert_eq!(
            report.text(),
            "ok       python: 3.13\nerror    addresses: cannot listen\n         cause: in use\n         hint: stop it\n\
             error    application: could not load\n         cause: a\n           b\nwarning  careful\n\n\
             The start would fail: 2 problems.\n"
        );
    }

    #[test]
    fn a_program_reads_it_as_json() {
        let parsed: serde_json::Value = serde_json::from_str(&broken().json()).unwrap();
        assert_eq!(parsed["ok"], false);
        assert_eq!(parsed["exit_code"], 1);
        assert_eq!(parsed["problems"][1]["exit_code"], 4);
        assert_eq!(parsed["checked"][0]["of"], "python");
    }

    #[test]
    fn without_problems_what_would_run_is_listed() {
        let mut report = Report::default();
        report.would_run("application", "shop:app");
        report.would_run("addresses", vec!["127.0.0.1:80", "unix:/run/shop"]);
        assert_eq!(report.status(), ExitStatus::Clean);
        assert_eq!(
            report.text(),
            "\nThis would run:\n  application        shop:app\n  addresses          127.0.0.1:80, unix:/run/shop\n"
        );
    }
}
