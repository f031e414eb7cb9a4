//! How many tasks of which queue are in which state.

use crate::{Filter, State};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts(BTreeMap<String, [u64; State::ALL.len()]>);

impl Counts {
    pub(super) fn of(counted: Vec<(String, State, u64)>) -> Self {
        let mut counts = Self::default();
        for (queue, state, count) in counted {
            counts.of_queue(&queue)[state as usize] = count;
        }
        counts
    }

    fn of_queue(&mut self, queue: &str) -> &mut [u64; State::ALL.len()] {
        if !self.0.contains_key(queue) {
            self.0.insert(queue.to_owned(), Default::default());
        }
        self.0.get_mut(queue).expect("inserted above")
    }

    pub(super) fn add(&mut self, queue: &str, state: State) {
        self.of_queue(queue)[state as usize] += 1;
    }

    pub(super) fn remove(&mut self, queue: &str, state: State) {
        let counts = self.of_queue(queue);
        counts[state as usize] = counts[state as usize].saturating_sub(1);
        if counts.iter().all(|count| *count == 0) {
            self.0.remove(queue);
        }
    }

    pub(super) fn change(&mut self, queue: &str, from: State, to: State) {
        self.add(queue, to);
        self.remove(queue, from);
    }

    /// Queues with tasks that could start.
    pub(super) fn ready_queues(&self) -> impl Iterator<Item = &str> {
        self.ready().map(|(queue, _)| queue)
    }

    /// The same, and how many tasks these are.
    pub(super) fn ready(&self) -> impl Iterator<Item = (&str, u64)> {
        let ready = self.0.iter().map(|(queue, counts)| (queue.as_str(), counts[State::Ready as usize]));
        ready.filter(|(_, count)| *count > 0)
    }

    /// How many tasks a filter means, as far as that is counted: names are not.
    pub(super) fn of_filter(&self, filter: &Filter) -> Option<usize> {
        if filter.name.is_some() {
            return None;
        }
        let meant = |state: &State| filter.states.is_empty() || filter.states.contains(state);
        let queues = self.0.iter().filter(|(queue, _)| filter.queue.as_ref().is_none_or(|it| it == *queue));
        let sum = |counts: &[u64; State::ALL.len()]| {
            State::ALL
                .iter()
                .zip(counts)
                .filter(|(state, _)| meant(state))
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        usize::try_from(queues.map(|(_, counts)| sum(counts)).sum::<u64>()).ok()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (&str, BTreeMap<State, u64>)> {
        self.0.iter().map(|(queue, counts)| {
            let states = State::ALL.into_iter().map(|state| (state, counts[state as usize]));
            (queue.as_str(), states.filter(|(_, count)| *count > 0).collect())
        })
    }
}
