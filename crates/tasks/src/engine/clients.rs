//! What programs ask.

use super::{Engine, Outgoing, Result, jobs::Job, tallies::Event, waits};
use crate::{Answer, Ask, ClientId, Frame, Millis, NewTask, Refused, State, TaskId, store::Inserted};

impl Engine {
    pub(super) fn question(&mut self, now: Millis, client: ClientId, frame: &Frame<Ask>) -> Result<()> {
        match &frame.message {
            Ask::Enqueue { n, task } => self.enqueue(now, client, *n, task, &frame.body),
            Ask::Result { n, id, wait } => self.ask_result(client, *n, *id, *wait),
            Ask::Forget { n } => {
                self.forget(client, *n);
                Ok(())
            }
            Ask::Cancel { n, id } => self.cancel(now, client, *n, *id),
            Ask::Crons { n, source, entries } => self.set_crons(now, client, *n, source, entries),
            Ask::Retry { n, ids, filter } => {
                let job = match ids.is_empty() {
                    true => Job::retry(client, *n, filter.clone()),
                    false => Job::retry_these(client, *n, ids),
                };
                self.live.jobs.push_back(job);
                Ok(())
            }
            Ask::Purge { n, filter } => {
                self.live.jobs.push_back(Job::purge(client, *n, filter.clone()));
                Ok(())
            }
            Ask::Stats { n } => self.stats(now, client, *n),
            Ask::Show { n, id } => self.show(client, *n, *id),
            Ask::List { n, filter, newest, after, limit } => {
                let after = after.map(|id| self.store.find(id)).transpose()?.flatten().map(|task| task.seq);
                let job = Job::list(client, *n, filter.clone(), (*newest, after, *limit));
                self.live.jobs.push_back(job);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn enqueue(
        &mut self,
        now: Millis,
        client: ClientId,
        n: u64,
        task: &NewTask,
        arguments: &[u8],
    ) -> Result<()> {
        let inserted = self.store.insert(task, arguments, now)?;
        let (id, new) = match inserted {
            Inserted::New(state) => {
                self.enqueued(task, state);
                (task.id, true)
            }
            Inserted::There(id) => (id, false),
        };
        self.send(client, Answer::Accepted { n, id, new }, Vec::new());
        Ok(())
    }

    /// A task was added to the file.
    pub(super) fn enqueued(&mut self, task: &NewTask, state: State) {
        self.live.counts.add(&task.queue, state);
        self.may_expire(task.expires);
        self.tallies.happens(Event::Enqueued, &task.queue, &task.name);
    }

    fn ask_result(&mut self, client: ClientId, n: u64, id: TaskId, wait: bool) -> Result<()> {
        match self.store.find(id)? {
            Some(task) if wait && !task.state.is_final() => self.scratch.waits.push((id, client, n)),
            _ => {
                let answer = self.result(client, n, id);
                self.scratch.out.push(answer);
            }
        }
        Ok(())
    }

    /// How a task stands, and its result.
    pub(super) fn result(&self, to: ClientId, n: u64, id: TaskId) -> Outgoing {
        let (message, body) = match self.store.show(id) {
            Ok(Some((task, result))) => (Answer::Result { n, task }, result),
            Ok(None) => (no_such_task(n, id), Vec::new()),
            Err(error) => {
                let refused = Answer::Refused { n: Some(n), why: Refused::Store, text: error.to_string() };
                (refused, Vec::new())
            }
        };
        Outgoing { to, frame: Frame { message, body } }
    }

    fn forget(&mut self, client: ClientId, n: u64) {
        self.forget_waiters(|waiter| *waiter == (client, n));
    }

    pub(super) fn forget_waiter(&mut self, client: ClientId) {
        self.live.jobs.retain(|job| job.changes() || job.client() != client);
        self.forget_waiters(|(waiter, _)| *waiter == client);
    }

    fn forget_waiters(&mut self, is_gone: impl Fn(&(ClientId, u64)) -> bool) {
        self.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !is_gone(waiter));
            !waiters.is_empty()
        });
    }

    fn cancel(&mut self, now: Millis, client: ClientId, n: u64, id: TaskId) -> Result<()> {
        let Some(task) = self.store.find(id)? else {
            self.send(client, no_such_task(n, id), Vec::new());
            return Ok(());
        };
        let mut state = task.state;
        if waits(state) {
            self.cancel_now(now, &task)?;
            state = State::Cancelled;
        } else if state == State::Running {
            // Whatever becomes of its worker, it does not run again.
            self.store.set_cancelled(task.seq)?;
            let worker = self.live.workers.iter().find(|(_, worker)| Some(worker.owner) == task.owner);
            if let Some((worker, _)) = worker {
                self.send(*worker, Answer::Cancel { id }, Vec::new());
            }
        }
        self.send(client, Answer::Cancelled { n, state }, Vec::new());
        Ok(())
    }
}

pub(super) fn no_such_task(n: u64, id: TaskId) -> Answer {
    let text = format!("there is no task {id}: it was never accepted, or has been removed since");
    Answer::Refused { n: Some(n), why: Refused::NoSuchTask, text }
}
