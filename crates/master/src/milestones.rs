//! What the log says of a start, a reload and a stop as a whole: a line when it is over, and one now and then while it takes
//! long. What each process does in between is logged at level debug.

use crate::{GenerationSpec, report::StartReport, run::Master};
use hostler_arbiter::DrainReason;
use hostler_wire::{Generation, GroupId, Served, SlotId, WorkerSettings, timing};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tracing::{debug, info};

/// When a start or reload has taken so long, its first line comes; then in steps that grow.
const FIRST_OF_BOOT: Duration = Duration::from_secs(5);
/// The same of a stop, for which somebody may be waiting at a terminal.
const FIRST_OF_STOP: Duration = Duration::from_secs(1);
/// The longest that a line is waited for.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// Something that takes a while.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: Instant,
    next: Instant,
    step: Duration,
}

impl Span {
    fn new(first: Duration) -> Self {
        let began = Instant::now();
        Self { began, next: began + first, step: first }
    }

    /// Whether a line is due; each is waited for twice as long as the one before.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.step = (self.step * 2).min(LONGEST_STEP);
            self.next = now + self.step;
        }
        is_due
    }

    fn seconds(&self) -> f64 {
        seconds(self.began.elapsed())
    }
}

/// To the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)) / 1000.0
}

/// What is told of as a whole.
pub(crate) struct Milestones {
    started: Instant,
    start: Option<Span>,
    reload: Option<Span>,
    /// With the signal, if one asked for it.
    stop: Option<(Span, Option<&'static str>)>,
    /// Where a process was lost: its successor is worth a line.
    bereft: BTreeSet<SlotId>,
}

impl Milestones {
    pub(crate) fn new() -> Self {
        let start = Span::new(FIRST_OF_BOOT);
        let (reload, stop, bereft) = (None, None, BTreeSet::new());
        Self { started: start.began, start: Some(start), reload, stop, bereft }
    }

    /// When a line is due, if nothing ends before.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.stop {
            Some((stop, _)) => Some(stop.next),
            None => self.start.iter().chain(&self.reload).map(|span| span.next).min(),
        }
    }

    /// Whether the server has not served with all workers yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.start.is_some()
    }

    /// A process was lost, which was not told to exit.
    pub(crate) fn lost(&mut self, slot: SlotId) {
        self.bereft.insert(slot);
    }

    /// Whether a process that is ready is the successor of one that was lost.
    pub(crate) fn is_back(&mut self, slot: SlotId) -> bool {
        self.bereft.remove(&slot)
    }

    /// The server was told to stop, by this signal or otherwise.
    pub(crate) fn stop_begins(&mut self, signal: Option<&'static str>) {
        self.start = None;
        self.stop.get_or_insert((Span::new(FIRST_OF_STOP), signal));
    }

    pub(crate) fn reload_begins(&mut self) {
        self.reload = Some(Span::new(FIRST_OF_BOOT));
    }

    /// How long the reload took.
    pub(crate) fn reload_ends(&mut self) -> f64 {
        self.reload.take().map_or(0.0, |span| span.seconds())
    }
}

/// Where clients reach the server: what a browser opens, or the path of a Unix socket.
fn urls(settings: &WorkerSettings) -> String {
    let url = |listener: &hostler_wire::ListenerSettings| {
        let address = listener.info.to_string();
        match (address.starts_with("unix:"), listener.tls) {
            (true, _) => address,
            (false, true) => format!("https://{address}"),
            (false, false) => format!("http://{address}"),
        }
    };
    settings.listeners.iter().map(url).collect::<Vec<_>>().join(", ")
}

impl Master {
    /// An application was loaded: once, what it is.
    pub(crate) fn tell_application(&mut self, interface: Served, calls_per_worker: Option<usize>) {
        if self.start_report == StartReport::Concurrency {
            return;
        }
        self.start_report = StartReport::Concurrency;
        let app = self.plan.spec.settings.options.app.target.as_deref();
        let (workers, interface) = (self.arbiter.slots(GroupId::HTTP), interface.name());
        match calls_per_worker {
            Some(threads) => {
                let calls = usize::from(workers) * threads;
                info!(workers, threads, app, interface, "at most {calls} application calls at once");
            }
            None if app.is_some() => info!(app, interface, "application loaded"),
            None => {}
        }
    }

    /// All workers serve, for the first time.
    pub(crate) fn tell_serving(&mut self) {
        let seconds = self.milestones.start.take().map(|span| span.seconds());
        let workers = self.arbiter.slots(GroupId::HTTP);
        info!(url = %urls(&self.plan.spec.settings), workers, seconds, "serving");
    }

    /// The server was told to stop.
    pub(crate) fn stop_begins(&mut self, signal: Option<&'static str>) {
        self.milestones.stop_begins(signal);
    }

    /// The server has stopped.
    pub(crate) fn tell_stopped(&self) {
        let totals = self.fleet.totals();
        let (requests, errors) = (totals.requests(), totals.of_class(5));
        let (stop, signal) = self.milestones.stop.map(|(span, signal)| (span.seconds(), signal)).unzip();
        let signal = signal.flatten();
        let uptime_seconds = seconds(self.milestones.started.elapsed());
        if self.arbiter.ever_served() || stop.is_some() {
            info!(requests, errors, signal, seconds = stop, uptime_seconds, "stopped");
        } else {
            debug!(requests, errors, signal, seconds = stop, uptime_seconds, "stopped");
        }
        hostler_sys::logging::finish(timing::LAST_LINES);
    }

    /// Tells what is waited for, if that takes long.
    pub(crate) fn tell_progress(&mut self) {
        if let Some((stop, signal)) = &mut self.milestones.stop {
            if stop.is_due() {
                let (seconds, signal) = (stop.seconds(), *signal);
                let workers = self.fleet.all().count();
                let pages = self.fleet.all().map(|(_, worker)| self.fleet.page(&worker.assignment));
                let (in_flight, sessions) = pages.fold((0, 0), |(requests, sessions), page| {
                    (requests + page.in_flight(), sessions + page.open_sessions())
                });
                let companions = self.companions.count();
                info!(workers, in_flight, sessions, companions, signal, seconds, "still stopping");
            }
            return;
        }
        let Some(newest) = self.molds.generations().last() else { return };
        if let Some(start) = &mut self.milestones.start
            && start.is_due()
        {
            let seconds = start.seconds();
            let (phase, ready, workers) = self.phase(newest);
            info!(phase, ready, workers, seconds, "still starting");
        }
        if let Some(reload) = &mut self.milestones.reload
            && reload.is_due()
        {
            let seconds = reload.seconds();
            let (phase, ready, workers) = self.phase(newest);
            info!(generation = newest.0, phase, ready, workers, seconds, "still reloading");
        }
    }

    /// What a generation is doing, how many of its workers are ready, and how many there are to be.
    fn phase(&self, generation: Generation) -> (&'static str, usize, u16) {
        let ready = self
            .fleet
            .all()
            .filter(|(_, worker)| worker.assignment.slot.group == GroupId::HTTP)
            .filter(|(_, worker)| worker.assignment.generation == generation && worker.is_ready);
        let (ready, workers) = (ready.count(), self.arbiter.slots(GroupId::HTTP));
        let Some(entry) = self.molds.get(generation) else { return ("waiting", ready, workers) };
        let has_mold = entry.mold().is_some_and(|mold| mold.ready) || !entry.needs_mold();
        let phase = match (has_mold, imports_in_mold(&entry.spec)) {
            (false, true) => "the application is imported (--preload)",
            (false, false) => "Python starts",
            (true, _) => "workers load the application",
        };
        (phase, ready, workers)
    }
}

fn imports_in_mold(spec: &GenerationSpec) -> bool {
    spec.settings.options.app.preload.is_some()
}

/// Whether an exit that was asked for is part of a larger change that has a line of its own.
pub(crate) fn is_part_of_more(reason: DrainReason) -> bool {
    match reason {
        DrainReason::Reload
        | DrainReason::Changed
        | DrainReason::ReloadFailed
        | DrainReason::Stop
        | DrainReason::Upgrade => true,
        DrainReason::Recycle(_) | DrainReason::FewerWorkers => false,
    }
}
