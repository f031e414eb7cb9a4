//! Answers for people.

use super::json::seconds;
use crate::top::words;
use hostler_tasks::{Details, Millis, Shown, State, TaskId};
use hostler_wire::TaskStats;
use serde_json::Value;
use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// The longest text of arguments and results that is printed, in characters; `--json` has all of it.
const LONGEST: usize = 4000;
/// How much of an error fits into a line.
const BRIEF: usize = 100;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn ago(moment: Millis) -> String {
    words::time((now() - seconds(moment)).max(0.0))
}

pub(super) fn queues(stats: &TaskStats) -> String {
    let states = ["ready", "unknown", "scheduled", "running", "failed", "succeeded"];
    let mut text = format!("{:20}", "queue");
    for state in states {
        let _ = write!(text, " {state:>9}");
    }
    text += " oldest waits\n";
    for (name, queue) in &stats.queues {
        let _ = write!(text, "{name:20}");
        for state in states {
            let _ = write!(text, " {:>9}", queue.tasks.get(state).copied().unwrap_or(0));
        }
        let _ = writeln!(text, " {:>12}", queue.oldest_wait.map_or_else(|| "-".into(), words::time));
    }
    let _ = writeln!(text, "{} task workers are connected", stats.workers);
    text
}

pub(super) fn tasks(tasks: &[Shown], more: bool) -> String {
    let mut text =
        format!("{:36} {:9} {:12} {:24} {:>7} {:>5} what\n", "id", "state", "queue", "name", "age", "tries");
    for task in tasks {
        let _ = writeln!(
            text,
            "{} {:9} {:12} {:24} {:>7} {:>5} {}",
            task.id,
            task.state.name(),
            task.queue,
            task.name,
            ago(task.enqueued),
            task.attempts,
            what(task)
        );
    }
    if more {
        text += "there are more: --limit, or --after with the last id\n";
    }
    text
}

/// What there is to say about a task in a line.
fn what(task: &Shown) -> String {
    let error = || task.error.as_deref().map(brief).unwrap_or_default();
    match task.state {
        State::Running => {
            let since = task.started.map_or_else(String::new, |at| format!("for {}", ago(at)));
            let pid = task.pid.map_or_else(String::new, |pid| format!(" in process {pid}"));
            let progress =
                task.progress.as_ref().map(|(part, words)| format!(", {:.0} % {words}", part * 100.0));
            format!("{since}{pid}{}", progress.unwrap_or_default())
        }
        State::Scheduled => {
            let after = error();
            let after = if after.is_empty() { after } else { format!(", after {after}") };
            format!("due in {}{after}", words::time((seconds(task.due) - now()).max(0.0)))
        }
        State::Unknown => "no worker knows its name".into(),
        _ => error(),
    }
}

/// The type and the first line of the message of an error.
fn brief(error: &str) -> String {
    let parsed: Value = serde_json::from_str(error).unwrap_or_default();
    let (kind, message) = (parsed["type"].as_str().unwrap_or_default(), parsed["message"].as_str());
    let text = format!("{kind}: {}", message.unwrap_or(error).lines().next().unwrap_or_default());
    text.chars().take(BRIEF).collect()
}

fn moment(at: Option<Millis>) -> String {
    at.map_or_else(
        || "-".into(),
        |at| {
            let left = seconds(at) - now();
            let time = jiff::Timestamp::from_millisecond(at)
                .map_or_else(|_| at.to_string(), |it| format!("{it:.3}"));
            if left > 0.0 {
                format!("{time} (in {})", words::time(left))
            } else {
                format!("{time} ({} ago)", words::time(-left))
            }
        },
    )
}

/// All of a task. `shown` is the same as JSON.
pub(super) fn task(task: &Shown, details: &Details, shown: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:12} {value}");
    };
    line("id", &task.id.to_string());
    line("name", &task.name);
    line("queue", &task.queue);
    let what = what(task);
    let what = if what.is_empty() { String::new() } else { format!(": {what}") };
    line("state", &format!("{}{what}", task.state.name()));
    line("priority", &task.priority.to_string());
    let losses = if task.losses > 0 {
        format!(", {} of them ended with their workers", task.losses)
    } else {
        String::new()
    };
    line("attempts", &format!("{} of {}{losses}", task.attempts, details.options.retries + 1));
    if let Some(timeout) = shown["timeout_seconds"].as_f64() {
        line("timeout", &words::time(timeout));
    }
    if let Some(key) = &details.key {
        line("key", key);
    }
    line("enqueued", &moment(Some(task.enqueued)));
    line("due", &moment(Some(task.due)));
    if details.expires.is_some() {
        line("expires", &moment(details.expires));
    }
    line("started", &moment(task.started));
    line("finished", &moment(task.finished));
    if details.keep_until.is_some() {
        line("kept until", &moment(details.keep_until));
    }
    line("arguments", &content(shown, "arguments"));
    if task.state == State::Succeeded {
        line("result", &content(shown, "result"));
    }
    if let Some(error) = shown["error"].as_object() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        line("error", &format!("{}: {}", part("type"), part("message")));
        if !part("traceback").is_empty() {
            let _ = writeln!(text, "\n{}", part("traceback").trim_end());
        }
    }
    text
}

fn content(shown: &Value, name: &str) -> String {
    let bytes = shown[format!("{name}_bytes")].as_u64().unwrap_or(0);
    match (&shown[name], shown["coding"].as_str()) {
        (_, Some(coding)) if coding != "json" => format!("{bytes} bytes of {coding}"),
        (Value::Null, _) if bytes == 0 => "-".into(),
        (value, _) => {
            let text = value.to_string();
            let short: String = text.chars().take(LONGEST).collect();
            if short.len() < text.len() {
                format!("{short} … ({bytes} bytes; --json has all)")
            } else {
                short
            }
        }
    }
}

pub(super) fn cancelled(id: TaskId, state: State) -> String {
    match state {
        State::Running => format!("{id} runs: its worker is told\n"),
        State::Cancelled => format!("{id} is cancelled\n"),
        other => format!("{id} is finished already: {}\n", other.name()),
    }
}
