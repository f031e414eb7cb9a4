//! Metrics of companions.

use super::collect::{Kind, Metrics, whole};
use crate::respond::Observer;
use hostler_status::{Companion, Seen};

/// A number of a companion, if it is known.
type Value = fn(&Companion) -> Option<f64>;

const METRICS: [(Kind, &str, &str, Value); 6] = [
    (Kind::Gauge, "up", "1 if the companion is ready, or has done what it was to do.", |it| {
        Some(u8::from(matches!(it.state, "ready" | "finished")).into())
    }),
    (Kind::Counter, "restarts", "How often it was started again.", |it| Some(whole(it.restarts))),
    (
        Kind::Counter,
        "crashes",
        "How often it ended, or could not be started, without having been told to.",
        |it| Some(whole(it.crashes)),
    ),
    (Kind::Gauge, "age_seconds", "How long ago it was started.", |it| it.age_seconds),
    (
        Kind::Gauge,
        "memory_bytes",
        "Memory of it and of the processes that it has started: the proportional share (PSS), or the resident set.",
        |it| it.usage.memory_bytes.map(whole),
    ),
    (Kind::Counter, "cpu_seconds", "Processor time of it and of the processes that it has started.", |it| {
        it.usage.cpu_seconds
    }),
];

pub(super) fn write(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen) {
    let companions = observer.companions(seen);
    if companions.is_empty() {
        return;
    }
    for (kind, name, help, value) in METRICS {
        metrics.metric(kind, &format!("hostler_companion_{name}"), help);
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        for it in &companions {
            if let Some(value) = value(it) {
                metrics.sample(
                    suffix,
                    &[("companion", &it.name), ("replica", &it.replica.to_string())],
                    value,
                );
            }
        }
    }
}
