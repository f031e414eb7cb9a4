//! What the keeper of a task queue tells of it in numbers: an answer of its socket, which other processes of the server ask for without
//! knowing the rest of what is said there.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Where the keeper of the queue in this file listens. Links are followed: the same file has the same socket by whatever name.
#[must_use]
pub fn keeper_socket(queue: &Path) -> PathBuf {
    let file =
        queue.canonicalize().or_else(|_| std::path::absolute(queue)).unwrap_or_else(|_| queue.to_owned());
    let mut socket = OsString::from(file);
    socket.push(".sock");
    socket.into()
}

/// A queue, its tasks and its keeper in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStats {
    /// Queues with tasks, by name.
    pub queues: BTreeMap<String, QueueStats>,
    /// What has happened, by queue and name of the task.
    pub tasks: Vec<TaskTotals>,
    /// How many workers are connected.
    pub workers: u32,
    /// How long the keeper's turns took.
    pub turns: Times,
    /// How long it waited for the disk.
    pub syncs: Times,
}

/// A queue in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueStats {
    /// How many tasks are in which state; those of which there are none are missing.
    pub tasks: BTreeMap<String, u64>,
    /// For how many seconds the task has waited that has waited longest, of those that could start.
    pub oldest_wait: Option<f64>,
    /// How long tasks waited until they were started, since the keeper started.
    pub waits: Times,
}

/// What has happened to tasks of a name in a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskTotals {
    /// The queue.
    pub queue: String,
    /// The name.
    pub name: String,
    /// Events and their counts since the queue's file was made.
    pub events: BTreeMap<String, u64>,
    /// How long its attempts ran, since the keeper started.
    pub runs: Times,
}

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// How often it was measured.
    pub count: u64,
    /// All of it, in seconds.
    pub sum: f64,
    /// Upper bounds in seconds, and how many were above the bound before and not above this one.
    pub buckets: Vec<(f64, u64)>,
}

impl Times {
    /// Without any.
    #[must_use]
    pub fn new(bounds: &[f64]) -> Self {
        Self { count: 0, sum: 0.0, buckets: bounds.iter().map(|bound| (*bound, 0)).collect() }
    }

    /// Adds one.
    pub fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.sum += seconds;
        if let Some((_, count)) = self.buckets.iter_mut().find(|(bound, _)| seconds <= *bound) {
            *count += 1;
        }
    }

    /// Adds others, which have the same bounds.
    pub fn merge(&mut self, others: &Self) {
        self.count += others.count;
        self.sum += others.sum;
        for ((_, count), (_, more)) in self.buckets.iter_mut().zip(&others.buckets) {
            *count += more;
        }
    }
}

impl TaskStats {
    /// The question for them, as it travels.
    #[must_use]
    pub fn question() -> Vec<u8> {
        let text = json!({"do": "stats", "n": 1}).to_string();
        let length = u32::try_from(text.len()).unwrap_or_default();
        [&length.to_le_bytes()[..], &[0; 4], text.as_bytes()].concat()
    }

    /// How many bytes follow these eight, with which the answer begins.
    #[must_use]
    pub fn length([a, b, c, d, e, f, g, h]: [u8; 8]) -> usize {
        let whole = u64::from(u32::from_le_bytes([a, b, c, d])) + u64::from(u32::from_le_bytes([e, f, g, h]));
        usize::try_from(whole).unwrap_or(usize::MAX)
    }

    /// What they say; none if it is something else.
    #[must_use]
    pub fn answer(bytes: &[u8]) -> Option<Self> {
        let mut answer: Value = serde_json::from_slice(bytes).ok()?;
        serde_json::from_value(answer.get_mut("stats")?.take()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{TaskStats, Times};

    #[test]
    fn times_are_in_the_first_bucket_that_has_them() {
        let mut times = Times::new(&[0.1, 1.0]);
        [0.1, 0.5, 7.0].into_iter().for_each(|it| times.add(it));
        assert_eq!((times.count, &times.buckets[..]), (3, &[(0.1, 1), (1.0, 1)][..]));
        let mut more = times.clone();
        more.merge(&times);
        assert_eq!((more.count, &more.buckets[..]), (6, &[(0.1, 2), (1.0, 2)][..]));
    }

    #[test]
    fn the_question_has_its_length_and_what_is_no_answer_is_none() {
        let question = TaskStats::question();
        let length = TaskStats::length(question[..8].try_into().unwrap());
        assert_eq!(length, question.len() - 8);
        assert_eq!(TaskStats::answer(&question[8..]), None);
        assert_eq!(TaskStats::answer(br#"{"stats":{}}"#), Some(TaskStats::default()));
    }
}
