//! What is shown. Field names are those of the JSON.

use crate::{Companion, TaskQueue, Usage};
use serde::Serialize;
use std::collections::BTreeMap;

/// A server and its workers at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// When it was read, in seconds since 1970.
    pub time: f64,
    /// The server as a whole.
    pub server: Server,
    /// What all workers have done since the server started, those that are gone included.
    pub traffic: Traffic,
    /// The workers, by slot; in a slot whose worker is being replaced there are several.
    pub workers: Vec<Worker>,
    /// The task workers, by slot; nothing of requests is counted of them.
    pub task_workers: Vec<Worker>,
    /// The companions, in the order of the configuration.
    pub companions: Vec<Companion>,
    /// The task queue; missing if there is none, and where its keeper was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskQueue>,
}

/// The server as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// The program's version.
    pub version: String,
    /// The master's process.
    pub pid: i32,
    /// `starting`, `serving`, `reloading`, `draining`, `stopping` or `replaced`.
    pub state: &'static str,
    /// Whether new requests are welcome, as `/readyz` says.
    pub ready: bool,
    /// Why not; missing if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    /// Rises by one with every reload.
    pub generation: u32,
    /// When the server started, in seconds since 1970.
    pub started_at: f64,
    /// For how long it has run.
    pub uptime_seconds: f64,
    /// Where it listens: `http://127.0.0.1:8000`, `https://…`, `unix:/run/app.sock`.
    pub listeners: Vec<String>,
    /// The file of the task queue; `null` if the server keeps none.
    pub task_queue: Option<String>,
    /// How many workers there are to be.
    pub workers_wanted: u32,
    /// How many serve.
    pub workers_serving: u32,
    /// Workers that were started.
    pub workers_started: u64,
    /// Workers that ended, by reason; those that never occurred are missing.
    pub workers_ended: BTreeMap<&'static str, u64>,
    /// Reloads by outcome; those that never occurred are missing.
    pub reloads: BTreeMap<&'static str, u64>,
    /// The last reload; `null` if there was none.
    pub last_reload: Option<LastReload>,
    /// What the master uses.
    #[serde(flatten)]
    pub usage: Usage,
}

/// How the last reload stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastReload {
    /// `running`, `succeeded`, `failed` or `superseded`.
    pub outcome: &'static str,
    /// The generation that it brings. Of a configuration that could not be read: the one before.
    pub generation: u32,
    /// Since when it is so.
    pub seconds_ago: f64,
}

/// What workers have done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Requests that ended.
    pub requests: u64,
    /// The same by the class of their status, `2xx`; `none` for those without a response.
    pub requests_by_status: BTreeMap<&'static str, u64>,
    /// Requests that were in flight in workers that ended without finishing them.
    pub requests_lost: u64,
    /// Requests in flight now, background work after responses included.
    pub in_flight: u64,
    /// Connections open now.
    pub connections: u64,
    /// Connections that were accepted.
    pub connections_accepted: u64,
    /// WebSockets, and other protocols that follow a request, open now.
    pub websockets: u64,
    /// Those that were opened.
    pub websockets_opened: u64,
    /// Bytes that clients sent.
    pub bytes_read: u64,
    /// Bytes that were sent to clients.
    pub bytes_written: u64,
    /// Log lines that were dropped because the log could not take them.
    pub log_lines_dropped: u64,
    /// From a request's head to the last byte of its response.
    pub latency: Times,
    /// How long requests waited for the application.
    pub queue: Times,
}

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How often it was measured.
    pub count: u64,
    /// All times together.
    pub sum_seconds: f64,
    /// Half of the times were shorter; `null` if there was none.
    pub p50_seconds: Option<f64>,
    /// Nine in ten were.
    pub p90_seconds: Option<f64>,
    /// Ninety-nine in a hundred were.
    pub p99_seconds: Option<f64>,
    /// Upper bounds in seconds and how many times were in their buckets, without empty ones; a bound of `null` is none. What is
    /// new between two of them has its own percentiles.
    pub buckets: Vec<(Option<f64>, u64)>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It prepares to serve.
    Starting,
    /// It serves.
    Serving,
    /// It finishes what it has.
    Draining,
    /// It did not move for too long, and is being ended.
    Stuck,
    /// It was sent SIGKILL.
    Killed,
}

impl WorkerState {
    /// Its name in the JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stuck => "stuck",
            Self::Killed => "killed",
        }
    }
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    /// Its slot: the number by which logs call it.
    pub slot: u32,
    /// Its process; `null` until it exists.
    pub pid: Option<i32>,
    /// What it is doing.
    pub state: WorkerState,
    /// Its generation.
    pub generation: u32,
    /// Why it goes; `null` if it does not.
    pub leaving: Option<&'static str>,
    /// How long ago it was started.
    pub age_seconds: f64,
    /// For how long it has served; `null` if it does not yet.
    pub serving_seconds: Option<f64>,
    /// For how long its event loop has been busy without a pause; 0 while it waits for events.
    pub blocked_seconds: f64,
    /// How late its timers were last.
    pub loop_lag_seconds: f64,
    /// What it has done.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// What it uses.
    #[serde(flatten)]
    pub usage: Usage,
    /// What it does now, oldest first: at most 24 requests and 20 WebSockets are told apart.
    pub handling: Vec<Activity>,
}

/// What a request in flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivityKind {
    /// A request whose response is not sent yet.
    Request,
    /// Work that goes on after a response.
    Background,
    /// A WebSocket, or another protocol that follows a request.
    Websocket,
    /// A task.
    Task,
}

/// A request that a worker has in flight, or what followed one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Activity {
    /// What it is.
    pub kind: ActivityKind,
    /// The method, cut to 8 bytes; that of a task is `TASK`.
    pub method: String,
    /// The path without the query, or the name of a task, cut to 72 bytes.
    pub path: String,
    /// The client's address; `null` on Unix sockets.
    pub client: Option<String>,
    /// The request's id, as in the log.
    pub request_id: String,
    /// Since when.
    pub age_seconds: f64,
}
