//! What programs and workers ask of the keeper, and what it answers. Arguments and results travel beside these as bytes.

use crate::{Millis, State, TaskId, TaskOptions};
use hostler_wire::TaskStats;
use serde::{Deserialize, Serialize};

/// A task that is to be accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewTask {
    /// Its id, chosen by who enqueues it.
    pub id: TaskId,
    /// The function's name.
    pub name: String,
    /// Its queue.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// Higher ones start first.
    #[serde(default)]
    pub priority: i32,
    /// Not before then.
    #[serde(default)]
    pub due: Option<Millis>,
    /// Not after then.
    #[serde(default)]
    pub expires: Option<Millis>,
    /// While a task of this name and key waits or runs, no second one is accepted; its client gets the first one's id.
    #[serde(default)]
    pub key: Option<String>,
    /// How it is run.
    #[serde(default)]
    pub options: TaskOptions,
}

fn default_queue() -> String {
    "default".into()
}

/// A task that the clock enqueues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CronEntry {
    /// Its name: one firing for each tick, whoever registers it how often.
    pub name: String,
    /// The cron expression.
    pub expression: String,
    /// The time zone, as in IANA's database.
    #[serde(default = "utc")]
    pub zone: String,
    /// The function's name.
    pub task: String,
    /// Its queue.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// Its priority.
    #[serde(default)]
    pub priority: i32,
    /// How it is run.
    #[serde(default)]
    pub options: TaskOptions,
}

fn utc() -> String {
    "UTC".into()
}

/// Which tasks are meant: those of which all of this is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// In one of these states; none is any.
    pub states: Vec<State>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this name.
    pub name: Option<String>,
}

/// What is asked. `n` comes back in the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Ask {
    /// The first of a worker: which lock it holds, what it consumes, knows, and still runs (if it had been connected before).
    Work {
        /// The byte of the lock file that it holds.
        owner: i64,
        /// Its queues; none is all.
        #[serde(default)]
        queues: Vec<String>,
        /// The tasks that it knows.
        names: Vec<String>,
        /// What it runs by its own account, with the number of the attempt.
        #[serde(default)]
        running: Vec<(TaskId, u32)>,
        /// Its process.
        #[serde(default)]
        pid: Option<i32>,
        /// How long tasks may take that set no timeout, in milliseconds; 0 is for ever.
        #[serde(default)]
        timeout: u64,
    },
    /// What the worker takes from now on.
    Ready {
        /// How many tasks it runs at once.
        slots: u32,
        /// How many it takes beyond these, which are the next that it begins: those are short, so that none of them waits long.
        #[serde(default)]
        ahead: u32,
    },
    /// The worker takes nothing new.
    Leave,
    /// A task has its result; in the bytes.
    Done {
        /// Which.
        id: TaskId,
        /// Of which attempt.
        attempt: u32,
    },
    /// A task has failed.
    Failed {
        /// Which.
        id: TaskId,
        /// Of which attempt.
        attempt: u32,
        /// What happened, for its clients: a JSON document of the engine's users.
        error: String,
        /// Whether it may be tried again, if attempts are left.
        #[serde(default)]
        again: bool,
        /// The pause in milliseconds that the task asks for, instead of its back-off.
        #[serde(default)]
        after: Option<u64>,
    },
    /// A task was cancelled while it ran.
    Cancelled {
        /// Which.
        id: TaskId,
        /// Of which attempt.
        attempt: u32,
    },
    /// A task that was not started, or that the stop cut: back into the queue, and not counted.
    GiveBack {
        /// Which.
        id: TaskId,
        /// Of which attempt.
        attempt: u32,
    },
    /// How far a task is.
    Progress {
        /// Which.
        id: TaskId,
        /// From 0 to 1.
        fraction: f64,
        /// In words.
        #[serde(default)]
        text: String,
    },
    /// What an application enqueues by the clock: all of it; what it had registered before and is missing here is removed.
    Crons {
        /// Comes back in the answer.
        n: u64,
        /// Which application.
        source: String,
        /// The entries.
        entries: Vec<CronEntry>,
    },
    /// Accept a task; the arguments are in the bytes.
    Enqueue {
        /// Comes back in the answer.
        n: u64,
        /// The task.
        task: NewTask,
    },
    /// How a task stands; with `wait` when it is finished, which is when the result comes.
    Result {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        id: TaskId,
        /// Whether to answer only when it is finished.
        #[serde(default)]
        wait: bool,
    },
    /// Not to wait for this answer any longer.
    Forget {
        /// Of which question.
        n: u64,
    },
    /// Cancel a task: one that waits at once, one that runs by its worker.
    Cancel {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        id: TaskId,
    },
    /// All that is known of a task; its arguments and its result are in the bytes.
    Show {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        id: TaskId,
    },
    /// Tasks, in the order in which they were enqueued.
    List {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        #[serde(default)]
        filter: Filter,
        /// Those that were enqueued last come first.
        #[serde(default)]
        newest: bool,
        /// From the one on that follows this one.
        #[serde(default)]
        after: Option<TaskId>,
        /// At most so many.
        limit: u32,
    },
    /// Try failed tasks again: these, or else all of the filter.
    Retry {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        #[serde(default)]
        ids: Vec<TaskId>,
        /// Which, if none is named.
        #[serde(default)]
        filter: Filter,
    },
    /// Cancel those that wait, and remove those that are finished.
    Purge {
        /// Comes back in the answer.
        n: u64,
        /// Which.
        filter: Filter,
    },
    /// How the queues stand.
    Stats {
        /// Comes back in the answer.
        n: u64,
    },
}

/// A task as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its id.
    pub id: TaskId,
    /// The function's name.
    pub name: String,
    /// Its queue.
    pub queue: String,
    /// Where it is.
    pub state: State,
    /// Its priority.
    pub priority: i32,
    /// How many times it was started.
    pub attempts: u32,
    /// How many of these ended with its worker.
    pub losses: u32,
    /// When it was accepted.
    pub enqueued: Millis,
    /// When it is due.
    pub due: Millis,
    /// When it was started last.
    pub started: Option<Millis>,
    /// When it was finished.
    pub finished: Option<Millis>,
    /// How far it is, and in words.
    pub progress: Option<(f64, String)>,
    /// The last error.
    pub error: Option<String>,
    /// How arguments and result are written.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub coding: String,
    /// The process that runs it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
}

/// What else is known of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Of its name there is one with this key at a time.
    pub key: Option<String>,
    /// Not to be started after then.
    pub expires: Option<Millis>,
    /// When it is removed.
    pub keep_until: Option<Millis>,
    /// How it is run.
    pub options: TaskOptions,
    /// How many of the bytes are its arguments; the rest is its result.
    pub arguments: usize,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Nobody knows this task (any more).
    NoSuchTask,
    /// The disk is full.
    Full,
    /// The queue has as many tasks as it may.
    TooMany,
    /// The store failed.
    Store,
    /// The request makes no sense.
    Malformed,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    /// A task for a worker; the arguments are in the bytes.
    Task {
        /// Which.
        id: TaskId,
        /// The function's name.
        name: String,
        /// The number of this attempt, which begins with 1.
        attempt: u32,
        /// Its queue.
        queue: String,
        /// When it was accepted.
        enqueued: Millis,
        /// How it is run.
        options: TaskOptions,
    },
    /// For a worker: end this task.
    Cancel {
        /// Which.
        id: TaskId,
    },
    /// For a worker: what it says of this attempt does not count any more.
    Lost {
        /// Which.
        id: TaskId,
    },
    /// For a worker: what it has reported of a task is committed, or does not count.
    Noted {
        /// Which.
        id: TaskId,
        /// Of which attempt.
        attempt: u32,
    },
    /// The task is on disk.
    Accepted {
        /// The question's.
        n: u64,
        /// Its id: another one's, if there was one with its key.
        id: TaskId,
        /// Whether it is new.
        new: bool,
    },
    /// How a task stands; the result is in the bytes.
    Result {
        /// The question's.
        n: u64,
        /// The task.
        task: Shown,
    },
    /// Whether a task was cancelled, or is about to be.
    Cancelled {
        /// The question's.
        n: u64,
        /// Where it is now.
        state: State,
    },
    /// Tasks.
    Tasks {
        /// The question's.
        n: u64,
        /// These.
        tasks: Vec<Shown>,
        /// There are more.
        #[serde(default)]
        more: bool,
    },
    /// All that is known of a task; its arguments and its result are in the bytes.
    Details {
        /// The question's.
        n: u64,
        /// The task.
        task: Shown,
        /// The rest.
        details: Details,
    },
    /// So many tasks were changed.
    Changed {
        /// The question's.
        n: u64,
        /// How many.
        count: u64,
    },
    /// How the queues stand.
    Stats {
        /// The question's.
        n: u64,
        /// All of it.
        stats: TaskStats,
    },
    /// It did not work.
    Refused {
        /// The question's; none if what was said could not be read.
        n: Option<u64>,
        /// Why, for programs.
        why: Refused,
        /// Why, for people.
        text: String,
    },
}
