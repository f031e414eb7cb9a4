//! What is done with what is asked: in turns, each a transaction.
//!
//! Files: `workers` what workers report, `clients` what programs ask, `dispatch` who gets which task, `clock` what happens by itself, `crons` schedules,
//! `jobs` what takes many turns, `counts` and `tallies` what is counted, `stats` how that is told, `load` what waits for workers.

mod clients;
mod clock;
mod counts;
mod crons;
mod dispatch;
mod jobs;
mod load;
mod stats;
mod tallies;
#[cfg(test)]
mod tests;
mod workers;

use crate::{Answer, Ask, Frame, Millis, Refused, State, Store, StoreError, TaskId, rate::Slots};
use counts::Counts;
use crons::Cron;
use hostler_wire::Times;
use jobs::Job;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};
pub(crate) use tallies::FAST;
use tallies::Tallies;
use workers::Worker;

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// What has come.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
pub enum Incoming {
    /// A message.
    Asked(ClientId, Frame<Ask>),
    /// A connection has ended.
    Gone(ClientId),
    /// The same, as the process has exited that had it.
    Exited(ClientId),
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// To whom.
    pub to: ClientId,
    /// What.
    pub frame: Frame<Answer>,
}

/// What a turn has brought.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be sent at once, in this order: workers begin what the disk does not have yet, as nobody was told that it is accepted.
    pub out: Vec<Outgoing>,
    /// Why the store could not do all of it; it is tried again, or refused.
    pub failed: Option<StoreError>,
}

/// After how long what a worker has reported, and the store could not take, is tried again.
const AGAIN: Millis = 1000;
/// How long what was committed may be on its way to the disk.
const SYNC_AFTER: Millis = 100;

type Result<T> = std::result::Result<T, StoreError>;
/// Whether this byte of the lock file is locked: by a worker that lives.
type IsAlive = Box<dyn Fn(i64) -> bool + Send>;

/// The queue.
pub struct Engine {
    store: Store,
    is_alive: IsAlive,
    live: Live,
    /// Who waits for which task to be finished.
    waiters: HashMap<TaskId, Vec<(ClientId, u64)>>,
    /// What workers have reported, and the store could not take.
    deferred: Vec<Incoming>,
    /// When to try that again.
    deferred_until: Millis,
    /// When all has to be on disk.
    sync_at: Option<Millis>,
    tallies: Tallies,
    /// How long turns took.
    turns: Times,
    /// What may be said when all is on disk.
    promises: Vec<Outgoing>,
    random: u64,
    crons: Vec<Cron>,
    /// Schedules do not fire before then.
    quiet_until: Option<Millis>,
    /// Names of tasks that wait for a worker that knows them.
    unknown: BTreeSet<String>,
    /// What the workers that came last can run: what they leave aside, more of them would, too.
    known_last: Option<std::sync::Arc<workers::Known>>,
    /// How long tasks may take that set no timeout, as the workers say; 0 is for ever.
    timeout: u64,
    scratch: Scratch,
}

/// What is in memory beside the file, and goes back if a transaction does.
#[derive(Clone, Default)]
struct Live {
    workers: BTreeMap<ClientId, Worker>,
    /// Who was given a task last: the others are first.
    last: Option<ClientId>,
    counts: Counts,
    rates: HashMap<String, Slots>,
    /// Owners of running tasks that live, and are not connected; with what they have not begun.
    orphans: BTreeMap<i64, BTreeSet<TaskId>>,
    jobs: VecDeque<Job>,
    /// When the next task is too old to be started; or before that.
    next_expiry: Option<Millis>,
    /// The time of the last turn.
    last_turn: Option<Millis>,
}

/// What one turn collects.
#[derive(Default)]
struct Scratch {
    out: Vec<Outgoing>,
    finished: Vec<TaskId>,
    waits: Vec<(TaskId, ClientId, u64)>,
    /// A schedule was changed: read them again if the transaction fails.
    crons_changed: bool,
}

impl Engine {
    /// Goes on with what is in the file. `is_alive` says whether a process lives that holds this byte of the lock file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(
        store: Store,
        random: u64,
        is_alive: impl Fn(i64) -> bool + Send + 'static,
    ) -> std::result::Result<Self, StoreError> {
        let mut engine = Self {
            store,
            is_alive: Box::new(is_alive),
            live: Live::default(),
            waiters: HashMap::new(),
            deferred: Vec::new(),
            deferred_until: 0,
            sync_at: None,
            tallies: Tallies::default(),
            turns: Times::new(&FAST),
            promises: Vec::new(),
            random,
            crons: Vec::new(),
            quiet_until: None,
            unknown: BTreeSet::new(),
            known_last: None,
            timeout: 0,
            scratch: Scratch::default(),
        };
        engine.recover()?;
        Ok(engine)
    }

    /// Reads what is in memory from the file.
    fn recover(&mut self) -> Result<()> {
        self.live.counts = Counts::of(self.store.counts()?);
        self.live.orphans = self.store.owners()?.into_iter().map(|owner| (owner, BTreeSet::new())).collect();
        self.unknown = self.store.unknown_names()?.into_iter().collect();
        self.tallies = Tallies::of(self.store.totals()?);
        self.live.next_expiry = self.store.next_expiry()?;
        self.read_crons()
    }

    /// Does what has come, and what is due. Everything that is sent is committed. [`Engine::settle`] has the rest.
    pub fn turn(&mut self, now: Millis, mut incoming: Vec<Incoming>) -> Turn {
        let began = Instant::now();
        if !self.deferred.is_empty() && is_past(self.deferred_until, now) {
            let deferred = std::mem::take(&mut self.deferred);
            incoming.splice(0..0, deferred);
        }
        let mut turn = Turn::default();
        match self.attempt(now, |it| it.take(now, &incoming)) {
            Ok(out) => turn.out = out,
            // It was waited for already.
            Err(error @ StoreError::Locked) => {
                incoming.into_iter().for_each(|one| self.put_off(now, one, &error, &mut turn));
                turn.failed = Some(error);
            }
            // The fault may be one of them: an argument for which there is no room.
            Err(_) => self.one_by_one(now, incoming, &mut turn),
        }
        if !matches!(turn.failed, Some(StoreError::Locked)) {
            self.attempt_job(now, &mut turn);
        }
        self.turns.add(began.elapsed().as_secs_f64());
        turn
    }

    /// Has what was accepted reach the disk, and then says so; or why it could not.
    pub fn settle(&mut self, now: Millis) -> (Vec<Outgoing>, Option<StoreError>) {
        let promises = std::mem::take(&mut self.promises);
        if promises.is_empty() {
            return (promises, None);
        }
        match self.sync(now) {
            Ok(()) => (promises, None),
            Err(error) => {
                (promises.into_iter().map(|promise| broken(promise, &error)).collect(), Some(error))
            }
        }
    }

    fn sync(&mut self, now: Millis) -> Result<()> {
        let synced = if self.store.is_unsynced() { self.store.sync() } else { Ok(()) };
        self.sync_at = synced.is_err().then_some(now + AGAIN);
        synced
    }

    fn one_by_one(&mut self, now: Millis, incoming: Vec<Incoming>, turn: &mut Turn) {
        for one in incoming {
            match self.attempt(now, |it| it.take(now, std::slice::from_ref(&one))) {
                Ok(out) => turn.out.extend(out),
                Err(error) => {
                    self.put_off(now, one, &error, turn);
                    turn.failed = Some(error);
                }
            }
        }
        if turn.failed.is_none() {
            match self.attempt(now, |it| it.take(now, &[])) {
                Ok(out) => turn.out.extend(out),
                Err(error) => turn.failed = Some(error),
            }
        }
    }

    /// The store cannot do it: what is asked is refused, and what is reported done later.
    fn put_off(&mut self, now: Millis, one: Incoming, error: &StoreError, turn: &mut Turn) {
        match &one {
            Incoming::Asked(client, frame) if frame.message.number().is_some() => {
                turn.out.push(refused(*client, frame.message.number(), error));
            }
            _ => {
                self.deferred.push(one);
                self.deferred_until = now + AGAIN;
            }
        }
    }

    /// A step of a job, apart from what others ask: if it fails, the job ends and they go on.
    fn attempt_job(&mut self, now: Millis, turn: &mut Turn) {
        let Some((client, n)) = self.live.jobs.front().map(Job::question) else { return };
        match self.attempt(now, |it| it.work_on_jobs(now)) {
            Ok(out) => turn.out.extend(out),
            Err(error) => {
                self.live.jobs.pop_front();
                turn.out.push(refused(client, Some(n), &error));
            }
        }
    }

    /// One transaction: all of it, or nothing.
    fn attempt(&mut self, now: Millis, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Vec<Outgoing>> {
        let (before, random) = (self.live.clone(), self.random);
        match self.transaction(now, work) {
            Ok(()) => Ok(self.conclude(now)),
            Err(error) => {
                self.store.roll_back();
                self.live = before;
                self.random = random;
                self.tallies.forget();
                let scratch = std::mem::take(&mut self.scratch);
                if scratch.crons_changed {
                    let _ = self.read_crons();
                }
                Err(error)
            }
        }
    }

    fn transaction(&mut self, now: Millis, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.store.begin()?;
        work(self)?;
        self.dispatch(now)?;
        for (event, count) in self.tallies.fresh() {
            self.store.add_to_total(&event, count)?;
        }
        self.store.commit()
    }

    /// What has come, and what is due.
    fn take(&mut self, now: Millis, incoming: &[Incoming]) -> Result<()> {
        for one in incoming {
            match one {
                Incoming::Asked(client, frame) => self.asked(now, *client, frame)?,
                Incoming::Gone(client) => self.gone(now, *client, false)?,
                Incoming::Exited(client) => self.gone(now, *client, true)?,
            }
        }
        self.tick(now)
    }

    /// The transaction is committed: what it has found can be told.
    fn conclude(&mut self, now: Millis) -> Vec<Outgoing> {
        self.tallies.keep();
        let Scratch { mut out, finished, waits, .. } = std::mem::take(&mut self.scratch);
        for (id, client, n) in waits {
            self.waiters.entry(id).or_default().push((client, n));
        }
        for id in finished {
            for (client, n) in self.waiters.remove(&id).unwrap_or_default() {
                out.push(self.result(client, n, id));
            }
        }
        if self.store.is_unsynced() && self.sync_at.is_none() {
            self.sync_at = Some(now + SYNC_AFTER);
        }
        if self.sync_at.is_some_and(|at| is_past(at, now)) {
            // What fails is tried again.
            let _ = self.sync(now);
        }
        let (promises, out) = out.into_iter().partition(|it| it.frame.message.is_promise());
        self.promises.extend::<Vec<_>>(promises);
        out
    }

    fn send(&mut self, to: ClientId, message: Answer, body: Vec<u8>) {
        self.scratch.out.push(Outgoing { to, frame: Frame { message, body } });
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hostler_sys::random::mix(self.random)
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let fraction = (self.random() >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}

impl Answer {
    /// Whether it says that something is on disk.
    fn is_promise(&self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Cancelled { .. } | Self::Changed { .. })
    }
}

/// Whether a time that was a moment ahead is over: also when the clock was set back meanwhile.
fn is_past(at: Millis, now: Millis) -> bool {
    at <= now || at > now + AGAIN
}

/// What is said in place of a promise.
fn broken(promise: Outgoing, error: &StoreError) -> Outgoing {
    let n = match promise.frame.message {
        Answer::Accepted { n, .. } | Answer::Cancelled { n, .. } | Answer::Changed { n, .. } => Some(n),
        _ => None,
    };
    refused(promise.to, n, error)
}

impl Ask {
    /// The question's number, if it is one.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Enqueue { n, .. }
            | Self::Result { n, .. }
            | Self::Show { n, .. }
            | Self::Cancel { n, .. }
            | Self::List { n, .. }
            | Self::Retry { n, .. }
            | Self::Purge { n, .. }
            | Self::Crons { n, .. }
            | Self::Stats { n } => Some(*n),
            _ => None,
        }
    }
}

fn refused(to: ClientId, n: Option<u64>, error: &StoreError) -> Outgoing {
    let why = match error {
        StoreError::Full => Refused::Full,
        _ => Refused::Store,
    };
    let message = Answer::Refused { n, why, text: error.to_string() };
    Outgoing { to, frame: Frame { message, body: Vec::new() } }
}

/// What a task that was removed had been.
fn error_text(kind: &str, message: &str) -> String {
    serde_json::json!({ "type": kind, "message": message }).to_string()
}

/// Whether a state is one in which a task waits.
fn waits(state: State) -> bool {
    matches!(state, State::Ready | State::Scheduled | State::Unknown)
}

impl Engine {
    /// Writes all that is in the file to another one: the file itself was removed. Nothing more is to be done with this one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn copy(&self, to: &std::path::Path) -> Result<()> {
        self.store.copy(to)
    }

    /// Has everything reach the disk: nothing more is to come.
    pub fn close(mut self) {
        if self.store.is_unsynced() {
            let _ = self.store.sync();
        }
    }
}
