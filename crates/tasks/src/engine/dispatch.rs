//! Which worker gets which task.

use super::{
    Engine, Result,
    workers::{Given, Known, Worker},
};
use crate::{Answer, ClientId, Millis, State, store::Head};
use std::collections::{BTreeMap, VecDeque};

/// How many tasks of a queue are read at once.
const READ: u32 = 32;
/// How many tasks of a queue are looked through for one that idle workers know.
const MOST_SKIPPED: usize = 256;

/// The tasks at the front of the queues, as far as this turn has read them.
#[derive(Default)]
struct Fronts(BTreeMap<String, Front>);

#[derive(Default)]
struct Front {
    heads: VecDeque<Head>,
    /// The last one that was read.
    after: Option<(i32, i64)>,
    is_end: bool,
}

impl Engine {
    /// Gives tasks to workers that are free, as long as there are both.
    pub(super) fn dispatch(&mut self, now: Millis) -> Result<()> {
        let mut fronts = Fronts::default();
        for is_ahead in [false, true] {
            self.deal(now, is_ahead, &mut fronts)?;
        }
        Ok(())
    }

    /// Gives each worker that has room a task, in turn.
    fn deal(&mut self, now: Millis, is_ahead: bool, fronts: &mut Fronts) -> Result<()> {
        if self.live.counts.ready_queues().next().is_none() {
            return Ok(());
        }
        let has_room =
            |(client, worker): (&ClientId, &Worker)| (worker.room(is_ahead) > 0).then_some(*client);
        let (before, after): (Vec<_>, Vec<_>) =
            self.live.workers.iter().filter_map(has_room).partition(|client| Some(*client) <= self.live.last);
        let mut turns: VecDeque<ClientId> = after.into_iter().chain(before).collect();
        while let Some(client) = turns.pop_front() {
            if !self.give(now, client, fronts)? {
                continue;
            }
            self.live.last = Some(client);
            if self.live.workers[&client].room(is_ahead) > 0 {
                turns.push_back(client);
            }
        }
        Ok(())
    }

    /// Gives it one task; whether there was one.
    fn give(&mut self, now: Millis, client: ClientId, fronts: &mut Fronts) -> Result<bool> {
        let knows = std::sync::Arc::clone(&self.live.workers[&client].knows);
        while let Some(head) = self.pick(&knows, fronts)? {
            if head.expires.is_some_and(|expires| expires <= now) {
                // There are so many that the clock has not come to it.
            } else if let Some(at) = self.slot(now, &head) {
                self.store.set_slot(head.seq, at)?;
                self.live.counts.change(&head.queue, State::Ready, State::Scheduled);
            } else {
                self.start(now, client, head)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start(&mut self, now: Millis, client: ClientId, head: Head) -> Result<()> {
        let worker = self.live.workers.get_mut(&client).expect("it has room");
        let attempt = head.attempts + 1;
        worker.given.push(Given { id: head.id, begun: None });
        worker.begin(now);
        let arguments = self.store.claim(head.seq, worker.owner, now)?;
        self.live.counts.change(&head.queue, State::Ready, State::Running);
        self.tallies.started(&head.queue, &head.name, now - head.due);
        let Head { id, name, queue, enqueued, options, .. } = head;
        self.send(client, Answer::Task { id, name, attempt, queue, enqueued, options }, arguments);
        Ok(())
    }

    /// When it may start at the rate of its name, if that is later.
    fn slot(&mut self, now: Millis, head: &Head) -> Option<Millis> {
        let rate = head.options.rate.filter(|_| !head.has_slot)?;
        let slots = self.live.rates.entry(head.name.clone()).or_default();
        Some(slots.take(rate, now)).filter(|at| *at > now)
    }

    /// The first task that such a worker can run, of all queues.
    fn pick(&mut self, knows: &Known, fronts: &mut Fronts) -> Result<Option<Head>> {
        let queues: Vec<String> = self
            .live
            .counts
            .ready_queues()
            .filter(|queue| knows.consumes(queue))
            .map(str::to_owned)
            .collect();
        let mut best: Option<(String, usize, (i32, i64))> = None;
        for queue in queues {
            let Some(at) = self.first_known(&queue, knows, fronts)? else { continue };
            let head = &fronts.0[&queue].heads[at];
            let rank = (-head.priority, head.seq);
            if best.as_ref().is_none_or(|(_, _, other)| rank < *other) {
                best = Some((queue, at, rank));
            }
        }
        Ok(best.and_then(|(queue, at, _)| fronts.0.get_mut(&queue)?.heads.remove(at)))
    }

    /// Where the first task of a queue is that such a worker knows. Those that no worker knows are put aside.
    fn first_known(&mut self, queue: &str, knows: &Known, fronts: &mut Fronts) -> Result<Option<usize>> {
        let front = fronts.0.entry(queue.to_owned()).or_default();
        let mut at = 0;
        loop {
            if at == front.heads.len() && !front.read(queue, &self.store)? {
                return Ok(None);
            }
            let head = &front.heads[at];
            if knows.names.contains(&head.name) {
                return Ok(Some(at));
            }
            let mut others = self.live.workers.values();
            if others.any(|other| other.knows.consumes(queue) && other.knows.names.contains(&head.name)) {
                at += 1;
                if at >= MOST_SKIPPED {
                    return Ok(None);
                }
                continue;
            }
            let Some(head) = front.heads.remove(at) else { return Ok(None) };
            self.store.set_unknown(head.seq)?;
            self.live.counts.change(queue, State::Ready, State::Unknown);
            self.unknown.insert(head.name);
        }
    }
}

impl Front {
    /// Reads on; whether there was more.
    fn read(&mut self, queue: &str, store: &crate::Store) -> Result<bool> {
        if self.is_end {
            return Ok(false);
        }
        let more = store.heads(queue, self.after, READ)?;
        self.is_end = more.len() < READ as usize;
        if let Some(last) = more.last() {
            self.after = Some((last.priority, last.seq));
        }
        self.heads.extend(more);
        Ok(!self.heads.is_empty() && self.after.is_some())
    }
}
