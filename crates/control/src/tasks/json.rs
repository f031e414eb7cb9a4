//! Answers as JSON. Times are seconds, moments are seconds since 1970, as in docs/STATUS.md.

use hostler_tasks::{Details, Millis, Shown};
use hostler_wire::TaskStats;
use serde_json::{Value, json};

/// A document as a line.
pub(super) fn line(value: &Value) -> String {
    format!("{value}\n")
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
pub(super) fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

/// An error of a task: a document with type, message and traceback, unless another program has written it.
fn error(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(error @ Value::Object(_)) => error,
        _ => json!({"type": "Error", "message": text}),
    }
}

pub(super) fn task(task: &Shown) -> Value {
    let progress = task.progress.as_ref().map(|(fraction, text)| json!({"fraction": fraction, "text": text}));
    json!({
        "id": task.id, "name": task.name, "queue": task.queue, "state": task.state, "priority": task.priority,
        "attempts": task.attempts, "losses": task.losses, "pid": task.pid,
        "enqueued_at": seconds(task.enqueued), "due_at": seconds(task.due), "started_at": task.started.map(seconds),
        "finished_at": task.finished.map(seconds), "progress": progress, "error": task.error.as_deref().map(error),
    })
}

pub(super) fn tasks(tasks: &[Shown], more: bool) -> Value {
    json!({"tasks": tasks.iter().map(task).collect::<Vec<_>>(), "more": more})
}

/// Arguments and results that are not JSON have a length only.
pub(super) fn task_with_details(shown: &Shown, details: &Details, body: &[u8]) -> Value {
    let (arguments, result) = body.split_at(details.arguments.min(body.len()));
    let coding = if details.options.coding.is_empty() { "json" } else { &details.options.coding };
    let read = |bytes: &[u8]| match coding {
        "json" => serde_json::from_slice(bytes).unwrap_or_default(),
        _ => Value::Null,
    };
    let mut value = task(shown);
    let options = &details.options;
    let timeout = (options.timeout > 0).then(|| seconds(options.timeout.cast_signed()));
    let more = json!({
        "key": details.key, "expires_at": details.expires.map(seconds), "kept_until": details.keep_until.map(seconds),
        "retries": options.retries, "timeout_seconds": timeout,
        "coding": coding, "arguments": read(arguments), "arguments_bytes": arguments.len(), "result": read(result),
        "result_bytes": result.len(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

pub(super) fn queues(stats: &TaskStats) -> Value {
    let queues = stats
        .queues
        .iter()
        .map(|(name, it)| json!({"queue": name, "tasks": it.tasks, "oldest_wait_seconds": it.oldest_wait}));
    let tasks = stats.tasks.iter().map(|it| json!({"queue": it.queue, "name": it.name, "events": it.events}));
    json!({
        "queues": queues.collect::<Vec<_>>(), "tasks": tasks.collect::<Vec<_>>(), "workers_connected": stats.workers,
    })
}
