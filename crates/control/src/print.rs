//! Outcomes for people.

use crate::{
    companions,
    top::{
        doing,
        reading::{Reading, Worker},
        words,
    },
};
use hostler_wire::control::{Command, ConfigEntry};
use serde_json::Value;
use std::fmt::Write as _;

/// What is printed of an outcome. Names of threads, files and tasks are the application's, and control no terminal.
pub(crate) fn text(command: &Command, message: &str, result: &Value) -> String {
    harmless(&written(command, message, result))
}

/// Text without what controls a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

fn written(command: &Command, message: &str, result: &Value) -> String {
    match command {
        Command::Status => status(result),
        Command::Workers => workers(result),
        Command::Stacks { .. } => stacks(result),
        Command::Config { changes: false } => options(result),
        Command::Config { changes: true } => changes(result),
        _ => format!("{message}\n"),
    }
}

fn reading(result: &Value) -> Reading {
    serde_json::from_value(result.clone()).unwrap_or_default()
}

fn status(result: &Value) -> String {
    let Reading { server, traffic, task_workers, companions, .. } = &reading(result);
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:12} {value}");
    };
    line(
        "server",
        format!(
            "hostler {}, process {}, up {}",
            server.version,
            server.pid,
            words::time(server.uptime_seconds)
        ),
    );
    let why = server.not_ready_because.as_ref().map_or_else(String::new, |why| format!(", not ready: {why}"));
    line("state", format!("{}, generation {}{why}", server.state, server.generation));
    line("listens on", server.listeners.join(" "));
    line("workers", format!("{} of {} serve", server.workers_serving, server.workers_wanted));
    if let Some(file) = &server.task_queue {
        let serving = task_workers.iter().filter(|worker| worker.state == "serving").count();
        let running: u64 = task_workers.iter().map(|worker| worker.in_flight).sum();
        line("tasks", format!("{serving} task workers serve, {running} tasks run, queue {}", file.display()));
    }
    let classes: Vec<String> =
        traffic.requests_by_status.iter().map(|(class, count)| format!("{class} {count}")).collect();
    let lost =
        if traffic.requests_lost > 0 { format!(", lost {}", traffic.requests_lost) } else { String::new() };
    let classes = if classes.is_empty() { String::new() } else { format!(" ({})", classes.join(", ")) };
    line("requests", format!("{}{classes}{lost}", traffic.requests));
    line(
        "now",
        format!(
            "{} in flight, {} connections, {} websockets",
            traffic.in_flight, traffic.connections, traffic.websockets
        ),
    );
    for companion in companions::lines(companions) {
        line("companion", companion);
    }
    text
}

/// A worker's number in tables: that of a task worker is `t1`.
pub(crate) fn number(worker: &Worker, is_task_worker: bool) -> String {
    if is_task_worker { format!("t{}", worker.slot) } else { worker.slot.to_string() }
}

fn workers(result: &Value) -> String {
    let mut text = format!(
        "{:>3} {:>8} {:9} {:>3} {:>7} {:>9} {:>6} {:>5} {:>6} doing\n",
        "#", "pid", "state", "gen", "age", "requests", "flight", "conns", "memory"
    );
    let reading = reading(result);
    let (workers, task_workers) = (reading.workers.iter(), reading.task_workers.iter());
    for (worker, is_task) in workers.map(|it| (it, false)).chain(task_workers.map(|it| (it, true))) {
        let _ = writeln!(
            text,
            "{:>3} {:>8} {:9} {:>3} {:>7} {:>9} {:>6} {:>5} {:>6} {}",
            number(worker, is_task),
            worker.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            worker.state,
            worker.generation,
            words::time(worker.age_seconds),
            if is_task { "-".into() } else { worker.requests.to_string() },
            worker.in_flight,
            if is_task { "-".into() } else { worker.connections.to_string() },
            worker.memory_bytes.map_or_else(|| "-".into(), words::bytes),
            doing(worker)
        );
    }
    for companion in companions::lines(&reading.companions) {
        let _ = writeln!(text, "companion {companion}");
    }
    text
}

fn stacks(result: &Value) -> String {
    let mut text = String::new();
    for worker in result["workers"].as_array().into_iter().flatten() {
        let serves = if worker["serves"] == true { "" } else { ", which does not serve" };
        let name = match worker["task_worker"].as_u64() {
            Some(number) => format!("Task worker {number}"),
            None => format!("Worker {}", worker["worker"]),
        };
        let _ = writeln!(text, "{name} (process {}){serves}", worker["pid"]);
        for thread in worker["threads"].as_array().into_iter().flatten() {
            let words = |key: &str| thread[key].as_str().unwrap_or_default().to_owned();
            let waits =
                thread["waits_in"].as_str().map_or_else(String::new, |function| format!(" in {function}"));
            let _ = writeln!(
                text,
                "  {:>8} {:16} {}{waits}",
                thread["tid"].to_string(),
                words("name"),
                words("state")
            );
        }
        if let Some(python) = worker["python"].as_str() {
            let _ = writeln!(text, "\n{}", python.trim_end());
        }
        text.push('\n');
    }
    text
}

fn entry(value: &Value) -> Option<ConfigEntry> {
    serde_json::from_value(value.clone()).ok()
}

fn options(result: &Value) -> String {
    let mut text = String::new();
    for ConfigEntry { option, value, source } in
        result["options"].as_array().into_iter().flatten().filter_map(entry)
    {
        let _ = writeln!(text, "{option:38} {value:24} # {source}");
    }
    text
}

fn changes(result: &Value) -> String {
    let mut text = String::new();
    for change in result["changes"].as_array().into_iter().flatten() {
        let (Some(old), Some(new)) = (entry(&change["running"]), entry(&change["found"])) else { continue };
        let _ = writeln!(text, "-{:38} {:24} # {}", old.option, old.value, old.source);
        let _ = writeln!(text, "+{:38} {:24} # {}", new.option, new.value, new.source);
    }
    if text.is_empty() { "a reload would find no option changed\n".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::text;
    use hostler_wire::control::Command;
    use serde_json::json;

    #[test]
    fn what_the_application_names_controls_no_terminal() {
        let thread = json!({"tid": 7, "name": "\u{1b}[31mred\u{7}", "state": "sleeping"});
        let stacks = json!({"workers": [{"worker": 1, "pid": 7, "threads": [thread], "python": "in \u{9b}2Jä\tb\nc"}]});
        let shown = text(&Command::Stacks { worker: None, name: None }, "", &stacks);
        assert!(shown.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{shown:?}");
        assert!(shown.contains(r"\u{1b}[31mred\u{7}") && shown.contains("ä\tb\nc"), "{shown:?}");
    }

    #[test]
    fn outcomes_are_lines() {
        assert_eq!(text(&Command::Reload, "reloaded", &json!({})), "reloaded\n");
        let workers = |value: &str| json!({"option": "workers", "value": value, "source": "default"});
        let config = text(&Command::Config { changes: false }, "", &json!({"options": [workers("2")]}));
        assert!(
            config.starts_with("workers  ") && config.ends_with(" 2                        # default\n"),
            "{config}"
        );
        let both = json!({"changes": [{"running": workers("2"), "found": workers("4")}]});
        let changed = text(&Command::Config { changes: true }, "", &both);
        assert!(changed.starts_with("-workers") && changed.contains("\n+workers"), "{changed}");
        assert!(text(&Command::Config { changes: true }, "", &json!({"changes": []})).contains("no option"));
    }
}
