//! The server's own metrics.

use super::{
    collect::{Kind, Labels, Metrics, whole},
    format::Number,
};
use crate::respond::Observer;
use hostler_status::Seen;
use hostler_sys::socket;
use hostler_wire::{BOUND_NANOS, Histogram, METHODS, PageView, Reload, SeatView, ServerState, Totals};
use std::collections::BTreeMap;

/// Classes of statuses, in the order of the scoreboard.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The bounds of buckets that are written, in nanoseconds; those of Prometheus' own libraries are among them.
const BOUNDS: [u64; 19] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    100_000_000_000,
];
/// Those of each worker: fewer, as there may be many workers.
const WORKER_BOUNDS: [u64; 7] =
    [1_000_000, 10_000_000, 50_000_000, 250_000_000, 1_000_000_000, 5_000_000_000, 30_000_000_000];

/// A worker and its slot, as a label.
type Worker<'a> = (String, &'a SeatView, &'a PageView);

/// A number of a worker, if it is known.
type Value<'a> = &'a dyn Fn(&SeatView, &PageView) -> Option<f64>;

pub(super) fn write(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen) {
    server(metrics, observer, seen);
    supervision(metrics, seen);
    traffic(metrics, seen);
    listeners(metrics, observer);
    let workers = of_slots(seen);
    worker_traffic(metrics, &workers);
    worker_health(metrics, observer, seen, &workers);
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn seconds(nanos: u64) -> f64 {
    (nanos / 1000) as f64 / 1e6
}

/// One worker for each slot: while one is replaced, the one that stays.
fn of_slots(seen: &Seen) -> Vec<Worker<'_>> {
    let mut slots: BTreeMap<u32, &(SeatView, PageView)> = BTreeMap::new();
    let rank = |seat: &SeatView| (seat.departure.is_none() && seat.serving_at > 0, seat.started_at);
    for worker in &seen.workers {
        let known = slots.entry(worker.0.slot).or_insert(worker);
        if rank(&worker.0) > rank(&known.0) {
            *known = worker;
        }
    }
    slots.into_iter().map(|(slot, (seat, page))| (slot.to_string(), seat, page)).collect()
}

fn server(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen) {
    let master = &seen.master;
    metrics.metric(Kind::Gauge, "hostler_build_info", "The program's version.");
    metrics.sample("", &[("version", &observer.facts.version)], 1.0);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let started = master.started_unix as f64 / 1000.0;
    metrics.gauge("hostler_start_time_seconds", "When the server started, in seconds since 1970.", started);
    let ready = seen.unready(observer.facts.ready_workers).is_none();
    metrics.gauge("hostler_ready", "1 if new requests are welcome, as /readyz says.", u8::from(ready).into());
    metrics.metric(Kind::Gauge, "hostler_state", "1 for what the server is doing, 0 for the other states.");
    for state in ServerState::ALL {
        metrics.sample("", &[("state", state.name())], u8::from(*state == master.state).into());
    }
    metrics.gauge("hostler_generation", "Rises by one with every reload.", master.generation.into());
    let usage = observer.measured.of(master.pid);
    if let Some(bytes) = usage.memory_bytes {
        metrics.gauge("hostler_master_memory_bytes", "Memory of the master.", whole(bytes));
    }
    if let Some(seconds) = usage.cpu_seconds {
        metrics.counter("hostler_master_cpu_seconds", "Processor time of the master.", seconds);
    }
}

fn supervision(metrics: &mut Metrics<'_>, seen: &Seen) {
    let master = &seen.master;
    metrics.gauge("hostler_workers_wanted", "How many workers there are to be.", master.wanted.into());
    metrics.gauge("hostler_workers_serving", "How many workers serve.", master.serving.into());
    metrics.counter("hostler_worker_starts", "Workers that were started.", whole(master.starts));
    metrics.metric(Kind::Counter, "hostler_worker_exits", "Workers that ended, by reason.");
    for (why, count) in &master.ends {
        metrics.sample("_total", &[("reason", why.name())], whole(*count));
    }
    metrics.metric(Kind::Counter, "hostler_reloads", "Reloads that ended, by outcome.");
    for (outcome, count) in master.reloads.iter().filter(|(outcome, _)| *outcome != Reload::Running) {
        metrics.sample("_total", &[("outcome", outcome.name())], whole(*count));
    }
    let lost = "Requests that were in flight in workers that ended without finishing them.";
    metrics.counter("hostler_requests_lost", lost, whole(master.lost));
}

fn traffic(metrics: &mut Metrics<'_>, seen: &Seen) {
    let totals = &seen.totals;
    let sum =
        |count: fn(&PageView) -> u64| whole(seen.workers.iter().map(|(_, page)| count(page)).sum::<u64>());
    metrics.metric(Kind::Counter, "hostler_requests", "Requests that ended, by method and class of status.");
    requests(metrics, totals, &[]);
    let in_flight = "Requests in flight, background work after responses included.";
    metrics.gauge("hostler_requests_in_flight", in_flight, sum(|page| page.in_flight));
    metrics.gauge("hostler_connections", "Open connections.", sum(|page| page.connections));
    metrics.counter(
        "hostler_connections_accepted",
        "Connections that were accepted.",
        whole(totals.accepted),
    );
    metrics.gauge(
        "hostler_websockets",
        "Open WebSockets and other upgrades.",
        sum(|page| page.open_sessions),
    );
    let opened = "WebSockets and other upgrades that were opened.";
    metrics.counter("hostler_websockets_opened", opened, whole(totals.sessions));
    metrics.counter(
        "hostler_received_bytes",
        "Bytes of connections that were read.",
        whole(totals.bytes_read),
    );
    metrics.counter(
        "hostler_sent_bytes",
        "Bytes that were written to connections.",
        whole(totals.bytes_written),
    );
    let dropped = "Log lines of workers that were dropped, as the log could not take them.";
    metrics.counter("hostler_log_lines_dropped", dropped, whole(totals.lines_dropped));
    for (name, help, times) in [
        (
            "hostler_request_duration_seconds",
            "From a request's head to the last byte of its response.",
            &totals.latency,
        ),
        ("hostler_queue_duration_seconds", "How long requests waited for the application.", &totals.queued),
        ("hostler_loop_lag_seconds", "How late timers of event loops are.", &totals.lag),
    ] {
        metrics.metric(Kind::Histogram, name, help);
        histogram(metrics, times, &BOUNDS, &[]);
    }
}

/// Requests by method and class: those of GET and POST always, so that what is rare has a zero to rise from.
fn requests(metrics: &mut Metrics<'_>, totals: &Totals, labels: Labels<'_>) {
    for (method, classes) in METHODS.iter().zip(totals.responses) {
        let always = labels.is_empty() && matches!(*method, "GET" | "POST");
        for (class, count) in CLASSES.iter().zip(classes).filter(|(_, count)| always || *count > 0) {
            let labels = [labels, &[("method", method), ("status", class)]].concat();
            metrics.sample("_total", &labels, whole(count));
        }
    }
}

fn histogram(metrics: &mut Metrics<'_>, times: &Histogram, bounds: &[u64], labels: Labels<'_>) {
    let up_to = |bound: u64| {
        let within = BOUND_NANOS.iter().zip(times.buckets).filter(|(upper, _)| **upper <= bound);
        within.fold(0_u64, |sum, (_, count)| sum.wrapping_add(count))
    };
    for bound in bounds {
        let le = Number(seconds(*bound)).to_string();
        metrics.sample("_bucket", &[labels, &[("le", &le)]].concat(), whole(up_to(*bound)));
    }
    metrics.sample("_bucket", &[labels, &[("le", "+Inf")]].concat(), whole(times.count()));
    metrics.sample("_sum", labels, seconds(times.nanos));
    metrics.sample("_count", labels, whole(times.count()));
}

fn listeners(metrics: &mut Metrics<'_>, observer: &Observer) {
    let mut found: BTreeMap<&str, socket::AcceptQueue> = BTreeMap::new();
    for (index, descriptor) in &observer.sockets {
        let Some(address) = observer.facts.listeners.get(*index) else { continue };
        let Some(queue) = socket::accept_queue(descriptor) else { continue };
        let sum = found.entry(address).or_default();
        sum.waiting += queue.waiting;
        sum.limit += queue.limit;
        sum.dropped += queue.dropped;
    }
    metrics.metric(Kind::Gauge, "hostler_accept_queue_length", "Connections that wait to be accepted.");
    found.iter().for_each(|(address, it)| metrics.sample("", &[("listener", address)], whole(it.waiting)));
    metrics.metric(
        Kind::Gauge,
        "hostler_accept_queue_limit",
        "How many connections may wait to be accepted.",
    );
    found.iter().for_each(|(address, it)| metrics.sample("", &[("listener", address)], whole(it.limit)));
    let dropped = "Connections that the kernel dropped, most often because too many waited to be accepted.";
    metrics.metric(Kind::Counter, "hostler_accept_queue_drops", dropped);
    found
        .iter()
        .for_each(|(address, it)| metrics.sample("_total", &[("listener", address)], whole(it.dropped)));
}

fn worker_traffic(metrics: &mut Metrics<'_>, workers: &[Worker<'_>]) {
    let help = "Requests that ended in the worker that has the slot now.";
    metrics.metric(Kind::Counter, "hostler_worker_requests", help);
    for (slot, _, page) in workers {
        requests(metrics, &page.totals, &[("worker", slot)]);
    }
    for (name, help, times) in [
        (
            "hostler_worker_request_duration_seconds",
            "As hostler_request_duration_seconds, of the worker that has the slot now.",
            (|totals| &totals.latency) as fn(&Totals) -> &Histogram,
        ),
        (
            "hostler_worker_queue_duration_seconds",
            "As hostler_queue_duration_seconds, of the worker that has the slot now.",
            |totals| &totals.queued,
        ),
    ] {
        metrics.metric(Kind::Histogram, name, help);
        for (slot, _, page) in workers {
            histogram(metrics, times(&page.totals), &WORKER_BOUNDS, &[("worker", slot)]);
        }
    }
    for (name, help, count) in [
        ("received_bytes", "Bytes that were read.", (|totals| totals.bytes_read) as fn(&Totals) -> u64),
        ("sent_bytes", "Bytes that were written.", |totals| totals.bytes_written),
        ("log_lines_dropped", "Log lines that were dropped.", |totals| totals.lines_dropped),
    ] {
        metrics.metric(Kind::Counter, &format!("hostler_worker_{name}"), help);
        for (slot, _, page) in workers {
            metrics.sample("_total", &[("worker", slot)], whole(count(&page.totals)));
        }
    }
}

fn worker_health(metrics: &mut Metrics<'_>, observer: &Observer, seen: &Seen, workers: &[Worker<'_>]) {
    let blocked = |page: &PageView| match page.parked || page.turned_at == 0 {
        true => 0,
        false => seen.now.saturating_sub(page.turned_at),
    };
    let gauges: [(&str, &str, Value<'_>); 9] = [
        ("serving", "1 if the worker serves.", &|seat, _| {
            Some(f64::from(u8::from(seat.serving_at > 0 && seat.departure.is_none())))
        }),
        ("generation", "Its generation.", &|seat, _| Some(seat.generation.into())),
        ("age_seconds", "How long ago it was started.", &|seat, _| {
            Some(seconds(seen.now.saturating_sub(seat.started_at)))
        }),
        ("requests_in_flight", "Its requests in flight.", &|_, page| Some(whole(page.in_flight))),
        ("connections", "Its open connections.", &|_, page| Some(whole(page.connections))),
        ("websockets", "Its open WebSockets and other upgrades.", &|_, page| Some(whole(page.open_sessions))),
        ("loop_lag_seconds", "How late its last timer was.", &|_, page| Some(seconds(page.lag))),
        ("blocked_seconds", "For how long its event loop has been busy without a pause.", &|_, page| {
            Some(seconds(blocked(page)))
        }),
        ("memory_bytes", "Its memory: the proportional share (PSS), or the resident set.", &|seat, _| {
            observer.measured.of(seat.pid?).memory_bytes.map(whole)
        }),
    ];
    for (name, help, value) in gauges {
        metrics.metric(Kind::Gauge, &format!("hostler_worker_{name}"), help);
        for (slot, seat, page) in workers {
            if let Some(value) = value(seat, page) {
                metrics.sample("", &[("worker", slot)], value);
            }
        }
    }
    metrics.metric(Kind::Counter, "hostler_worker_cpu_seconds", "Its processor time.");
    for (slot, seat, _) in workers {
        if let Some(used) = seat.pid.and_then(|pid| observer.measured.of(pid).cpu_seconds) {
            metrics.sample("_total", &[("worker", slot)], used);
        }
    }
}
