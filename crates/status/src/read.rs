//! How a status comes about.

use crate::{
    Activity, ActivityKind, LastReload, Server, Status, Times, Traffic, Usage, Worker, WorkerState,
    task_workers,
};
use hostler_sys::facts;
use hostler_wire::{
    BOUND_NANOS, Departure, GroupId, Histogram, InFlight, MasterView, PageView, Role, Scoreboard, SeatView,
    ServerState, Totals,
};
use std::collections::BTreeMap;

/// What is fixed of a server, and not on its scoreboard.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The program's version.
    pub version: String,
    /// Where it listens, as a client would write it.
    pub listeners: Vec<String>,
    /// How many workers have to serve for the server to be ready.
    pub ready_workers: u32,
    /// The file of the task queue, if the server keeps one.
    pub task_queue: Option<String>,
}

/// The scoreboard as it was read at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When, on the scoreboard's clock.
    pub now: u64,
    /// The server.
    pub master: MasterView,
    /// Its HTTP workers.
    pub workers: Vec<(SeatView, PageView)>,
    /// Its task workers.
    pub task_workers: Vec<(SeatView, PageView)>,
    /// The counters of all workers that ever were.
    pub totals: Totals,
}

const NAMES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Reads the scoreboard.
#[must_use]
pub fn read(board: &Scoreboard) -> Seen {
    let (master, mut workers) = board.read();
    workers.sort_by_key(|(seat, _)| (seat.slot, seat.started_at));
    // Not copied: pages are large, and the observer is to stay small.
    let is_of = |(seat, _): &(SeatView, PageView), group: GroupId| seat.group == u32::from(group.0);
    let tasks: Vec<_> = workers.extract_if(.., |it| is_of(it, GroupId::TASKS)).collect();
    workers.retain(|it| is_of(it, GroupId::HTTP));
    let mut totals = master.ended;
    workers.iter().chain(&tasks).for_each(|(_, page)| totals.add(&page.totals));
    Seen { now: hostler_sys::clock::now(), master, workers, task_workers: tasks, totals }
}

impl Seen {
    /// Why new requests are not welcome; `None` if they are.
    #[must_use]
    pub fn unready(&self, needed: u32) -> Option<String> {
        let MasterView { state, serving, wanted, .. } = self.master;
        let needed = needed.min(wanted).max(1);
        match state {
            ServerState::Serving | ServerState::Reloading if serving >= needed => None,
            ServerState::Serving | ServerState::Reloading => {
                Some(format!("{serving} of {wanted} workers serve, and {needed} have to"))
            }
            ServerState::Starting => Some(format!("starting: {serving} of {wanted} workers serve")),
            ServerState::Draining | ServerState::Stopping => Some("the server stops".into()),
            ServerState::Replaced => Some("another server has taken over".into()),
            ServerState::Unknown => Some("the server has not said anything yet".into()),
        }
    }
}

/// What is shown of it. `measure` says what a process uses.
#[must_use]
pub fn status(seen: &Seen, facts: &Facts, mut measure: impl FnMut(i32) -> Usage) -> Status {
    let workers: Vec<Worker> =
        seen.workers.iter().map(|(seat, page)| worker(seen.now, seat, page, &mut measure)).collect();
    let sum = |count: fn(&PageView) -> u64| seen.workers.iter().map(|(_, page)| count(page)).sum();
    let traffic = Traffic {
        requests_lost: seen.master.lost,
        in_flight: sum(|page| page.in_flight),
        connections: sum(|page| page.connections),
        websockets: sum(|page| page.open_sessions),
        ..traffic(&seen.totals)
    };
    Status {
        time: unix(&seen.master, seen.now),
        traffic,
        workers,
        task_workers: task_workers(seen, &mut measure),
        companions: Vec::new(),
        tasks: None,
        server: server(seen, facts, measure),
    }
}

/// A moment of the scoreboard's clock in seconds since 1970.
fn unix(master: &MasterView, at: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let started = master.started_unix as f64 / 1000.0;
    started + seconds(at.saturating_sub(master.started_at))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
pub(crate) fn seconds(nanos: u64) -> f64 {
    (nanos / 1000) as f64 / 1e6
}

fn server(seen: &Seen, facts: &Facts, mut measure: impl FnMut(i32) -> Usage) -> Server {
    let master = &seen.master;
    let unready = seen.unready(facts.ready_workers);
    let occurred = |count: &u64| *count > 0;
    Server {
        version: facts.version.clone(),
        pid: master.pid,
        state: master.state.name(),
        ready: unready.is_none(),
        not_ready_because: unready,
        generation: master.generation,
        started_at: unix(master, master.started_at),
        uptime_seconds: seconds(seen.now.saturating_sub(master.started_at)),
        listeners: facts.listeners.clone(),
        task_queue: facts.task_queue.clone(),
        workers_wanted: master.wanted,
        workers_serving: master.serving,
        workers_started: master.starts,
        workers_ended: master
            .ends
            .iter()
            .filter(|(_, count)| occurred(count))
            .map(|(why, count)| (why.name(), *count))
            .collect(),
        reloads: master
            .reloads
            .iter()
            .filter(|(_, count)| occurred(count))
            .map(|(how, count)| (how.name(), *count))
            .collect(),
        last_reload: master.last_reload.map(|(outcome, generation, at)| LastReload {
            outcome: outcome.name(),
            generation,
            seconds_ago: seconds(seen.now.saturating_sub(at)),
        }),
        usage: measure(master.pid),
    }
}

pub(crate) fn worker(
    now: u64,
    seat: &SeatView,
    page: &PageView,
    measure: &mut impl FnMut(i32) -> Usage,
) -> Worker {
    let since = |at: u64| seconds(now.saturating_sub(at));
    let blocked = if page.parked || page.turned_at == 0 { 0.0 } else { since(page.turned_at) };
    Worker {
        slot: seat.slot,
        pid: seat.pid,
        state: state(seat),
        generation: seat.generation,
        leaving: seat.departure.map(Departure::name),
        age_seconds: since(seat.started_at),
        serving_seconds: (seat.serving_at > 0).then(|| since(seat.serving_at)),
        blocked_seconds: blocked,
        loop_lag_seconds: seconds(page.lag),
        traffic: Traffic {
            in_flight: page.in_flight,
            connections: page.connections,
            websockets: page.open_sessions,
            ..traffic(&page.totals)
        },
        usage: seat.pid.map(measure).unwrap_or_default(),
        handling: handling(now, page),
    }
}

fn state(seat: &SeatView) -> WorkerState {
    match seat.departure {
        _ if seat.killed => WorkerState::Killed,
        Some(Departure::Stall | Departure::BootTimeout) => WorkerState::Stuck,
        Some(_) => WorkerState::Draining,
        None if seat.serving_at > 0 => WorkerState::Serving,
        None => WorkerState::Starting,
    }
}

fn traffic(totals: &Totals) -> Traffic {
    let classes = NAMES.iter().zip(0..).map(|(name, class)| (*name, totals.of_class(class)));
    let by_status: BTreeMap<&'static str, u64> = classes.filter(|(_, count)| *count > 0).collect();
    Traffic {
        requests: totals.requests(),
        requests_by_status: by_status,
        connections_accepted: totals.accepted,
        websockets_opened: totals.sessions,
        bytes_read: totals.bytes_read,
        bytes_written: totals.bytes_written,
        log_lines_dropped: totals.lines_dropped,
        latency: times(&totals.latency),
        queue: times(&totals.queued),
        ..Traffic::default()
    }
}

fn times(histogram: &Histogram) -> Times {
    let quantile = |part| histogram.quantile(part).map(|nanos| (nanos / 1e3).round() / 1e6);
    let bounds = BOUND_NANOS.iter().map(|nanos| Some(seconds(*nanos))).chain([None]);
    Times {
        count: histogram.count(),
        sum_seconds: seconds(histogram.nanos),
        p50_seconds: quantile(0.5),
        p90_seconds: quantile(0.9),
        p99_seconds: quantile(0.99),
        buckets: bounds.zip(histogram.buckets).filter(|(_, count)| *count > 0).collect(),
    }
}

fn handling(now: u64, page: &PageView) -> Vec<Activity> {
    let requests = page.requests.iter().map(|request| {
        let kind = match page.role {
            Some(Role::Tasks) => ActivityKind::Task,
            _ if request.is_background => ActivityKind::Background,
            _ => ActivityKind::Request,
        };
        (kind, request)
    });
    let sessions = page.sessions.iter().map(|session| (ActivityKind::Websocket, session));
    requests.chain(sessions).map(|(kind, request)| activity(now, page.seed, kind, request)).collect()
}

fn activity(now: u64, seed: [u64; 2], kind: ActivityKind, request: &InFlight) -> Activity {
    let made = || String::from_utf8_lossy(&facts::made_id(seed, request.started_at)).into_owned();
    Activity {
        kind,
        method: request.method.clone(),
        path: request.path.clone(),
        client: request.peer.map(|peer| peer.to_string()),
        request_id: request.id.clone().unwrap_or_else(made),
        age_seconds: seconds(now.saturating_sub(request.started_at)),
    }
}
