//! What has happened to tasks, by queue and name, and how long they waited and ran.
//!
//! Events are in the file as well, times since this process began. What a transaction brings counts once it is committed.

use crate::Millis;
use hostler_wire::{TaskTotals, Times};
use std::collections::BTreeMap;

/// How many names of tasks in queues are told apart. Others are counted together, so that names that are made up as they come cost no
/// memory without end.
const MOST: usize = 100;
/// The queue and name of those.
const OTHER: &str = "(other)";

/// Bounds of how long tasks wait and run, in seconds.
const SLOW: [f64; 11] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];
/// Bounds of what the keeper does.
pub(crate) const FAST: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Enqueued,
    Started,
    Succeeded,
    /// It is a dead letter.
    Failed,
    Cancelled,
    Expired,
    /// An attempt has failed, and another one follows.
    Retried,
    /// Its worker died.
    Lost,
}

impl Event {
    const ALL: [Self; 8] = [
        Self::Enqueued,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::Retried,
        Self::Lost,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Retried => "retried",
            Self::Lost => "lost",
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    queues: BTreeMap<String, Queue>,
    names: usize,
}

#[derive(Debug)]
struct Queue {
    names: BTreeMap<String, Tally>,
    waits: Times,
    fresh_waits: Vec<f64>,
}

#[derive(Debug)]
struct Tally {
    counts: [u64; Event::ALL.len()],
    runs: Times,
    is_fresh: bool,
    fresh_counts: [u64; Event::ALL.len()],
    fresh_runs: Vec<f64>,
}

impl Tallies {
    /// Goes on with what is in the file.
    pub(super) fn of(totals: BTreeMap<String, u64>) -> Self {
        let mut tallies = Self::default();
        for (key, count) in totals {
            let mut parts = key.splitn(3, '\n');
            let (Some(event), Some(queue), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if let Some(event) = Event::ALL.into_iter().find(|it| it.name() == event) {
                tallies.tally(queue, name).counts[event as usize] += count;
            }
        }
        tallies
    }

    pub(super) fn happens(&mut self, event: Event, queue: &str, name: &str) {
        let tally = self.tally(queue, name);
        tally.is_fresh = true;
        tally.fresh_counts[event as usize] += 1;
    }

    /// A task was started after it had waited for so long.
    pub(super) fn started(&mut self, queue: &str, name: &str, waited: Millis) {
        self.happens(Event::Started, queue, name);
        let queue = if self.queues.contains_key(queue) { queue } else { OTHER };
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.fresh_waits.push(seconds(waited));
        }
    }

    /// An attempt has ended after so long.
    pub(super) fn ran(&mut self, queue: &str, name: &str, ran: Millis) {
        let tally = self.tally(queue, name);
        tally.is_fresh = true;
        tally.fresh_runs.push(seconds(ran));
    }

    fn tally(&mut self, queue: &str, name: &str) -> &mut Tally {
        let is_known = self.queues.get(queue).is_some_and(|it| it.names.contains_key(name));
        if is_known {
            return self.known(queue, name);
        }
        let (queue, name) = if self.names < MOST { (queue, name) } else { (OTHER, OTHER) };
        if !self.queues.get(queue).is_some_and(|it| it.names.contains_key(name)) {
            self.names += 1;
        }
        self.known(queue, name)
    }

    fn known(&mut self, queue: &str, name: &str) -> &mut Tally {
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.to_owned(), Queue::default());
        }
        let names = &mut self.queues.get_mut(queue).expect("inserted above").names;
        if !names.contains_key(name) {
            names.insert(name.to_owned(), Tally::default());
        }
        names.get_mut(name).expect("inserted above")
    }

    /// What is to be added in the file.
    pub(super) fn fresh(&self) -> Vec<(String, u64)> {
        let mut fresh = Vec::new();
        for (queue, of_queue) in &self.queues {
            for (name, tally) in of_queue.names.iter().filter(|(_, tally)| tally.is_fresh) {
                let counts = Event::ALL.iter().zip(tally.fresh_counts).filter(|(_, count)| *count > 0);
                let key = |event: &Event| format!("{}\n{queue}\n{name}", event.name());
                fresh.extend(counts.map(|(event, count)| (key(event), count)));
            }
        }
        fresh
    }

    /// It is committed.
    pub(super) fn keep(&mut self) {
        self.settle(true);
    }

    /// It has not happened.
    pub(super) fn forget(&mut self) {
        self.settle(false);
    }

    fn settle(&mut self, counts: bool) {
        for queue in self.queues.values_mut() {
            for waited in queue.fresh_waits.drain(..).filter(|_| counts) {
                queue.waits.add(waited);
            }
            for tally in queue.names.values_mut().filter(|tally| tally.is_fresh) {
                tally.settle(counts);
            }
        }
    }

    /// What has happened, for those who look.
    pub(super) fn totals(&self) -> Vec<TaskTotals> {
        let all = self.queues.iter().flat_map(|(queue, of_queue)| {
            of_queue.names.iter().map(move |(name, tally)| (queue.clone(), name.clone(), tally))
        });
        all.map(|(queue, name, tally)| {
            let events = Event::ALL.iter().zip(tally.counts);
            let events = events.map(|(event, count)| (event.name().to_owned(), count)).collect();
            TaskTotals { queue, name, events, runs: tally.runs.clone() }
        })
        .collect()
    }

    /// How long tasks of this queue waited.
    pub(super) fn waits(&self, queue: &str) -> Option<&Times> {
        self.queues.get(queue).map(|it| &it.waits)
    }

    /// Queues in which something has happened.
    pub(super) fn queues(&self) -> impl Iterator<Item = &str> {
        self.queues.keys().map(String::as_str)
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { names: BTreeMap::new(), waits: Times::new(&SLOW), fresh_waits: Vec::new() }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: Default::default(),
            runs: Times::new(&SLOW),
            is_fresh: false,
            fresh_counts: Default::default(),
            fresh_runs: Vec::new(),
        }
    }
}

impl Tally {
    fn settle(&mut self, counts: bool) {
        self.is_fresh = false;
        let fresh = std::mem::take(&mut self.fresh_counts);
        if counts {
            self.counts.iter_mut().zip(fresh).for_each(|(all, more)| *all += more);
        }
        for ran in self.fresh_runs.drain(..).filter(|_| counts) {
            self.runs.add(ran);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of years fit")]
fn seconds(millis: Millis) -> f64 {
    millis.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::{Event, MOST, OTHER, Tallies};

    #[test]
    fn names_without_end_are_counted_together_and_nothing_counts_before_it_is_committed() {
        let mut tallies = Tallies::default();
        for number in 0..MOST + 50 {
            tallies.happens(Event::Enqueued, "q", &number.to_string());
        }
        assert!(tallies.totals().iter().all(|it| it.events["enqueued"] == 0));
        tallies.keep();
        tallies.happens(Event::Lost, "q", "1");
        tallies.forget();
        let totals = tallies.totals();
        assert_eq!(totals.len(), MOST + 1);
        assert_eq!(totals.iter().map(|it| it.events["enqueued"]).sum::<u64>(), 150);
        let other = totals.iter().find(|it| it.name == OTHER).unwrap();
        assert_eq!((other.events["enqueued"], other.queue.as_str()), (50, OTHER));
        assert!(totals.iter().all(|it| it.events["lost"] == 0));
    }
}
