//! A status as `top` shows it: what is read of the JSON (docs/STATUS.md), and what follows from two readings. Pure.

use hostler_wire::TaskStats;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

/// What is read of a status. What a server does not say is nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Reading {
    pub(crate) time: f64,
    pub(crate) server: Server,
    pub(crate) traffic: Traffic,
    pub(crate) workers: Vec<Worker>,
    pub(crate) task_workers: Vec<Worker>,
    pub(crate) companions: Vec<Companion>,
    /// What the keeper of the task queue says, if it was asked and has answered.
    #[serde(skip)]
    pub(crate) tasks: Option<TaskStats>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) version: String,
    pub(crate) pid: i32,
    pub(crate) state: String,
    pub(crate) not_ready_because: Option<String>,
    pub(crate) generation: u32,
    pub(crate) uptime_seconds: f64,
    pub(crate) listeners: Vec<String>,
    pub(crate) task_queue: Option<PathBuf>,
    pub(crate) workers_wanted: u32,
    pub(crate) workers_serving: u32,
    pub(crate) memory_bytes: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) requests_by_status: BTreeMap<String, u64>,
    pub(crate) requests_lost: u64,
    pub(crate) in_flight: u64,
    pub(crate) connections: u64,
    pub(crate) websockets: u64,
    pub(crate) bytes_written: u64,
    pub(crate) latency: Times,
    pub(crate) queue: Times,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Times {
    pub(crate) buckets: Vec<(Option<f64>, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Worker {
    pub(crate) slot: u32,
    pub(crate) pid: Option<i32>,
    pub(crate) state: String,
    pub(crate) generation: u32,
    pub(crate) leaving: Option<String>,
    pub(crate) age_seconds: f64,
    pub(crate) blocked_seconds: f64,
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    pub(crate) connections: u64,
    pub(crate) websockets: u64,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) handling: Vec<Activity>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Activity {
    pub(crate) kind: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) age_seconds: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Companion {
    pub(crate) name: String,
    pub(crate) replica: u16,
    pub(crate) state: String,
    pub(crate) pid: Option<i32>,
    pub(crate) age_seconds: Option<f64>,
    pub(crate) restarts: u64,
    pub(crate) failures: u32,
    pub(crate) next_attempt_seconds: Option<f64>,
    pub(crate) last_exit: Option<LastExit>,
    pub(crate) not_ready_because: Option<String>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct LastExit {
    pub(crate) status: String,
    pub(crate) seconds_ago: f64,
}

impl Reading {
    /// The worker of a process.
    fn of_process(&self, pid: Option<i32>) -> Option<&Worker> {
        let mut workers = self.workers.iter().chain(&self.task_workers);
        workers.find(|worker| worker.pid == pid && pid.is_some())
    }
}

/// How often something happened in a second between two readings; nothing if the server is another one.
pub(crate) fn rate(before: &Reading, now: &Reading, count: impl Fn(&Traffic) -> u64) -> f64 {
    let seconds = now.time - before.time;
    if seconds <= 0.0 || before.server.pid != now.server.pid {
        return 0.0;
    }
    per_second(count(&now.traffic).saturating_sub(count(&before.traffic)), seconds)
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// The requests of a worker in a second, and how busy its processor was, in percent.
pub(crate) fn pace(before: &Reading, now: &Reading, worker: &Worker) -> (f64, Option<f64>) {
    let seconds = now.time - before.time;
    let Some(old) = before.of_process(worker.pid).filter(|_| seconds > 0.0) else { return (0.0, None) };
    let cpu =
        worker.cpu_seconds.zip(old.cpu_seconds).map(|(now, old)| (now - old).max(0.0) / seconds * 100.0);
    (per_second(worker.requests.saturating_sub(old.requests), seconds), cpu)
}

/// A percentile of the times that were measured between two readings: the upper bound of its bucket.
pub(crate) fn percentile(before: &Times, now: &Times, part: f64) -> Option<f64> {
    let key = |bound: &Option<f64>| bound.map(f64::to_bits);
    let old: BTreeMap<_, u64> = before.buckets.iter().map(|(bound, count)| (key(bound), *count)).collect();
    let fresh = now.buckets.iter().map(|(bound, count)| {
        (bound.unwrap_or(f64::INFINITY), count.saturating_sub(old.get(&key(bound)).copied().unwrap_or(0)))
    });
    let mut fresh: Vec<(f64, u64)> = fresh.filter(|(_, count)| *count > 0).collect();
    fresh.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: u64 = fresh.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    fresh.into_iter().find_map(|(bound, count)| {
        seen += count;
        (per_second(seen, 1.0) >= per_second(all, 1.0) * part).then_some(bound)
    })
}

#[cfg(test)]
mod tests {
    use super::{Reading, Times, pace, percentile, rate};
    use serde_json::json;

    fn reading(time: f64, requests: u64) -> Reading {
        let worker = json!({"slot": 1, "pid": 7, "requests": requests, "cpu_seconds": time / 2.0});
        let all = json!({"time": time, "server": {"pid": 5}, "traffic": {"requests": requests}, "workers": [worker]});
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn rates_are_of_the_time_between_two_readings_of_one_server() {
        let (before, now) = (reading(10.0, 100), reading(12.0, 300));
        assert!((rate(&before, &now, |traffic| traffic.requests) - 100.0).abs() < 0.001);
        let (requests, cpu) = pace(&before, &now, &now.workers[0]);
        assert!((requests - 100.0).abs() < 0.001 && (cpu.unwrap() - 50.0).abs() < 0.001);
        let mut other = now.clone();
        other.server.pid = 6;
        other.workers[0].pid = Some(8);
        assert!(rate(&before, &other, |traffic| traffic.requests) == 0.0);
        assert_eq!(pace(&before, &other, &other.workers[0]).1, None);
        assert!(rate(&now, &now, |traffic| traffic.requests) == 0.0);
    }

    #[test]
    fn percentiles_are_of_what_is_new() {
        let times = |buckets: &[(Option<f64>, u64)]| Times { buckets: buckets.to_vec() };
        let before = times(&[(Some(0.001), 1000), (None, 1)]);
        let now = times(&[(Some(0.001), 1000), (Some(0.01), 90), (Some(0.1), 9), (None, 2)]);
        assert_eq!(percentile(&before, &now, 0.5), Some(0.01));
        assert_eq!(percentile(&before, &now, 0.99), Some(0.1));
        assert_eq!(percentile(&before, &now, 1.0), Some(f64::INFINITY));
        assert_eq!(percentile(&now, &now, 0.5), None);
    }
}
